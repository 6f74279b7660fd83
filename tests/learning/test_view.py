"""The flat view of a graph against a slow oracle that computes every block as often as the graph does."""

from __future__ import annotations

import importlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings

from madstar.graph.folding import fold
from madstar.graph.model import Call, Graph
from madstar.graph.wiring import given as given_by
from madstar.graph.wiring import positions
from madstar.learning.view import INPUT, view

from ..graph.graphs import alternating, bert, counting, llama, unrolled
from ..graph.random_graphs import graphs

Place = tuple[str, str]  # definition and name of a node


def slow(graph: Graph) -> tuple[set[tuple[Any, ...]], Counter[Place], list[Place]]:
    """Edges, how often each node is computed, and nodes in the order of their first computation."""
    edges: set[tuple[Any, ...]] = set()
    counts: Counter[Place] = Counter()

    def compute(name: str, inputs: list[Any]) -> list[Any]:
        definition = graph.definitions[name]
        known = {f"%{v.name}": origin for v, origin in zip(definition.inputs, inputs, strict=True)}
        for item in definition.items:
            if isinstance(item, Call):
                taken = [known.get(ref) for ref in item.arguments]
                gathered: dict[tuple[int, int], Any] = {}
                for turn in range(item.count):
                    for position, refs in item.own:
                        taken[position] = known.get(refs[turn])
                    result = compute(item.definition, taken)
                    for output, _ in item.gathered:
                        gathered[output, turn] = result[output]
                    taken = list(taken)
                    for output, position in item.carried:
                        taken[position] = result[output]
                turns: Counter[int] = Counter()
                for number, (output, value) in enumerate(zip(positions(item), given_by(item), strict=True)):
                    if number < len(item.outputs):
                        known[f"%{value.name}"] = result[output]
                    else:
                        known[f"%{value.name}"] = gathered[output, turns[output]]
                        turns[output] += 1
            else:
                place = (name, item.name)
                counts[place] += 1
                for position, argument in enumerate(item.arguments):
                    if (origin := known.get(argument.source)) is not None:
                        edges.add((*origin, *place, position))
                for output, value in enumerate(item.outputs):
                    known[f"%{value.name}"] = (*place, output)
        return [known.get(ref) for ref in definition.outputs]

    main = graph.main
    starts = [(main.name, INPUT + value.name, 0) for value in main.inputs]
    compute(graph.root, starts)
    return edges, counts, list(counts)


def check(graph: Graph) -> None:
    found = view(graph)
    edges, counts, order = slow(graph)

    def place(number: int) -> Place:
        node = found.nodes[number]
        return (node.definition, INPUT + node.name if node.op == INPUT else node.name)

    inputs = len(graph.main.inputs)
    assert [node.op for node in found.nodes[:inputs]] == [INPUT] * inputs
    assert [place(number) for number in range(inputs, len(found))] == order
    assert {
        place(number): node.count for number, node in enumerate(found.nodes) if number >= inputs
    } == counts
    ours = {(*place(e.source), e.output, *place(e.target), e.position) for e in found.edges}
    assert ours == edges
    assert all(edge.source < edge.target for edge in found.edges if edge.kind == "data")
    assert list(found.edges) == sorted(found.edges, key=lambda e: (e.target, e.position, e.source))
    for edge in found.edges:
        if edge.kind == "data":
            assert found.nodes[edge.source].depth < found.nodes[edge.target].depth


@pytest.mark.parametrize("make", [llama, bert, alternating, unrolled, counting])
def test_the_view_of_a_model_has_the_edges_of_its_computation(make):
    check(make())
    check(fold(make()))


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_the_view_of_any_graph_has_the_edges_of_its_computation(graph):
    check(graph)


def test_a_run_of_layers_is_listed_once_and_carries():
    found = view(fold(llama(layers=4)))
    in_layer = [node for node in found.nodes if node.count == 4]
    assert in_layer
    kinds = Counter(edge.kind for edge in found.edges)
    assert kinds["carried"] > 0
    assert kinds["data"] > kinds["carried"]
    carried = [edge for edge in found.edges if edge.kind == "carried"]
    assert all(
        edge.source > edge.target for edge in carried
    )  # what the end of a layer gives, its begin takes


def test_blocks_say_where_nodes_stand_and_nothing_is_lost_of_weights():
    graph = llama(layers=3)
    found = view(graph)
    assert found.blocks[0].parent == -1
    for number, block in enumerate(found.blocks[1:], 1):
        assert 0 <= block.parent < number
        assert block.depth == found.blocks[block.parent].depth + 1
    assert all(found.blocks[node.block].definition == node.definition for node in found.nodes)
    weights = {(node.definition, parameter.path) for node in found.nodes for _, parameter in node.weights}
    assert weights == {(d.name, p.path) for d in graph.definitions.values() for p in d.parameters}


def test_the_room_needs_no_torch_to_be_imported():
    module = importlib.import_module("madstar.learning.view")
    assert not hasattr(module, "torch")
