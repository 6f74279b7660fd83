"""What pairs of tokens are to one another, against a slow search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from tests.graph.graphs import bert
from tests.graph.random_graphs import graphs

from madstar.learning.features import OperationTable, features
from madstar.learning.hiding import without_edges
from madstar.learning.transformer import relations as codes
from madstar.learning.transformer.relations import orders, relations
from madstar.learning.view import GraphView, view

TABLE = OperationTable(())


def steps(v: GraphView) -> dict[tuple[int, int], set[int]]:
    """For every pair, the numbers of data edges (up to 8) of ways from the second to the first."""
    direct = {(e.target, e.source) for e in v.edges if e.kind == "data"}
    found = {pair: {1} for pair in direct}
    reached = direct
    for length in range(2, 9):
        reached = {(i, k) for i, j in reached for j2, k in direct if j == j2}
        for pair in reached:
            found.setdefault(pair, set()).add(length)
    return found


@settings(max_examples=40)
@given(graphs())
def test_near_pairs_are_those_of_a_slow_search(graph):
    v = view(graph)
    n = len(v)
    if not n or n > 40:
        return
    ways, found = steps(v), relations(features(v, TABLE))
    first: dict[tuple[int, int], int] = {}
    for e in v.edges:
        if e.kind == "data":
            first.setdefault((e.target, e.source), e.position)
    turns = {(e.target, e.source) for e in v.edges if e.kind != "data"}
    gives: dict[int, set[int]] = {i: set() for i in range(n)}
    takes: dict[int, set[int]] = {i: set() for i in range(n)}
    for target, source in first:
        gives[target].add(source)
        takes[source].add(target)
    for i in range(n):
        for j in range(n):
            code = int(found[i, j])
            if i == j:
                assert code == codes.SELF
            elif (i, j) in first:
                assert code == codes.GIVES[min(first[i, j], 3)]
            elif (j, i) in first:
                assert code == codes.TAKES[min(first[j, i], 3)]
            elif (i, j) in turns or (j, i) in turns:
                assert code in codes.TURNS
            elif gives[i] & gives[j]:
                assert code == codes.SHARES_SOURCE
            elif takes[i] & takes[j]:
                assert code == codes.SHARES_TARGET
            elif (j, i) in ways:
                assert code == codes.AFTER[hop(ways[j, i])]
            elif (i, j) in ways:
                assert code == codes.BEFORE[hop(ways[i, j])]
            else:
                assert codes.FAR <= code < codes.FAR + codes.IDLE


def hop(lengths: set[int]) -> int:
    shortest = min(lengths)
    return shortest - 2 if shortest <= 4 else 3


def test_the_order_of_arguments_counts():
    v = view(bert())
    target = next(e.target for e in v.edges if e.position == 1 and v.nodes[e.target].op == "add")
    turned = tuple(replace(e, position=1 - e.position) if e.target == target else e for e in v.edges)
    other = replace(v, edges=turned)
    assert (relations(features(v, TABLE)) != relations(features(other, TABLE))).any()


def test_blocks_know_their_members():
    v = view(bert())
    found, n = relations(features(v, TABLE)), len(v)
    for i, node in enumerate(v.nodes):
        assert found[i, n + node.block] == codes.OWN_BLOCK
        assert found[n + node.block, i] == codes.MEMBER
        for b in range(len(v.blocks)):
            around = set()
            at = v.blocks[node.block].parent
            while at >= 0:
                around.add(at)
                at = v.blocks[at].parent
            assert (found[i, n + b] == codes.OUTER_BLOCK) == (b in around)


def test_the_future_is_closed_to_causal_features():
    v = view(bert())
    found, n = relations(features(v, TABLE, causal=True)), len(v)
    assert (found[:n, :n][np.triu_indices(n, 1)] == codes.NONE).all()
    assert (found[:n, n:] == codes.NONE).all()
    assert (found[:n, :n][np.tril_indices(n)] != codes.NONE).all()


def test_causal_features_say_what_nothing_has_taken_so_far():
    v = view(bert())
    v = without_edges(v, range(0, len(v.edges), 3))  # fewer ways, so that more pairs are far from each other
    found, n = relations(features(v, TABLE, causal=True)), len(v)
    plain = relations(features(v, TABLE))
    seen = set()
    for i in range(n):
        taken = {e.source for e in v.edges if e.kind == "data" and e.target <= i}
        for j in range(i):
            code, idle = int(found[i, j]), j not in taken
            if plain[i, j] == codes.SHARES_SOURCE:
                assert code == (codes.IDLE_SIBLING if idle else codes.SHARES_SOURCE)
            elif code >= codes.FAR:
                assert (code >= codes.FAR + codes.IDLE) == idle
            else:
                assert not idle
            seen.add((idle, code >= codes.FAR))
    assert seen >= {(True, True), (False, True), (False, False)}


def test_orders_are_distances():
    v = view(bert())
    found = orders(features(v, TABLE)).astype(int)
    assert found[3, 4] == 9  # just after
    assert found[4, 3] == 7  # just before
    assert found[5, 5] == 8
    assert found[0, len(v)] == 0  # a block has no place in the order
