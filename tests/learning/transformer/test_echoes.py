"""Repeats and echoes count what they say, against going through the graph node by node."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.learning.features import FIRST, MASKED
from madstar.learning.transformer.echoes import STEPS, Echoes, Repeats, hashed, step_of

SYMBOLS, WIDTH = FIRST + 3, 6
CONTEXTS = [(0,), (0, 1), (1,)]

rows = st.lists(st.tuples(*[st.integers(FIRST - 2, SYMBOLS - 1)] * 2), min_size=1, max_size=14)


def step(count: int) -> int:
    return next(i for i, most in enumerate((*STEPS, 10**9)) if count <= most)


def echoes() -> Echoes:
    torch.manual_seed(0)
    made = Echoes(WIDTH, SYMBOLS, CONTEXTS)
    torch.nn.init.normal_(made.strength)
    return made


@given(rows, st.integers(0, 14), st.data())
@settings(max_examples=40, deadline=None)
def test_echoes_are_what_stands_in_the_same_contexts(seen, nodes, data):
    found = [data.draw(st.integers(FIRST - 1, SYMBOLS - 1)) for _ in seen]
    count = len(seen)
    among = torch.tensor([[j < min(nodes, count) and j != i for j in range(count)] for i in range(count)])
    made = echoes()
    with torch.inference_mode():
        vectors, scores = made(torch.tensor([seen]), torch.tensor([found]), among[None])
    for i in range(count):
        vector, score = torch.zeros(WIDTH), torch.zeros(SYMBOLS)
        for number, context in enumerate(CONTEXTS):
            key = [seen[i][place] for place in context]
            same = [j for j in range(count) if among[i, j] and [seen[j][p] for p in context] == key]
            if MASKED in key:
                same = []
            which = step(len(same))
            vector = vector + made.often.weight[number * (len(STEPS) + 1) + which]
            for op, often in Counter(found[j] for j in same).items():
                share = often / len(same)
                vector = vector + share * made.maps[number].weight @ made.value.weight[op]
                score[op] += share * made.strength[number, which]
        torch.testing.assert_close(vectors[0, i], vector, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(scores[0, i], score[FIRST:], rtol=1e-4, atol=1e-5)


@given(rows, st.integers(1, 14))
@settings(max_examples=40, deadline=None)
def test_repeats_are_how_often_the_same_stands_elsewhere(seen, nodes):
    nodes = min(nodes, len(seen))
    torch.manual_seed(0)
    made = Repeats(WIDTH, CONTEXTS)
    with torch.inference_mode():
        found = made(torch.tensor([seen]), (torch.arange(len(seen)) < nodes)[None])
    for i in range(nodes):
        vector = torch.zeros(WIDTH)
        for number, context in enumerate(CONTEXTS):
            key = [seen[i][place] for place in context]
            others = sum([seen[j][p] for p in context] == key for j in range(nodes) if j != i)
            vector = vector + made.often.weight[number * (len(STEPS) + 1) + step(others)]
        torch.testing.assert_close(found[0, i], vector, rtol=1e-4, atol=1e-5)


def test_graphs_of_a_batch_do_not_answer_one_another():
    made = echoes()
    one, other = torch.tensor([[[5, 4], [5, 6], [4, 4]]]), torch.tensor([[[5, 4], [4, 6], [5, 5]]])
    ops = torch.tensor([[4, 5, 6]])
    among = ~torch.eye(3, dtype=torch.bool)[None]
    with torch.inference_mode():
        alone = made(one, ops, among)
        beside = made(torch.cat([other, one]), torch.cat([ops, ops]), among)
    for a, b in zip(alone, beside, strict=True):
        torch.testing.assert_close(a[0], b[1])


@pytest.mark.parametrize(
    ("count", "expected"), [(0, 0), (1, 1), (2, 2), (3, 3), (4, 3), (5, 4), (9, 5), (500, 5)]
)
def test_steps(count, expected):
    assert step_of(torch.tensor(count)).item() == expected


def test_no_two_short_contexts_of_small_numbers_have_one_hash():
    pairs = torch.cartesian_prod(torch.arange(300), torch.arange(300))
    assert len(hashed(pairs).unique()) == len(pairs)
    triples = torch.randint(0, 300, (60_000, 3), generator=torch.Generator().manual_seed(0)).unique(dim=0)
    assert len(triples) - len(hashed(triples).unique()) < 5  # by chance about 0.8 of so many
