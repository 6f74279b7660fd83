"""Questions are those of the examples: the right answers at the right numbers, also in parts."""

from __future__ import annotations

import random

import numpy as np
import pytest
from tests.graph.graphs import alternating, bert

from madstar.errors import DataError
from madstar.learning.datasets import drawing
from madstar.learning.datasets.examples import Completion, Incomplete, Links, Measured, Operations
from madstar.learning.features import FIRST, MASKED, OperationTable
from madstar.learning.hiding import place
from madstar.learning.pretraining.drawing import (
    deletable,
    draw_incomplete,
    draw_links,
    draw_operations,
)
from madstar.learning.pretraining.questions import NOWHERE, UNTOLD, completion, questions, spans
from madstar.learning.view import view

SHOWN = view(bert(6))
TABLE = OperationTable(tuple(sorted({node.op for node in SHOWN.nodes} - {"softmax"})))


@pytest.mark.parametrize("count", [1, 15, 16, 17, 31, 40, 200, 203])
def test_parts_answer_for_every_node_once(count):
    found = spans(count, 16)
    owned = [i for _, _, low, high in found for i in range(low, high)]
    assert owned == list(range(count))
    for start, stop, low, high in found:
        assert 0 <= start <= low <= high <= stop <= count
        assert stop - start <= 16


@pytest.mark.parametrize("limit", [16, 500])
def test_masked_operations(limit):
    example = drawing.operations(SHOWN, random.Random(1), "x")
    assert example is not None
    asked = []
    for question in questions(example, SHOWN, TABLE, (), limit):
        assert (question.features.operations[question.asked] == MASKED).all()
        assert (question.features.operations == MASKED).sum() >= len(question.asked)
        for node, answer in zip(question.asked, question.answers, strict=True):
            op = SHOWN.nodes[node + question.start].op
            assert (TABLE.names[answer] if answer >= 0 else "softmax") == op
            asked.append(int(node) + question.start)
    assert tuple(asked) == example.masked


@pytest.mark.parametrize("limit", [16, 500])
def test_links(limit):
    example = drawing.links(SHOWN, random.Random(2), "x")
    assert example is not None
    gone = {(SHOWN.edges[i].target, SHOWN.edges[i].position): SHOWN.edges[i].source for i in example.removed}
    found = {}
    for question in questions(example, SHOWN, TABLE, (), limit):
        shown = {(int(t) + question.start, int(p)) for _, t, p, _ in question.features.edges}
        assert not shown & set(gone)
        for node, position, answer in zip(question.asked, question.positions, question.answers, strict=True):
            key = int(node) + question.start, int(position)
            found[key] = int(answer) + question.start if answer >= 0 else int(answer)
            if answer == UNTOLD:
                assert gone[key] < question.start
    assert set(found) == set(gone) | set(example.decoys)
    for key, answer in found.items():
        assert answer in ((gone[key], UNTOLD) if key in gone else (NOWHERE,))


@pytest.mark.parametrize("limit", [16, 500])
def test_incomplete(limit):
    for example in drawing.incomplete(SHOWN, random.Random(3), "x"):
        parts = questions(example, SHOWN, TABLE, (), limit)
        places = [int(q.answers[0]) + q.start for q in parts if q.answers[0] >= 0]
        assert sum(q.own[1] - q.own[0] for q in parts) == len(SHOWN) - (example.deleted >= 0)
        assert places == ([place(SHOWN, example.deleted)] if example.deleted >= 0 else [])


def test_completion_asks_for_what_comes_after():
    given = len(SHOWN) - 4
    question = completion(SHOWN, TABLE, 500, given)
    assert len(question.features) == given
    assert TABLE.names[question.answers[0]] == SHOWN.nodes[given].op
    wanted = [e.source for e in SHOWN.edges if e.target == given and e.kind == "data"]
    assert question.sources[:, 2].tolist() == wanted
    everywhere = completion(SHOWN, TABLE, 500)
    for node, answer in zip(everywhere.asked, everywhere.answers, strict=True):
        if answer >= 0:
            assert TABLE.names[answer] == SHOWN.nodes[node + 1].op
    for before, _, source, operation in everywhere.sources.tolist():
        assert source <= before
        assert operation == everywhere.answers[everywhere.asked.tolist().index(before)]
        assert any(e.source == source and e.target == before + 1 for e in SHOWN.edges)
    part = completion(SHOWN, TABLE, 16, given)
    np.testing.assert_array_equal(part.features.operations, question.features.operations[-16:])


@pytest.mark.parametrize("stop", [16, 30, len(SHOWN)])
def test_completion_anywhere_asks_for_what_comes_after_there(stop):
    question = completion(SHOWN, TABLE, 16, stop=stop)
    start = stop - 16
    assert question.start == start
    assert len(question.features) == 16
    for node, answer in zip(question.asked, question.answers, strict=True):
        op = SHOWN.nodes[start + node + 1].op
        assert answer == (TABLE.names.index(op) if op in TABLE.names else NOWHERE)
    assert question.asked[-1] == 14
    for before, _, source, _ in question.sources.tolist():
        assert any(e.source == start + source and e.target == start + before + 1 for e in SHOWN.edges)


def test_drawn_examples_are_of_the_kinds_that_are_asked():
    shown, rng = view(alternating(6)), np.random.default_rng(0)
    masked = draw_operations("x", shown, rng)
    assert isinstance(masked, Operations)
    assert all(shown.nodes[i].op != "input" for i in masked.masked)
    links = draw_links("x", SHOWN, rng)
    assert isinstance(links, Links)
    targets = [SHOWN.edges[i].target for i in links.removed]
    assert len(set(targets)) == len(targets)
    assert not set(targets) & {target for target, _ in links.decoys}
    able = deletable(SHOWN)
    drawn = draw_incomplete("x", able, rng)
    assert isinstance(drawn, Incomplete)
    assert drawn.deleted in able[SHOWN.nodes[drawn.deleted].op]
    assert draw_incomplete("x", {}, rng) is None


def test_a_task_without_a_head_is_refused():
    with pytest.raises(DataError, match="no head"):
        questions(Measured("x", "quality", "8", 1.0, None, 1), SHOWN, TABLE, (), 64)


def test_the_column_of_answers_is_that_of_operations():
    question = questions(Completion("x", 5), SHOWN, TABLE, (), 64)[0]
    shown = question.features.operations[4]
    assert TABLE.names[shown - FIRST] == SHOWN.nodes[4].op
