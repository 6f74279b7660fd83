"""What is hidden cannot be seen: a change of it changes no view. What is deleted leaves a whole graph."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.graphs import bert, counting, llama, unrolled
from tests.graph.random_graphs import graphs, renamed

from madstar.errors import DataError
from madstar.graph.folding import fold
from madstar.graph.model import Parameter, Value
from madstar.learning.hiding import (
    Wiring,
    anonymous,
    bypass,
    hidden,
    place,
    prefix,
    without,
    without_edges,
)
from madstar.learning.view import GraphView, view

from .corpus.made_museum import made_model


def disguised(seen: GraphView, nodes: set[int], rng: random.Random) -> GraphView:
    """The same wiring with everything else of these nodes changed, and all names."""
    changed = []
    for number, node in enumerate(seen.nodes):
        if number in nodes:
            outputs = tuple(
                Value(f"o{rng.random()}", (rng.randint(1, 9),) * rng.randint(0, 3), "bool")
                for _ in node.outputs
            )
            weights = tuple((f"w{i}", Parameter("p", (3,), "int8")) for i in range(rng.randint(0, 2)))
            node = replace(node, op="other", attributes=(("a", 1),), outputs=outputs, weights=weights)
        changed.append(replace(node, name="n", path="p", definition="d"))
    moved: dict[int, int] = {}  # a weight more or less moves the places of arguments
    for target in nodes:
        moved[target] = rng.randint(0, 2)
    edges = [
        replace(e, slot="s", position=e.position + moved[e.target]) if e.target in nodes else e
        for e in seen.edges
    ]
    blocks = tuple(replace(block, kind="k", path="q", definition="d") for block in seen.blocks)
    return GraphView(tuple(changed), tuple(edges), blocks, seen.outputs)


@given(graphs(), st.data())
@settings(max_examples=40)
def test_what_is_hidden_changes_nothing(graph, data) -> None:
    seen = view(graph)
    nodes = data.draw(st.sets(st.integers(0, len(seen) - 1)))
    other = disguised(seen, nodes, random.Random(data.draw(st.integers(0, 99))))
    assert hidden(seen, nodes) == hidden(other, nodes)


@given(graphs(), st.integers(0, 9))
@settings(max_examples=10)
def test_names_are_in_no_view(graph, seed: int) -> None:
    seen = view(graph)
    named = disguised(seen, set(), random.Random(seed))
    assert anonymous(seen) == anonymous(named)
    assert prefix(seen, len(seen) // 2) == prefix(named, len(seen) // 2)
    assert without_edges(seen, [0] if seen.edges else []) == without_edges(named, [0] if seen.edges else [])
    assert len(view(renamed(graph, seed))) == len(seen)


def models() -> list[GraphView]:
    found = [llama(), fold(llama()), fold(bert()), fold(unrolled()), counting()]
    return [view(graph) for graph in (*found, *map(made_model, range(4)))]


def test_a_deletion_leaves_a_whole_graph() -> None:
    tried = 0
    for seen in models():
        wiring = Wiring.of(seen)
        unused = sum(not takers for takers in wiring.takers)
        for node in range(len(seen)):
            position = bypass(seen, node, wiring)
            assert position == bypass(seen, node)
            if position < 0:
                continue
            tried += 1
            left = without(seen, node)
            assert len(left) == len(seen) - 1
            assert [n.op for n in left.nodes] == [n.op for i, n in enumerate(seen.nodes) if i != node]
            assert all(e.source < e.target for e in left.edges if e.kind == "data")
            after = Wiring.of(left)
            assert sum(not takers for takers in after.takers) <= unused
            # Every other node takes as many tensors of the same shapes as before.
            for number, entering in enumerate(after.into):
                before = [e for e in wiring.into[number + (number >= node)] if e.kind == "data"]
                now = [e for e in entering if e.kind == "data"]
                assert [e.position for e in now] == [e.position for e in before]
                assert [_shape(left, e) for e in now] == [_shape(seen, e) for e in before]
            where = place(seen, node)
            if where >= 0:
                first = min(e.target for e in seen.edges if e.source == node and e.kind == "data")
                assert left.nodes[where].op == seen.nodes[first].op
                assert where == first - 1
    assert tried > 40


def test_what_a_deleted_node_carried_to_itself_is_gone() -> None:
    """A node that takes its own result of the turn before leaves nothing that points to where it was."""
    seen = view(unrolled())
    tried = 0
    for node in range(len(seen)):
        if (position := bypass(seen, node)) < 0:
            continue
        tried += 1
        way = next(e for e in seen.edges if (e.target, e.position, e.kind) == (node, position, "data"))
        own = replace(way, source=node, output=0, kind="again")
        assert without(replace(seen, edges=(*seen.edges, own)), node) == without(seen, node)
    assert tried


def _shape(seen: GraphView, edge) -> tuple:
    return seen.nodes[edge.source].outputs[edge.output].shape


def test_nothing_is_left_loose() -> None:
    seen = view(made_model(0))
    for node in range(len(seen)):
        position = bypass(seen, node)
        if position >= 0:
            others = [e.source for e in seen.edges if e.target == node and e.position != position]
            takers = Wiring.of(seen).takers
            kept = {e.source for e in seen.edges if e.target == node and e.position == position}
            assert all(takers[other] != {node} or other in kept for other in others)


def test_removed_edges_and_their_later_turns_are_gone() -> None:
    for seen in models():
        number = len(seen.edges) // 2
        gone = seen.edges[number]
        left = without_edges(seen, [number])
        assert not [e for e in left.edges if (e.target, e.position) == (gone.target, gone.position)]
        others = [e for e in seen.edges if (e.target, e.position) != (gone.target, gone.position)]
        assert list(left.edges) == others


def test_a_prefix_says_nothing_of_what_comes() -> None:
    for seen in models():
        given_nodes = len(seen) // 2
        first = prefix(seen, given_nodes)
        assert len(first) == given_nodes
        assert all(e.kind == "data" and e.target < given_nodes for e in first.edges)
        assert first.outputs == ()
        assert len(first.blocks) == 1 + max(node.block for node in first.nodes)
        later = replace(
            seen, nodes=tuple(n if i < given_nodes else replace(n, op="x") for i, n in enumerate(seen.nodes))
        )
        assert prefix(later, given_nodes) == first


def test_what_is_not_there_is_told() -> None:
    seen = view(made_model(0))
    for call in (
        lambda: hidden(seen, [len(seen)]),
        lambda: without(seen, 0),
        lambda: without(seen, 10**6),
        lambda: without_edges(seen, [10**6]),
        lambda: prefix(seen, -1),
    ):
        with pytest.raises(DataError):
            call()
    assert without(seen, -1) == anonymous(seen)
