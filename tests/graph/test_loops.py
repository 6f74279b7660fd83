"""Loops that tracing has unrolled and whose turns differ: one run each, which computes what they computed."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from madstar.graph.causality import causality
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.inference import Inference
from madstar.graph.json_format import from_json, to_json
from madstar.graph.model import Call, Graph, Varying
from madstar.graph.soundness import check_sound
from madstar.graph.statistics import statistics
from madstar.graph.trace import trace
from madstar.graph.unfolding import unfold

from .graphs import Block, graph_of
from .interpreter import agrees, module_of, run

STEPS = 6
SIZES = ({"batch": 2}, {"batch": 5})


def fixed(batch):
    return (torch.randn(batch, STEPS, 8),)


def runs(graph: Graph) -> list[Call]:
    return [
        item
        for block in graph.definitions.values()
        for item in block.items
        if isinstance(item, Call) and item.count > 1
    ]


def same_in_every_way(folded: Graph) -> None:
    """A folded graph against its unfolded self: structure, costs, text, types, causality."""
    check_sound(folded)
    unfolded = unfold(folded)
    check_sound(unfolded)
    assert structural_hash(unfold(fold(unfolded))) == structural_hash(unfolded)
    assert fold(folded) == folded
    assert from_json(to_json(folded)) == folded
    costs = [statistics(graph) for graph in (folded, unfolded)]
    for key in (
        "parameters",
        "buffers",
        "flops",
        "activation_bytes",
        "cache_bytes",
        "operations",
        "unfolded",
    ):
        assert getattr(costs[0], key) == getattr(costs[1], key)
    inference = Inference()
    verdicts = []
    for graph in (folded, unfolded):
        types = inference.graph(graph)
        assert not [trouble for block in types.values() for trouble in block.troubles if not trouble.depends]
        verdicts.append([v.verdict for v in causality(graph, types, "batch").outputs])
    assert verdicts[0] == verdicts[1]


def traced(module: nn.Module, make=fixed) -> Graph:
    torch.manual_seed(0)
    module = module.eval()
    graph = trace(module, make, symbols=("batch",))
    same_in_every_way(graph)
    assert structural_hash(fold(unfold(graph))) == structural_hash(graph)
    agrees(graph, module, make, SIZES)
    agrees(unfold(graph), module, make, SIZES)
    return graph


def cell(m, state, x):
    return torch.tanh(m.a(state) + m.b(x)) * 0.5 + state


def scan(m, x):
    state, outputs = torch.zeros_like(x[:, 0]), []
    for i in range(STEPS):
        state = cell(m, state, x[:, i])
        outputs.append(state)
    return torch.stack(outputs, 1)


def backwards(m, x):
    state, outputs = torch.zeros_like(x[:, 0]), []
    for i in reversed(range(STEPS)):
        state = cell(m, state, x[:, i])
        outputs.append(state)
    return torch.stack(outputs[::-1], 1)


def over_unbind(m, x):
    state, outputs = torch.zeros_like(x[:, 0]), []
    for piece in x.unbind(1):
        state = cell(m, state, piece)
        outputs.append(state)
    return torch.stack(outputs, 1)


def two_states(m, x):
    h, c = torch.zeros_like(x[:, 0]), torch.ones_like(x[:, 0])
    for i in range(STEPS):
        c = torch.sigmoid(m.a(h)) * c + m.b(x[:, i])
        h = torch.tanh(c) * torch.sigmoid(h)
    return h, c


def counted(m, x):
    state, outputs = torch.zeros_like(x[:, 0]), []
    for i in range(STEPS):
        state = cell(m, state, x[:, i]) * (i * 2 + 1) + torch.ones_like(state) * float(i)
        outputs.append(state.sum(-1))
    return torch.stack(outputs, -1)


def chunks(m, x):
    return torch.cat(
        [torch.softmax(m.a(x[:, i : i + 1]) * 2, -1) + m.b(x[:, i : i + 1]) for i in range(STEPS)], 1
    )


def nested(m, x):
    total = torch.zeros_like(x[:, 0, 0])
    for i in range(STEPS):
        row = torch.tanh(total)
        for k in range(5):
            row = torch.tanh(m.a(row) + m.b(x[:, i, k])) * 0.5
        total = total + row.exp()
    return total


def per_step(m, x):
    state = torch.zeros_like(x[:, 0])
    for i, layer in enumerate(m.layers):
        state = torch.tanh(layer(state) + x[:, i] * 2)
    return state


def wired(function, **more):
    return module_of(function, a=nn.Linear(8, 8), b=nn.Linear(8, 8), **more)


def test_a_scan_with_its_index_and_all_outputs():
    graph = traced(wired(scan))
    (found,) = runs(graph)
    assert found.count == STEPS
    assert found.settings == (("i", tuple(range(STEPS))),)
    assert found.carried
    ((place, names),) = found.gathered
    assert len(names) == STEPS - 1
    assert '"i": "0..5"' in to_json(graph)
    stack = graph.main.items[-1]
    assert [a.source for a in stack.arguments] == [f"%{n}" for n in (*names, found.outputs[place].name)]


def test_a_loop_backwards():
    (found,) = runs(graph := traced(wired(backwards)))
    assert found.settings == (("i", tuple(reversed(range(STEPS)))),)
    assert '"i": "5..0:-1"' in to_json(graph)


def test_a_loop_over_pieces():
    (found,) = runs(traced(wired(over_unbind)))
    assert found.count == STEPS
    assert not found.settings
    ((_, refs),) = found.own
    assert len(set(refs)) == STEPS


def test_two_states_are_carried():
    (found,) = runs(traced(wired(two_states)))
    assert found.count == STEPS
    assert len(found.carried) == 2
    assert not found.gathered


def test_an_index_in_arithmetic():
    (found,) = runs(traced(wired(counted)))
    values = [values for _, values in found.settings]
    assert values == [tuple(range(STEPS)), (1, 3, 5, 7, 9, 11), (0.0, 1.0, 2.0, 3.0, 4.0, 5.0)]
    assert [type(v) for v in values[2]] == [float] * STEPS


def test_turns_that_depend_on_nothing_before():
    (found,) = runs(traced(wired(chunks)))
    assert found.count == STEPS
    assert not found.carried
    assert found.gathered


def test_a_loop_in_a_loop():
    graph = traced(wired(nested), lambda batch: (torch.randn(batch, STEPS, 5, 8),))
    outer, inner = sorted(runs(graph), key=lambda call: -call.count)
    assert (outer.count, inner.count) == (STEPS, 5)
    assert len([values for _, values in outer.settings]) == 1
    assert {repr(values) for _, values in inner.settings} == {
        "(0, 1, 2, 3, 4)",
        "(Varying(name='i'), Varying(name='i'), Varying(name='i'), Varying(name='i'), Varying(name='i'))",
    }


def test_each_turn_has_a_module_of_its_own():
    layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(STEPS))
    (found,) = runs(traced(wired(per_step, layers=layers)))
    assert found.paths == tuple(f"layers.{i}" for i in range(STEPS))
    assert found.settings == (("i", tuple(range(STEPS))),)


@pytest.mark.parametrize("odd", [0, 5, 7])
def test_a_turn_that_is_different_stays_out(odd):
    def function(m, x):
        state = torch.zeros_like(x[:, 0])
        for i in range(12):
            state = torch.sigmoid(m.a(state)) if i == odd else torch.tanh(m.a(state))
            state = state * x[:, i] + m.b(state)
        return state

    graph = traced(wired(function), lambda batch: (torch.randn(batch, 12, 8),))
    assert sum(call.count for call in runs(graph)) >= 10
    inside = [item.op for b in graph.definitions.values() if b.varying for item in b.items]
    assert "tanh" in inside
    assert "sigmoid" not in inside
    assert statistics(graph).operations["sigmoid"] == 1


def test_turns_that_take_from_two_before():
    def function(m, x):
        before, state = x[:, 0], x[:, 1]
        for i in range(2, 14):
            before, state = state, torch.tanh(m.a(state) + m.b(before)) * x[:, i]
        return state

    (found,) = runs(traced(wired(function), lambda batch: (torch.randn(batch, 14, 8),)))
    assert found.count >= 6
    assert set(found.paths) == {""}  # the same modules in every turn


def test_turns_that_take_from_the_first():
    def function(m, x):
        states = [torch.tanh(m.a(x[:, 0]))]
        for i in range(1, 9):
            states.append(torch.tanh(m.a(states[-1])) * x[:, i] + (states[1] if i > 3 else states[0]).exp())
        return states[-1]

    traced(wired(function), lambda batch: (torch.randn(batch, 9, 8),))


def test_keys_that_come_from_outside_of_a_loop():
    def function(m, x):
        keys = m.a(x)[:, None].expand(-1, 4, -1, -1)
        attend = torch.nn.functional.scaled_dot_product_attention
        return torch.stack([attend(torch.tanh(keys * (i + 1.0)), keys, keys) for i in range(STEPS)], 1)

    assert runs(traced(wired(function)))  # the cache holds one head, as when nothing is folded


def test_a_loop_in_a_block_that_leaves_something_open():
    block = Block("Open")
    x, state = block.input("x", "batch", STEPS, 4), block.input("state", *WIDE)
    for t in range(STEPS):
        state = block.node("mul", {"input": state}, WIDE, other=Varying("i"))
        piece = block.node("getitem", {"input": x}, WIDE, index=(("slice", None, None, None), t))
        state = block.node("tanh", {"input": block.add(state, piece)}, WIDE)
    inside = replace(block.done(state), varying=("i",))
    main = Block("Main")
    ends = [main.input("x", "batch", STEPS, 4), main.input("state", *WIDE)]
    for factor in (3, -2):
        ends += main.call(inside, "", ends[0], ends[-1])
        main.items[-1] = replace(main.items[-1], settings=(("i", (factor,)),))
    graph = graph_of("open", [inside, main.done(ends[-1])])
    check_sound(graph)
    folded = fold(graph)
    same_in_every_way(folded)
    assert structural_hash(unfold(folded)) == structural_hash(unfold(graph))
    (loop,) = [call for call in runs(folded) if call.count == STEPS]
    assert len({name for name, _ in loop.settings}) == 2


class Dilated(nn.Module):
    def __init__(self, dilation):
        super().__init__()
        self.conv = nn.Conv1d(8, 8, 3, padding=dilation, dilation=dilation)

    def forward(self, x):
        return x + torch.relu(self.conv(x))


def test_blocks_that_differ_in_a_number_are_one_call():
    blocks = nn.ModuleList(Dilated(2**i) for i in range(5))

    def function(m, x):
        for block in m.blocks:
            x = block(x)
        return x

    graph = traced(module_of(function, blocks=blocks), lambda batch: (torch.randn(batch, 8, 40),))
    (call,) = graph.main.items
    assert call.paths == tuple(f"blocks.{i}" for i in range(5))
    assert dict(call.settings)["dilation"] == (1, 2, 4, 8, 16)
    assert len(graph.definitions) == 2


def test_query_key_and_value_stay_apart():
    def function(m, x):
        parts = [part(x).view(*x.shape[:2], 2, 4).transpose(1, 2) for part in (m.a, m.b, m.c)]
        return torch.nn.functional.scaled_dot_product_attention(*parts)

    graph = traced(wired(function, c=nn.Linear(8, 8)))
    assert not runs(graph)


# --- Random loops.

WIDE = ("batch", 4)


@st.composite
def loops(draw):
    """A loop written out: random steps on what is carried, fixed, or each turn's own; numbers count."""
    turns = draw(st.integers(4, 7))
    block = Block("Loop")
    x = block.input("x", "batch", 2 * turns + 3, 4)
    kept = [block.input("kept", *WIDE), block.weight("weight", 4, trained=draw(st.booleans()))]
    pieces = [
        block.node("getitem", {"input": x}, WIDE, index=(("slice", None, None, None), t))
        for t in range(turns)
    ]
    state = [block.input(f"state{n}", *WIDE) for n in range(draw(st.integers(0, 2)))]
    scale, shift = draw(st.integers(-2, 2).filter(bool)), draw(st.integers(0, 2))
    steps = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["add", "mul", "tanh", "getitem", "times"]),
                st.integers(0, 9),
                st.integers(0, 9),
            ),
            min_size=3,
            max_size=6,
        )
    )
    updates = draw(st.lists(st.integers(0, 9), min_size=len(state), max_size=len(state)))
    odd = draw(st.sampled_from([None, turns - 1]))
    wanted = draw(st.lists(st.integers(0, len(steps) - 1), max_size=2, unique=True))
    outputs = []
    for t in range(turns):
        known = [*state, *kept, pieces[t]]
        first = len(known)
        for op, a, b in steps:
            left, right = known[a % len(known)], known[b % len(known)]
            left = left if left != "@weight" else pieces[t]
            if op == "getitem":
                place = shift + (scale * t if scale > 0 else scale * (t - turns))
                known.append(
                    block.node("getitem", {"input": x}, WIDE, index=(("slice", None, None, None), place))
                )
            elif op == "tanh":
                known.append(block.node("tanh", {"input": left}, WIDE))
            elif op == "times":
                known.append(block.node("mul", {"input": left}, WIDE, other=0.5 if t == odd else 0.25 * t))
            else:
                known.append(block.node(op, {"input": left, "other": right}, WIDE))
        state = [known[first + n % len(steps)] for n in updates]
        outputs += [known[first + n] for n in wanted]
    ends = [*outputs, *state]
    if not ends:
        ends = [known[-1]]
    taken = {f"tensors.{n}": source for n, source in enumerate(ends)}
    last = block.node("stack", taken, ("batch", len(ends), 4), dim=1)
    return graph_of("loop", [block.done(last)])


@settings(max_examples=30)
@given(loops())
def test_random_loops_compute_the_same(graph):
    check_sound(graph)
    folded = fold(graph)
    same_in_every_way(folded)
    assert structural_hash(unfold(folded)) == structural_hash(unfold(graph))
    torch.manual_seed(0)
    sizes = {"batch": 3}
    inputs = [torch.randn(3, *value.shape[1:]) for value in graph.main.inputs]
    weights = {"weight": torch.randn(4)}
    results = [run(g, g.main, inputs, weights, "", sizes) for g in (graph, folded, unfold(folded))]
    for other in results[1:]:
        torch.testing.assert_close(other, results[0], rtol=0, atol=0)
