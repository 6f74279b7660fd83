"""What reads graphs, on a run whose turns differ: each turn counts, and what is said names the turn."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from madstar.errors import GraphError
from madstar.graph.causality import LEAKS, causality
from madstar.graph.checking import check
from madstar.graph.diff import diff
from madstar.graph.dot import to_dot
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.inference import Inference
from madstar.graph.json_format import to_json
from madstar.graph.model import Call, Graph, Varying
from madstar.graph.soundness import check_sound
from madstar.graph.svg import to_svg
from madstar.graph.trace import trace
from madstar.graph.tree import text
from madstar.graph.unfolding import unfold
from madstar.graph.unused import dead_items, unused_outputs
from madstar.graph.walk import nodes, producers, walk

from . import graphs as cases
from .interpreter import floats, module_of


def the_run(graph: Graph) -> Call:
    return next(item for item in graph.main.items if isinstance(item, Call))


def changed(graph: Graph, **changes) -> Graph:
    """The graph with its run changed."""
    items = tuple(replace(i, **changes) if isinstance(i, Call) else i for i in graph.main.items)
    return replace(graph, definitions={**graph.definitions, graph.root: replace(graph.main, items=items)})


@pytest.fixture
def graph() -> Graph:
    return fold(cases.counting())


def with_index(graph: Graph, turn: int, index: object) -> Graph:
    settings = tuple(
        (name, (*values[:turn], index, *values[turn + 1 :]) if name == "i" else values)
        for name, values in the_run(graph).settings
    )
    return changed(graph, settings=settings)


def test_every_turn_is_checked(graph):
    assert check(graph).errors == 0
    report = check(with_index(graph, 6, 99))
    (found,) = [f for f in report.findings if f.severity == "error"]
    assert "more than 99 in dimension 1" in found.line
    assert "in turn 7 (" in found.line
    assert "i=99" in found.line
    everywhere = changed(graph, settings=tuple((n, (99,) * 8) for n, _ in the_run(graph).settings))
    (found,) = [f for f in check(everywhere).findings if f.severity == "error"]
    assert "in turn" not in found.line  # it is so in all


def test_an_edit_of_one_setting_is_looked_at_again(graph):
    inference = Inference()
    inference.graph(graph)
    before = inference.computed
    inference.graph(with_index(graph, 6, 3))
    assert inference.computed == before  # that index was seen
    troubles = [t for b in inference.graph(with_index(graph, 6, 42)).values() for t in b.troubles]
    assert [t.turn.partition(" (")[0] for t in troubles] == ["turn 7"]
    assert inference.computed == before + 1


def test_what_is_another_in_each_turn_must_fit(graph):
    ((place, refs),) = the_run(graph).own
    wrong = changed(graph, own=((place, (*refs[:-1], "%other")),))
    with pytest.raises(GraphError, match="of another shape or dtype"):
        check_sound(wrong)
    (found,) = [t for t in Inference().graph(wrong)[graph.root].troubles if not t.depends]
    assert "of turn 8" in found.fault.expected


def test_a_walk_goes_turn_by_turn(graph):
    read = [p.item for p in nodes(graph, unfolded=True) if p.item.op == "getitem"]
    assert [dict(item.attributes)["index"][1] for item in read] == list(range(8))
    turns = [p.item for p in walk(graph, unfolded=True) if isinstance(p.item, Call)]
    assert [call.arguments[1] for call in turns] == [f"%piece.{i}" for i in range(8)]
    assert len({call.outputs[0].name for call in turns}) == 8
    for call in turns:
        assert (call.count, len(call.settings)) == (1, 2)
    assert any(isinstance(v, Varying) for p in nodes(graph) for _, v in p.item.attributes)


def test_values_of_all_turns_are_known_and_used(graph):
    run = the_run(graph)
    ((place, names),) = run.gathered
    made = producers(graph.main)
    assert {made[f"%{name}"] for name in names} == {(run, place)}
    assert not list(dead_items(graph.main))
    assert not list(unused_outputs(graph))
    stack = graph.main.items[-1]
    fewer = replace(stack, arguments=stack.arguments[:1])
    main = replace(graph.main, items=(*graph.main.items[:-1], fewer))
    assert not list(dead_items(main))  # the first turn's output is still needed
    none = replace(graph.main, items=graph.main.items[:-1], outputs=("%piece.0",))
    assert [item for item, _ in dead_items(none)] == [run]


def test_it_is_drawn_with_its_turns(graph):
    said = text(graph, depth=2)
    assert "x8 other=1..15:2 i=0..7" in said
    assert "x8…" in text(graph, depth=1, width=60)
    dot = to_dot(graph)
    assert 'label="in1", shape=oval' in dot
    assert "x8 other=1..15:2 i=0..7" in dot
    assert "x8 other=1..15:2 i=0..7" in to_svg(graph, depth=2)
    assert " i=5,3,…,9" in text(with_index(changed(graph, settings=odd(graph)), 7, 9), depth=1)


def odd(graph: Graph):
    return tuple((n, (5, 3, 1, 4, 1, 5, 9, 2) if n == "i" else v) for n, v in the_run(graph).settings)


def test_a_change_of_one_turn_is_one_change(graph):
    (found,) = diff(graph, with_index(graph, 2, 7)).changes
    assert "index" in found.what
    assert "7" in found.what
    assert not diff(graph, cases.counting())


def test_every_part_of_a_run_counts_in_the_hash(graph):
    run = the_run(graph)
    ((place, refs),) = run.own
    ((output, names),) = run.gathered
    swapped = (refs[0], refs[2], refs[1], *refs[3:])
    others = [
        graph,
        with_index(graph, 3, 4),
        with_index(graph, 3, 3.0),
        changed(graph, own=((place, swapped),)),
        changed(graph, own=()),
        changed(graph, settings=tuple((n, v[::-1]) for n, v in run.settings)),
        changed(graph, gathered=((output, (names[1], names[0], *names[2:])),)),
    ]
    for one in others:
        check_sound(one)
    assert len({structural_hash(one) for one in others}) == len(others)
    assert len({structural_hash(unfold(one)) for one in others}) == len(others)
    assert structural_hash(changed(graph, settings=run.settings[::-1])) == structural_hash(graph)


def pair(taken: tuple[str, str], own: int, gathered: int) -> Graph:
    """A run of two turns over a block of two inputs, two outputs and two open names, all of one type."""
    block = cases.Block("Pair")
    a, b = block.input("a", "batch"), block.input("b", "batch")
    shown = block.node("opaque:f", {"input": a}, ("batch",), size=tuple(map(Varying, taken)))
    inside = replace(block.done(shown, block.add(a, b)), varying=("i", "j"))
    main = cases.Block("Main")
    x, y = main.input("x", "batch"), main.input("y", "batch")
    first, second = main.call(inside, "", x, x)
    main.items[0] = replace(
        main.items[0],
        paths=("", ""),
        own=((own, (x, y)),),
        settings=(("i", (1, 2)), ("j", (3, 4))),
        gathered=((gathered, ("early",)),),
    )
    return cases.graph_of("pair", [inside, main.done(first, second, "%early")])


def test_an_output_that_only_an_early_turn_needs_is_used():
    graph = pair(("i", "j"), 0, 1)
    main = replace(graph.main, outputs=("%early",))
    graph = replace(graph, definitions={**graph.definitions, "Main": main}, output_names=("early",))
    assert list(unused_outputs(graph)) == [("Pair", 0)]


def ahead_by_an_input(m, x):
    total = torch.zeros_like(x)
    for piece in (x, x * 2, x * 3, x.flip(1)):
        total = torch.tanh(m.a(total) + m.a(piece))
    return total


def ahead_by_a_number(m, x):
    total = m.a(x)
    for i in range(5):
        total = torch.tanh((total @ m.a(x).mT).tril(i - 3) @ x)
    return total


@pytest.mark.parametrize("function", [ahead_by_an_input, ahead_by_a_number])
def test_one_turn_that_looks_ahead_is_seen(function):
    graph = trace(module_of(function, a=nn.Linear(8, 8)), floats)
    call = next(item for item in graph.main.items if isinstance(item, Call) and item.count > 1)
    assert call.own or call.settings
    for one in (graph, unfold(graph)):
        assert causality(one, Inference().graph(one)).verdict == LEAKS


def test_it_counts_which_of_several_alike_is_meant():
    graphs = [pair(("i", "j"), 0, 0), pair(("j", "i"), 0, 0), pair(("i", "j"), 1, 0), pair(("i", "j"), 0, 1)]
    for graph in graphs:
        check_sound(graph)
    assert len({structural_hash(graph) for graph in graphs}) == len(graphs)
    assert len({structural_hash(unfold(graph)) for graph in graphs}) == len(graphs)


def test_long_loops_are_small_and_found_as_short_ones_are():
    folded = fold(cases.counting(400))
    assert len(to_json(folded)) < len(to_json(unfold(folded))) / 8
    assert the_run(folded).count == 400
    assert fold(cases.counting(400)) == folded
