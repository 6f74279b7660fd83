"""The local context reads what it says, at or before the node, whatever stands beside or after."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.graphs import alternating, bert, llama
from tests.graph.random_graphs import graphs
from tests.learning.transformer.test_model import reordered

from madstar.graph.folding import fold
from madstar.learning.features import FIRST, UNKNOWN, OperationTable, features
from madstar.learning.hiding import prefix
from madstar.learning.transformer.batch import batch_of
from madstar.learning.transformer.config import TransformerConfig
from madstar.learning.transformer.local import REACH, LocalContext, LocalScores, Places
from madstar.learning.view import GraphView, view

TABLE = OperationTable(("linear", "add", "layer_norm", "view", "input", "mul"))
WIDTH = 8
TINY = TransformerConfig(width=WIDTH, layers=1, heads=2, dropout=0.0, buckets=64)


def context(order: bool = True) -> LocalContext:
    torch.manual_seed(0)
    return LocalContext(replace(TINY, order=order), TABLE.size, len(TABLE)).eval()


def logits(local: LocalContext, *views: GraphView) -> list[torch.Tensor]:
    """Of every node of every view, all in one batch."""
    batch = batch_of([features(prefix(v, len(v)), TABLE, causal=True) for v in views])
    with torch.inference_mode():
        return [
            local(batch, torch.full((len(v),), number), torch.arange(len(v)))
            for number, v in enumerate(views)
        ]


def vectors(places: Places, seen: list[int]) -> torch.Tensor:
    """The sum of the vectors of what stands at the places, one by one."""
    total = torch.zeros(WIDTH)
    for k, op in enumerate(seen):
        total = total + places.alone.weight[k * TABLE.size + op]
    for k, own in enumerate(places.together):
        found = 0
        for place in own:
            found = (found * 1_000_003 + seen[place] + 1) % 2_147_483_647
        total = total + places.widened.weight @ places.grams.weight[k * 64 + found % 64]
    return total


def slowly(local: LocalContext, v: GraphView, node: int) -> torch.Tensor:
    """The same for one node, by going through the graph."""
    numbers = {name: FIRST + i for i, name in enumerate(TABLE.names)}
    ops = [numbers.get(each.op, UNKNOWN) for each in v.nodes]
    data = [e for e in v.edges if e.kind == "data"]
    seen = [ops[node - back] if node >= back else 0 for back in range(local.reach)]
    for back in range(local.givers):
        for position in range(2):
            at = node - back
            # Who gives two arguments counts as the giver of the first.
            firsts = {}
            for e in data:
                if e.target == at and e.source != at:
                    firsts[e.source] = min(e.position, firsts.get(e.source, 99))
            sources = [s for s, first in firsts.items() if first == position]
            seen.append(ops[min(sources)] if at >= 0 and sources else 0)
    total = vectors(local.places, seen)
    idle = [i for i in range(node + 1) if not any(e.source == i and i != e.target <= node for e in data)]
    for op in set(ops):
        total = total + math.log1p(sum(ops[i] == op for i in idle)) * local.idle.weight[op]
    return local.scores(total)


@given(graphs(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_it_reads_what_it_says(graph, order):
    v = view(graph)
    local = context(order)
    assert local.reach == (REACH if order else 1)
    (found,) = logits(local, v)
    for node in range(len(v)):
        torch.testing.assert_close(found[node], slowly(local, v, node), rtol=1e-4, atol=1e-4)


def test_what_comes_after_or_stands_beside_changes_nothing():
    v, other = view(bert()), view(alternating(6))
    local = context()
    (whole,) = logits(local, v)
    for beside in logits(local, other, v)[1:]:
        torch.testing.assert_close(beside, whole)
    for count in (1, 5, len(v) - 1):
        (part,) = logits(local, prefix(v, count))
        torch.testing.assert_close(part, whole[:count])


@pytest.mark.parametrize("op", ["mul", "sin"])
def test_another_operation_just_before_is_seen(op):
    v = view(bert())
    node = next(i for i in range(8, len(v)) if v.nodes[i].op == "linear")
    changed = replace(
        v, nodes=tuple(replace(n, op=op) if i == node - 3 else n for i, n in enumerate(v.nodes))
    )
    local = context()
    (a,), (b,) = logits(local, v), logits(local, changed)
    assert torch.equal(a[: node - 3], b[: node - 3])
    assert not torch.allclose(a[node], b[node])


def around(local: LocalScores, v: GraphView, node: int) -> torch.Tensor:
    """The scores of one node, by going through the graph."""
    numbers = {name: FIRST + i for i, name in enumerate(TABLE.names)}
    ops = [numbers.get(each.op, UNKNOWN) for each in v.nodes]
    # What two nodes are to one another: of several edges the one that takes the first argument.
    code: dict[tuple[int, int], tuple[str, int]] = {}
    data = [e for e in v.edges if e.kind == "data"]
    for e in reversed(data):
        code[e.target, e.source] = ("gives", e.position)
        code[e.source, e.target] = ("takes", e.position)
    read = [node + offset for offset in local.around.beside]
    links = [("gives", 0), ("gives", 1), ("takes", 0), ("takes", 1)]
    for link in links if len(local.around.beside) > 1 else links[:2]:
        read.append(min((j for j in range(len(v)) if code.get((node, j)) == link and j != node), default=-1))
    total = vectors(local.around.places, [ops[at] if 0 <= at < len(v) else 0 for at in read])
    return local.scores(total)


@given(graphs(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_surroundings_are_what_they_say(graph, order):
    shown = [view(graph), view(alternating(6))]
    torch.manual_seed(0)
    local = LocalScores(replace(TINY, order=order), TABLE.size, 3).eval()
    batch = batch_of([features(v, TABLE) for v in shown])
    with torch.inference_mode():
        found = local(batch.operations, batch.relations, batch.nodes)
    for number, v in enumerate(shown):
        for node in range(len(v)):
            expected = around(local, v, node)
            torch.testing.assert_close(found[number, node], expected, rtol=1e-4, atol=1e-4)


def test_without_order_the_order_of_independent_nodes_changes_nothing():
    v = view(fold(llama()))
    # The three that take one norm's result are made to differ: which of them comes first would be seen.
    norm = next(i for i, n in enumerate(v.nodes) if sum(e.source == i for e in v.edges) == 3)
    takers = [e.target for e in v.edges if e.source == norm]
    others = dict(zip(takers, ("add", "mul", "view"), strict=True))
    v = replace(v, nodes=tuple(replace(n, op=others.get(i, n.op)) for i, n in enumerate(v.nodes)))
    changed = set()
    for seed in range(6):
        other, at = reordered(v, random.Random(seed))
        for order in (False, True):
            torch.manual_seed(0)
            local = LocalScores(replace(TINY, order=order), TABLE.size, 3).eval()
            with torch.inference_mode():
                one, two = (
                    local(batch.operations, batch.relations, batch.nodes)[0]
                    for batch in (batch_of([features(each, TABLE)]) for each in (v, other))
                )
            if not torch.allclose(one[: len(v)], two[: len(v)][at], atol=1e-5):
                changed.add(order)
    assert changed == {True}
