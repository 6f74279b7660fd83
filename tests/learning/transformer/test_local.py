"""The local context reads what it says, at or before the node, whatever stands beside or after."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.graph.graphs import alternating, bert, llama
from tests.graph.random_graphs import graphs
from tests.learning.transformer.test_model import reordered

from madstar.graph.folding import fold
from madstar.learning.features import FIRST, MASKED, UNKNOWN, OperationTable, features
from madstar.learning.hiding import HIDDEN, hidden, prefix
from madstar.learning.transformer.batch import batch_of
from madstar.learning.transformer.config import TransformerConfig
from madstar.learning.transformer.echoes import STEPS, Echoes, Repeats
from madstar.learning.transformer.local import REACH, GapScores, HiddenScores, LocalContext, Places
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


def numbers(v: GraphView) -> list[int]:
    """The operations as the model numbers them."""
    known = {name: FIRST + i for i, name in enumerate(TABLE.names)} | {HIDDEN: MASKED}
    return [known.get(each.op, UNKNOWN) for each in v.nodes]


def at(ops: list[int], places: list[int]) -> list[int]:
    return [ops[place] if 0 <= place < len(ops) else 0 for place in places]


def often(table: Repeats | Echoes, number: int, count: int) -> torch.Tensor:
    """The vector of a context that stands elsewhere so many times."""
    which = next(i for i, most in enumerate((*STEPS, 10**9)) if count <= most)
    return table.often.weight[number * (len(STEPS) + 1) + which]


def recalled(echoes: Echoes, seen: dict[int, list[int]], found: dict[int, int], asked: int) -> Any:
    """The vector and the scores of what is found at other nodes in the contexts of the one asked."""
    vector, scores = torch.zeros(WIDTH), torch.zeros(TABLE.size)
    for number, context in enumerate(echoes.contexts):
        key = [seen[asked][place] for place in context]
        same = [j for j in found if [seen[j][p] for p in context] == key and MASKED not in key]
        vector = vector + often(echoes, number, len(same))
        for j in same:
            vector = vector + echoes.maps[number].weight @ echoes.value.weight[found[j]] / len(same)
            which = next(i for i, most in enumerate((*STEPS, 10**9)) if len(same) <= most)
            scores[found[j]] += echoes.strength[number, which] / len(same)
    return vector, scores[FIRST:]


def past(local: LocalContext, v: GraphView, node: int) -> list[int]:
    """What stands just before and at a node, and what gives it and the one before their arguments."""
    ops = numbers(v)
    places = [node - back for back in range(local.reach)]
    for back in range(local.givers):
        for position in range(2):
            target = node - back
            # Who gives two arguments counts as the giver of the first.
            firsts: dict[int, int] = {}
            for e in v.edges:
                if e.kind == "data" and e.target == target and e.source != target:
                    firsts[e.source] = min(e.position, firsts.get(e.source, 99))
            sources = [s for s, first in firsts.items() if first == position]
            places.append(min(sources) if target >= 0 and sources else -1)
    return at(ops, places)


def slowly(local: LocalContext, v: GraphView, node: int) -> torch.Tensor:
    """The same for one node, by going through the graph."""
    ops = numbers(v)
    data = [e for e in v.edges if e.kind == "data"]
    total = vectors(local.places, past(local, v, node))
    idle = [i for i in range(node + 1) if not any(e.source == i and i != e.target <= node for e in data)]
    for op in set(ops):
        total = total + math.log1p(sum(ops[i] == op for i in idle)) * local.idle.weight[op]
    seen = {j: past(local, v, j) for j in range(node + 1)}
    vector, scores = recalled(local.echoes, seen, {j: ops[j + 1] for j in range(node)}, node)
    return local.scores(total + vector) + scores


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


def around(local: HiddenScores | GapScores, v: GraphView, node: int) -> list[int]:
    """What stands around one node, by going through the graph."""
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
    return at(numbers(v), read)


def made(kind: type, order: bool) -> Any:
    torch.manual_seed(0)
    answers = (len(TABLE),) if kind is HiddenScores else ()
    return kind(replace(TINY, order=order), TABLE.size, *answers).eval()


@given(graphs(), st.booleans(), st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_hidden_is_looked_for_where_the_same_stands_around(graph, order, data):
    v = view(graph)
    masked = data.draw(st.sets(st.integers(0, len(v) - 1), max_size=4))
    shown = [hidden(v, masked), view(alternating(6))]
    local = made(HiddenScores, order)
    batch = batch_of([features(v, TABLE, masked=masked), features(shown[1], TABLE)])
    with torch.inference_mode():
        result = local(batch.operations, batch.relations, batch.nodes)
    for number, each in enumerate(shown):
        seen = {node: around(local, each, node) for node in range(len(each))}
        ops = dict(enumerate(numbers(each)))
        for node in seen:
            others = {j: op for j, op in ops.items() if j != node and op != MASKED}
            vector, scores = recalled(local.echoes, seen, others, node)
            expected = local.scores(vectors(local.places, seen[node]) + vector) + scores
            torch.testing.assert_close(result[number, node], expected, rtol=1e-4, atol=1e-4)


@given(graphs(), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_gap_is_looked_for_by_how_often_the_same_stands_around(graph, order):
    shown = [view(graph), view(alternating(6))]
    local = made(GapScores, order)
    batch = batch_of([features(v, TABLE) for v in shown])
    with torch.inference_mode():
        result = local(batch.operations, batch.relations, batch.nodes)
    for number, v in enumerate(shown):
        seen = [around(local, v, node) for node in range(len(v))]
        for node in range(len(v)):
            total = vectors(local.places, seen[node])
            for k, context in enumerate(local.repeats.contexts):
                key = [seen[node][p] for p in context]
                same = sum([each[p] for p in context] == key for each in seen)
                total = total + often(local.repeats, k, same - 1)
            torch.testing.assert_close(result[number, node], local.scores(total), rtol=1e-4, atol=1e-4)


def test_a_hidden_operation_is_copied_from_where_the_same_stands_around():
    """Untrained, the scores alone name what stands in the same place of another block."""
    v = view(bert())
    asked = 12
    assert [n.op for n in v.nodes[asked - 1 : asked + 2]] == ["layer_norm", "linear", "gelu"]
    local = made(HiddenScores, True)
    for part in (local.scores[-1].weight, local.scores[-1].bias):
        torch.nn.init.zeros_(part)

    def named(shown: GraphView) -> str:
        batch = batch_of([features(shown, TABLE, masked={asked})])
        with torch.inference_mode():
            return TABLE.names[int(local(batch.operations, batch.relations, batch.nodes)[0, asked].argmax())]

    assert named(v) == "linear"
    nodes = tuple(replace(n, op="mul") if n.op == "linear" else n for n in v.nodes)
    assert named(replace(v, nodes=nodes)) == "mul"


def test_without_order_the_order_of_independent_nodes_changes_nothing():
    v = view(fold(llama()))
    # The three that take one norm's result are made to differ: which of them comes first would be seen.
    norm = next(i for i, n in enumerate(v.nodes) if sum(e.source == i for e in v.edges) == 3)
    takers = [e.target for e in v.edges if e.source == norm]
    others = dict(zip(takers, ("add", "mul", "view"), strict=True))
    v = replace(v, nodes=tuple(replace(n, op=others.get(i, n.op)) for i, n in enumerate(v.nodes)))
    changed = set()
    for seed in range(6):
        other, place = reordered(v, random.Random(seed))
        for order in (False, True):
            for kind in (HiddenScores, GapScores):
                local = made(kind, order)
                with torch.inference_mode():
                    one, two = (
                        local(batch.operations, batch.relations, batch.nodes)[0]
                        for batch in (batch_of([features(each, TABLE)]) for each in (v, other))
                    )
                if not torch.allclose(one[: len(v)], two[: len(v)][place], atol=1e-5):
                    changed.add((kind, order))
    assert changed == {(HiddenScores, True), (GapScores, True)}
