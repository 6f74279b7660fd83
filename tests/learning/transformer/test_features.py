"""Arrays of a view: what is hidden changes none of them, a prefix's are the first of the whole's."""

from __future__ import annotations

import random
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.graphs import alternating, bert, llama
from tests.graph.random_graphs import graphs

from madstar.errors import DataError
from madstar.graph.folding import fold
from madstar.graph.model import Parameter, Value
from madstar.learning.features import (
    COLUMNS,
    FIRST,
    MASKED,
    UNKNOWN,
    Features,
    OperationTable,
    features,
)
from madstar.learning.hiding import prefix
from madstar.learning.transformer.relations import relations
from madstar.learning.view import GraphView, view

TABLE = OperationTable(("linear", "add", "layer_norm", "view", "input"))


def same(a: Features, b: Features) -> None:
    for field in fields(Features):
        np.testing.assert_array_equal(getattr(a, field.name), getattr(b, field.name), err_msg=field.name)


def disguised(v: GraphView, nodes: tuple[int, ...], rng: random.Random) -> GraphView:
    """The same wiring; everything else of these nodes is another."""
    changed = list(v.nodes)
    for i in nodes:
        value = Value(f"other{i}", (rng.randrange(1, 99), "length")[: rng.randrange(3)], "int64")
        weights = tuple(
            (f"slot{k}", Parameter(f"w{k}", (rng.randrange(1, 50), 3), "float16"))
            for k in range(rng.randrange(3))
        )
        attributes = (("eps", rng.random()), ("dim", rng.randrange(9)))
        changed[i] = replace(
            v.nodes[i],
            op=rng.choice(["linear", "add", "never_seen"]),
            attributes=attributes,
            outputs=(value,) * len(v.nodes[i].outputs),
            weights=weights,
            definition="D",
            name=f"n{rng.random()}",
            path="some.where",
        )
    moved = rng.randrange(1, 3)  # weights before the other arguments count as positions
    edges = [
        replace(e, position=2 * e.position + moved, slot="other") if e.target in nodes else e for e in v.edges
    ]
    blocks = [replace(b, kind="Other", definition="Other", path="p") for b in v.blocks]
    return GraphView(tuple(changed), tuple(edges), tuple(blocks), v.outputs)


@settings(max_examples=40)
@given(graphs(), st.randoms(use_true_random=False))
def test_what_is_hidden_changes_no_array(graph, rng):
    v = view(graph)
    nodes = tuple(sorted(rng.sample(range(len(v)), max(1, len(v) // 3)))) if len(v) else ()
    if not nodes:
        return
    one = features(v, TABLE, masked=nodes)
    other = features(disguised(v, nodes, rng), TABLE, masked=nodes)
    same(one, other)
    np.testing.assert_array_equal(relations(one), relations(other))
    assert (one.operations[list(nodes)] == MASKED).all()


def test_what_is_shown_changes_arrays():
    v = view(fold(llama()))
    nodes = (4, 5)
    shown = features(v, TABLE)
    assert (shown.columns != features(disguised(v, nodes, random.Random(0)), TABLE).columns).any()


@settings(max_examples=30)
@given(graphs(), st.data())
def test_causal_rows_of_a_prefix_are_those_of_the_whole(graph, data):
    v = view(graph)
    if not len(v):
        return
    count = data.draw(st.integers(1, len(v)))
    part, whole = (
        features(prefix(v, count), TABLE, causal=True),
        features(prefix(v, len(v)), TABLE, causal=True),
    )
    for name in ("operations", "columns", "attributes", "shapes", "depths", "block_of"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[:count], err_msg=name)
    np.testing.assert_array_equal(relations(part)[:count, :count], relations(whole)[:count, :count])


@settings(max_examples=30)
@given(graphs())
def test_columns_are_within_their_ranges(graph):
    v = view(graph)
    if len(v):
        found = features(v, TABLE)
        sizes = np.array([size for _, size in COLUMNS])
        assert (found.columns >= 0).all()
        assert (found.columns < sizes).all()
        assert (found.operations < TABLE.size).all()


def test_attributes_are_what_they_are_whatever_was_read_before():
    """1, 1.0 and True are equal to Python; what a graph's arrays are must not hang on which came first."""
    v = view(bert())
    rows = []
    for value in (1, True, 1.0, 1):
        node = replace(v.nodes[3], attributes=(("dim", value),))
        changed = replace(v, nodes=(*v.nodes[:3], node, *v.nodes[4:]))
        rows.append(features(changed, TABLE).attributes[3].tolist())
    assert rows[0] == rows[3]
    assert rows[0] != rows[1]


def test_operations_that_the_table_does_not_know():
    v = view(bert())
    found = features(v, OperationTable(("linear",)))
    ops = [node.op for node in v.nodes]
    assert [FIRST if op == "linear" else UNKNOWN for op in ops] == found.operations.tolist()


def test_a_part_has_the_rows_of_the_whole():
    v = view(alternating(4))
    whole = features(v, TABLE)
    part = whole.part(2, 7)
    np.testing.assert_array_equal(part.columns, whole.columns[2:7])
    kept = {(e.source - 2, e.target - 2) for e in v.edges if 2 <= e.source < 7 and 2 <= e.target < 7}
    assert {(s, t) for s, t, _, _ in part.edges.tolist()} == kept
    for i in range(5):  # the same blocks, under other numbers
        old, new = int(whole.block_of[i + 2]), int(part.block_of[i])
        while old >= 0:
            np.testing.assert_array_equal(part.blocks[new, 1:], whole.blocks[old, 1:])
            old, new = int(whole.blocks[old, 0]), int(part.blocks[new, 0])
        assert new == -1


def test_a_graph_of_nothing_is_refused():
    with pytest.raises(DataError, match="no operations"):
        features(GraphView((), (), (), ()), TABLE)
