"""The generator on a small world of blocks: what it makes fits, builds, learns; what cannot be is said."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from tests.graph.graphs import Block, alternating, counting, graph_of

from madstar.errors import GraphError
from madstar.graph import build, check
from madstar.graph.execution import drawn_inputs
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.inference import Inference
from madstar.graph.model import Call, Graph, Varying
from madstar.graph.soundness import check_sound
from madstar.graph.statistics import statistics
from madstar.learning.generator import Conditions, Generator, Tally, blocks_of, distinct, fit, fit_on
from madstar.learning.generator.allowed import options
from madstar.learning.generator.decisions import (
    SYMBOLS,
    domain_of,
    encode,
    size_bucket,
)
from madstar.learning.generator.draft import Limits
from madstar.learning.generator.examples import examples_of
from madstar.learning.generator.network import Network, NetworkSizes, Steps
from madstar.learning.generator.ngram import Trigrams
from madstar.learning.generator.relative import Inexpressible, concrete, relative
from madstar.learning.generator.search import Settings, draw
from madstar.learning.generator.space import Space
from madstar.learning.generator.state import State

SIZES = NetworkSizes(width=32, heads=2, layers=1, context=160, dropout=0.0)


def feed_forward(width: int, act: str, times: int, gated: bool, normed: bool) -> Block:
    """A residual feed-forward block."""
    block = Block("FeedForward")
    x = block.input("x", "batch", "length", width)
    y = x
    if normed:
        weight = block.weight("norm.weight", width)
        y = block.node(
            "layer_norm", {"input": x, "weight": weight}, block.shape(x), eps=1e-5, normalized_shape=(width,)
        )
    up = block.linear(y, "up", times * width)
    hidden = block.node(act, {"input": up}, block.shape(up))
    if gated:
        gate = block.linear(y, "gate", times * width)
        hidden = block.node("mul", {"input": hidden, "other": gate}, block.shape(up))
    block.add(x, block.linear(hidden, "down", width))
    return block


def world() -> list[Graph]:
    """Blocks alone, and runs of them."""
    found = []
    for number, (act, times, gated, normed) in enumerate(
        product(("relu", "silu", "tanh"), (2, 4), (False, True), (False, True))
    ):
        width = (8, 16, 32)[number % 3]
        block = feed_forward(width, act, times, gated, normed)
        done = block.done(f"%{block.items[-1].name}")
        found.append(replace(graph_of("alone", [done]), facts={"domain": "block"}))
        main = Block("Main")
        x = main.input("x", "batch", "length", width)
        for layer in range(2 + number % 3):
            (x,) = main.call(done, f"layers.{layer}", x)
        found.append(replace(fold(graph_of("run", [done, main.done(x)])), facts={"domain": "model"}))
    return found


WORLD = world()


@pytest.fixture(scope="module")
def generator() -> Generator:
    return fit(WORLD, 0, steps=100, sizes=SIZES)


@pytest.fixture(scope="module")
def drawn(generator: Generator) -> list[Graph]:
    return generator.generate(8, seed=1)


def rebuilt(graph: Graph) -> Graph:
    """The graph that its decisions make."""
    decisions = encode(graph)
    space = Space.of([decisions], least=1)
    state: State | None = State(space, Limits(), Inference(graph.symbols))
    for decision in decisions:
        assert state is not None
        number = space.number(decision)
        assert number in options(state), decision
        state = state.after(number)
        assert state is not None, decision
    assert state.done
    return replace(state.graph("again"), symbols=graph.symbols)


@pytest.mark.parametrize("graph", [*WORLD[:12], WORLD[-1], fold(alternating())])
def test_decisions_make_the_graph_again(graph: Graph) -> None:
    again = rebuilt(graph)
    check_sound(again)
    assert structural_hash(again) == structural_hash(graph)


def test_what_decisions_cannot_say_is_left_out() -> None:
    assert any(block.varying for block in fold(counting()).definitions.values())
    with pytest.raises(Inexpressible):
        encode(fold(counting()))
    block = Block("Numbers")
    zeros = block.node("zeros", {}, (4, 8), size=(4, 8), dtype="float32")
    alone = graph_of("numbers", [block.done(block.linear(zeros, "up", 8))])  # it takes nothing
    assert examples_of([*WORLD, fold(counting()), alone], ["x"] * 50, 160).inexpressible == 2
    with pytest.raises(GraphError, match="none of 1 graphs"):
        fit([fold(counting())], steps=1)


def test_sizes_are_said_by_what_they_are_made_of() -> None:
    operands = [("batch", "length", 64), ("batch", 4, "length", 16)]
    for value in (
        64,
        256,
        16,
        "length",
        "batch",
        (0, -1, 4, 16),
        48,
        1e-5,
        float("inf"),
        "floor",
        None,
        True,
        9973,
    ):
        said = relative(value, operands, 64)
        assert repr(concrete(said, operands, 64)) == repr(value)
    narrow, wide = ([("batch", "length", width)] for width in (128, 256))
    assert concrete(relative((0, -1, 8, 16), narrow, 128), wide, 256) == (
        0, -1, 8, 32
    )  # fmt: skip
    for term in (("=d", 3, -1), ("=d", 0, -9), ("=w", 1, 3), ("=p", 0, -1, -7)):
        with pytest.raises(Inexpressible):
            concrete(term, operands, 64)
    with pytest.raises(Inexpressible):
        relative(Varying("i"), operands, 64)


def test_one_is_not_true() -> None:
    graphs = [dropped(value) for value in (1, 1.0, True)]
    assert len({space_text for graph in graphs for space_text in map(repr, encode(graph))}) >= 3
    space = Space.of([encode(graph) for graph in graphs], least=1)
    assert len({space.number(("set", (("p", value),))) for value in (1, 1.0, True)}) == 3
    assert Space.of_data(json.loads(json.dumps(space.to_data()))) == space


def dropped(value: object) -> Graph:
    block = Block("Main")
    x = block.input("x", "batch", 8)
    return graph_of("one", [block.done(block.node("dropout", {"input": x}, ("batch", 8), p=value))])


def test_what_is_drawn_fits_and_holds_nothing_dead(drawn: list[Graph]) -> None:
    for graph in drawn:
        report = check(graph, causal=False)
        assert not report.errors, report.text()
        assert not [f for f in report.findings if f.kind in ("dead", "unused parameter")], report.text()
        assert not report.unruled
    assert len({structural_hash(graph) for graph in drawn}) > 3


def test_what_is_drawn_builds_and_learns(drawn: list[Graph]) -> None:
    for graph in drawn:
        module = build(graph, generator=torch.Generator().manual_seed(0)).train()
        loss = sum(value.pow(2).sum() for value in module(**drawn_inputs(graph)).values())
        assert isinstance(loss, torch.Tensor)
        loss.backward()
        assert any(p.grad is not None and bool(p.grad.abs().sum() > 0) for p in module.parameters())


def test_training_lowers_the_loss_and_is_repeatable(generator: Generator) -> None:
    losses = generator.facts.losses
    assert losses[-1] < 0.5 * losses[0]
    told: list[float] = []
    one, two = (
        fit(WORLD, 3, steps=4, sizes=SIZES, progress=lambda done, loss: told.append(done)) for _ in "ab"
    )
    assert all(
        torch.equal(a, b) for a, b in zip(one.network.parameters(), two.network.parameters(), strict=True)
    )
    assert told == [0.25, 0.5, 0.75, 1.0] * 2


def test_learning_goes_on(generator: Generator) -> None:
    """A generator that learned goes on from where it was, and keeps to the decisions that it knows."""
    some = [graph for graph in WORLD if graph.facts["domain"] == "block"]
    more = fit_on(generator, some, 1, steps=20)
    assert more.space is generator.space
    assert more.facts.known >= generator.facts.known
    assert more.facts.losses[0] < generator.facts.losses[0] / 2
    assert more.facts.losses[-1] < more.facts.losses[0]
    block = Block("Other")
    x = block.input("x", "batch", "length", 16)
    other = graph_of(
        "other", [block.done(block.node("erfinv", {"input": block.linear(x, "up", 16)}, block.shape(x)))]
    )
    left = fit_on(generator, [*some, other], 1, steps=1, domains=["elsewhere"] * (len(some) + 1))
    assert left.facts.left_out["rare"] == 1
    assert left.facts.smallest.keys() == generator.facts.smallest.keys()
    with pytest.raises(GraphError, match="none of 1 graphs"):
        fit_on(generator, [other], 1, steps=1)
    with pytest.raises(GraphError, match="at least 1 step"):
        fit_on(generator, some, 1, steps=0)


def test_seed_decides(generator: Generator) -> None:
    one, two, other = (generator.generate(3, seed) for seed in (5, 5, 6))
    assert [structural_hash(g) for g in one] == [structural_hash(g) for g in two]
    assert [structural_hash(g) for g in one] != [structural_hash(g) for g in other]


def test_on_disk(generator: Generator, tmp_path: Path) -> None:
    generator.save(tmp_path / "g")
    again = Generator.load(tmp_path / "g")
    assert again.space == generator.space
    assert again.facts == generator.facts
    assert [structural_hash(g) for g in again.generate(2, 9)] == [
        structural_hash(g) for g in generator.generate(2, 9)
    ]
    file, model = tmp_path / "g" / "generator.json", tmp_path / "g" / "model.safetensors"
    text, weights = file.read_text(), model.read_bytes()
    document = json.loads(text)
    for changed in (
        text[:100],
        "[]",
        json.dumps(document | {"schema": "madstar.generator/9"}),
        json.dumps(document | {"space": {}}),
        json.dumps(document | {"sizes": {"width": 10**9}}),
        json.dumps(document | {"sizes": document["sizes"] | {"heads": 5}}),
        json.dumps(document | {"space": document["space"] | {"sets": [[0, [1]]]}}),
        json.dumps(document | {"space": document["space"] | {"decisions": [["node", 3]]}}),
        json.dumps(
            document | {"space": document["space"] | {"decisions": document["space"]["decisions"][:-1]}}
        ),
    ):
        file.write_text(changed)
        with pytest.raises(GraphError) as caught:
            Generator.load(tmp_path / "g")
        assert "\n" not in str(caught.value)
    file.write_text(text)
    model.write_bytes(weights[: len(weights) // 2])
    with pytest.raises(GraphError, match="do not go together"):
        Generator.load(tmp_path / "g")
    with pytest.raises(GraphError, match="cannot read"):
        Generator.load(tmp_path / "none")


def test_conditions_are_met(generator: Generator) -> None:
    conditions = Conditions(domain="model", width=16, most_parameters=4000)
    for graph in generator.generate(2, 2, conditions):
        assert graph.facts["domain"] == "model"
        assert statistics(graph).parameters <= 4000
    for graph in generator.generate(1, 2, Conditions(least_parameters=500)):
        assert statistics(graph).parameters >= 500


@pytest.mark.parametrize(
    ("conditions", "said"),
    [
        (Conditions(domain="modle"), "did you mean 'model'|there is block, model"),
        (Conditions(width=17), "no width 17 was learned; nearest: 8, 16, 32"),
        (Conditions(most_parameters=10), "the smallest graph that was learned has"),
        (  # weights of that width have multiples of 32
            Conditions(width=32, least_parameters=257, most_parameters=263),
            "no graph was found within 56 items of a block and 263 parameters, of at least 257",
        ),
        (Conditions(least_parameters=100, most_parameters=50), "no graph has both"),
        (Conditions(least_parameters=10**12), "no graph of between"),
        (Conditions(most_items=0), "at least one item"),
        (Conditions(grade="bset"), "did you mean best"),
        (Conditions(grade="best"), "nothing of the grade 'best' was learned"),
    ],
)
def test_conditions_that_nothing_meets(generator: Generator, conditions: Conditions, said: str) -> None:
    with pytest.raises(GraphError, match=said) as caught:
        generator.generate(1, 0, conditions)
    assert "\n" not in str(caught.value)


def test_none_is_drawn_twice(generator: Generator) -> None:
    graphs = generator.generate(4, 3, distinct=True)
    hashes = [structural_hash(graph) for graph in graphs]
    assert len(set(hashes)) == len(hashes)
    assert not generator.facts.known.intersection(hashes)


def part_of(width: int = 16) -> Graph:
    block = Block("Part")
    x = block.input("tokens", "batch", "length", width)
    weight = block.weight("n", width)
    y = block.node(
        "layer_norm", {"input": x, "weight": weight}, block.shape(x), eps=1e-5, normalized_shape=(width,)
    )
    return graph_of("part", [block.done(block.linear(y, "up", 2 * width))])


def test_a_partial_graph_is_completed(generator: Generator) -> None:
    part = part_of()
    for graph in generator.generate(4, 4, prefix=part):
        assert graph.input_names == ("tokens",)
        items = graph.main.items
        assert [item.op for item in items[:2]] == ["layer_norm", "linear"]  # type: ignore[union-attr]
        assert len(items) > 2
        assert not check(graph, causal=False).errors
        assert statistics(graph).parameters >= statistics(part).parameters


def test_partial_graphs_that_cannot_be_completed(generator: Generator) -> None:
    part = part_of()
    for conditions, said in (
        (Conditions(most_items=2), "no room"),
        (Conditions(most_parameters=20), "parameters already"),
    ):
        with pytest.raises(GraphError, match=said) as caught:
            generator.generate(1, 0, conditions, prefix=part)
        assert "\n" not in str(caught.value)
    block = Block("Flagged")
    block.input("flag", "batch", dtype="bool")  # which nothing that was learned takes
    with pytest.raises(GraphError, match="no completion of 'flagged' was found within 3 items"):
        generator.generate(
            1,
            0,
            Conditions(most_items=3),
            prefix=graph_of("flagged", [block.done(block.input("x", "batch", "length", 16))]),
        )
    with pytest.raises(GraphError, match="does not make"):
        generator.generate(1, 0, prefix=fold(counting()))


def test_what_does_not_fit_is_refused(generator: Generator) -> None:
    space = generator.space
    linear = next(n for n, d in enumerate(space.decisions) if d[:2] == ("node", "linear"))
    add = next(n for n, d in enumerate(space.decisions) if d[:2] == ("node", "add"))
    state: State | None = State(space, Limits(), Inference(SYMBOLS))
    wide = ("weights", (((("=w", 2, 1), ("=d", 0, -1)), "float32", True),))
    for decision in (
        ("begin",), ("grade", "best"), ("domain", "block"), ("form", "other"), ("size", 5),
        ("width", 16), ("whole",), ("input", "float32", ("batch", "length", ("=w", 1, 1))), ("body",),
    ):  # fmt: skip
        assert state is not None
        state = state.decided(decision, 0)
    assert state is not None
    for number in (linear, space.number(("from", 0)), space.number(("set", ())), space.number(wide)):
        assert state is not None
        state = state.after(number)
    assert state is not None
    outputs = space.number(("outputs",))
    assert outputs in options(state)  # the linear took all there is
    for number in (add, space.number(("from", 0)), space.number(("back", 1))):
        assert state is not None
        state = state.after(number)
    assert state is not None  # 16 and 32 do not go together, which the last decision of the node tells
    assert state.after(space.number(("set", ()))) is None


def test_dead_ends_are_left(generator: Generator) -> None:
    """Trigrams know little: they run into many, and come out with graphs that fit."""
    examples = examples_of(WORLD, [domain_of(graph) for graph in WORLD], 160)
    trigrams = Trigrams([each.numbers for each in examples.examples], len(examples.space))
    tally = Tally()
    chooser = torch.Generator().manual_seed(0)
    for _ in range(6):
        start = State(examples.space, Limits(items=12), Inference(SYMBOLS))
        state = draw(trigrams.steps(), start, [("begin",)], chooser, Settings(), tally)
        assert state is not None
        assert not check(state.graph("g"), causal=False).errors
    assert tally.refused + tally.undone > 0
    assert 0 < tally.rejection_rate < 1


def test_without_masks_the_first_misfit_is_the_end(generator: Generator) -> None:
    steps = Steps(Network(generator.space, SIZES), generator.space)  # untrained
    tally = Tally()
    start = State(generator.space, Limits(checked=False), Inference(SYMBOLS))
    found = [
        draw(steps, start, [("begin",)], torch.Generator().manual_seed(i), Settings(), tally)
        for i in range(8)
    ]
    assert tally.begun == 8
    assert tally.undone == 0
    assert sum(state is None for state in found) == tally.lost > 0


def test_blocks_are_cut_whole() -> None:
    graphs = list(blocks_of(WORLD[1], least=1, most=40))
    for graph in graphs:
        check_sound(graph)
    assert structural_hash(graphs[-1]) == structural_hash(WORLD[1])
    assert any(isinstance(item, Call) for item in graphs[-1].main.items)
    assert len(distinct([*graphs, *graphs])) == len(graphs)
    assert not list(blocks_of(WORLD[1], least=100))


def test_size_buckets() -> None:
    assert [size_bucket(n) for n in (0, 1, 3, 4, 10, 10**4, 10**9)] == [0, 1, 1, 2, 3, 9, 19]
