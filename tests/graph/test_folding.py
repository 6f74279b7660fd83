"""Folding and unfolding: nothing of the computation changes, repetitions are written once."""

from dataclasses import replace

import pytest
from hypothesis import given, settings

from madstar.errors import GraphError
from madstar.graph.folding import fold
from madstar.graph.hashing import structural_hash
from madstar.graph.model import Call, Graph
from madstar.graph.soundness import check_sound
from madstar.graph.unfolding import unfold
from madstar.graph.walk import find, nodes, parameters, walk

from . import graphs as cases
from . import random_graphs

MODELS = [
    cases.llama(),
    cases.llama(5, activation={2: "gelu"}),
    cases.bert(),
    cases.alternating(),
    cases.alternating(5),
    cases.unrolled(),
    cases.unrolled(own_inputs=False),
]


def agree(graph: Graph, folded: Graph) -> None:
    check_sound(folded)
    back = unfold(folded)
    check_sound(back)
    assert structural_hash(back) == structural_hash(unfold(graph))
    sizes = [{path: p.shape for path, p in parameters(g).items()} for g in (graph, folded, back)]
    assert sizes[0] == sizes[1] == sizes[2]


@settings(max_examples=60)
@given(random_graphs.graphs())
def test_folding_keeps_the_computation(graph):
    check_sound(graph)
    agree(graph, fold(graph))


@pytest.mark.parametrize("graph", MODELS)
def test_models_fold_and_unfold(graph):
    folded = fold(graph)
    agree(graph, folded)
    assert fold(folded) == folded
    every = sorted((place.item.op, place.item.path and place.path) for place in nodes(graph))
    assert sorted((p.item.op, p.item.path and p.path) for p in nodes(folded, unfolded=True)) == every
    assert sum(place.count for place in nodes(folded)) == len(every)


def test_layers_become_one_call():
    folded = fold(cases.llama(80))
    (run,) = [item for item in folded.main.items if isinstance(item, Call)]
    assert run.paths == tuple(f"model.layers.{i}" for i in range(80))
    assert run.carried == ((0, 0),)
    assert len(folded.definitions) == 4
    assert sum(len(block.items) for block in folded.definitions.values()) < 30


def test_one_different_layer_stands_alone():
    folded = fold(cases.llama(6, activation={2: "gelu"}))
    counts = [item.count for item in folded.main.items if isinstance(item, Call)]
    assert counts == [2, 1, 3]


def test_layers_in_turn_fold_by_their_period():
    folded = fold(cases.alternating(4))
    (run,) = folded.main.items
    assert isinstance(run, Call)
    assert run.count == 4
    assert "layers.5.proj.weight" in parameters(folded)
    assert "scales.3" in parameters(folded)


def test_argument_that_differs_keeps_calls_apart():
    block = cases.Block("Layer")
    x, y = block.input("x", "batch", 8), block.input("y", "batch", 8)
    layer = block.done(block.add(block.linear(x, "proj", 8), y))
    main = cases.Block("Main")
    x = main.input("x", "batch", 8)
    extra = [main.input(f"y{i}", "batch", 8) for i in range(3)]
    for i in range(3):
        (x,) = main.call(layer, f"layers.{i}", x, extra[i])
    folded = fold(cases.graph_of("g", [layer, main.done(x)]))
    assert [item.count for item in folded.main.items if isinstance(item, Call)] == [1, 1, 1]


def test_value_needed_later_ends_a_run():
    graph = cases.bert(6)
    third = graph.main.items[2].outputs[0].name
    main = replace(graph.main, outputs=(*graph.main.outputs, f"%{third}"))
    graph = replace(
        graph, definitions={**graph.definitions, graph.root: main}, output_names=("a", "b", "third")
    )
    folded = fold(graph)
    agree(graph, folded)
    assert [item.count for item in folded.main.items if isinstance(item, Call)] == [3, 3]


def test_loops_that_were_unrolled_are_rolled():
    folded = fold(cases.unrolled(20, own_inputs=False))
    (run,) = folded.main.items
    assert isinstance(run, Call)
    assert run.count == 20
    folded = fold(
        cases.unrolled(20)
    )  # each step has an input of its own, and all of their outputs are needed
    (_, run, stack) = folded.main.items
    assert isinstance(run, Call)
    assert run.count == 20
    ((_, pieces),) = run.own
    assert pieces == tuple(f"%piece.{i}" for i in range(20))
    ((place, names),) = run.gathered
    assert [a.source for a in stack.arguments] == [f"%{n}" for n in (*names, run.outputs[place].name)]
    assert len(folded.definitions) == 2


def test_shared_module_is_called_with_one_path():
    graph = cases.bert(4)
    items = tuple(
        replace(item, definition="BertLayer_0", paths=("shared",)) if isinstance(item, Call) else item
        for item in graph.main.items
    )
    kept = {"BertModel": replace(graph.main, items=items), "BertLayer_0": graph.definitions["BertLayer_0"]}
    graph = replace(graph, definitions=kept)
    folded = fold(graph)
    agree(graph, folded)
    assert folded.main.items[0].paths == ("shared",) * 4


def test_walk_gives_full_paths():
    folded = fold(cases.llama(4))
    paths = [place.path for place in walk(folded, unfolded=True)]
    assert "model.layers.3.self_attn.q_proj" in paths
    assert [p.path for p in find(folded, "*.layers.[12].mlp.gate_proj")] == [
        "model.layers.1.mlp.gate_proj",
        "model.layers.2.mlp.gate_proj",
    ]
    with pytest.raises(GraphError, match="q_proj"):
        find(folded, "q_prj")
