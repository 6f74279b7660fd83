"""An example as the transformer takes it: arrays of what may be seen, and numbers asked and answered.

A graph larger than the limit becomes several questions, one for each of the parts it is cut into. Parts
overlap by half; each answers for the nodes of its middle, so that all of them are asked once, with as much
around them as can be had.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ...errors import DataError
from ..datasets.examples import Classified, Completion, Example, Incomplete, Links, Operations
from ..features import FIRST, Features, Integers, OperationTable, features
from ..hiding import place, prefix, without, without_edges
from ..view import GraphView

NOWHERE, UNTOLD = -1, -2
"""Answers: nothing is missing here, or the source lies outside the part; and not to be judged."""


@dataclass(frozen=True)
class Question:
    """What is seen, and k questions: the node asked, the argument's position, the answer.

    An answer is a number of an operation (NOWHERE for one that the table does not know), a source, a place
    or a label, as the task has it. A completion asks at `asked` for what comes after; its `sources` are rows
    (node before, position, source, operation). `start` is where the part begins in the graph shown, `own`
    the nodes it answers for.
    """

    task: str
    features: Features
    asked: Integers
    positions: Integers
    answers: Integers
    sources: Integers
    start: int = 0
    own: tuple[int, int] = (0, 0)

    @property
    def tokens(self) -> int:
        """Nodes and blocks."""
        return len(self.features) + len(self.features.blocks)


def spans(count: int, limit: int) -> list[tuple[int, int, int, int]]:
    """Parts of a graph of `count` nodes: where each starts and stops, and the nodes it answers for."""
    if count <= limit:
        return [(0, count, 0, count)]
    step = limit // 2
    starts = [*range(0, count - limit, step), count - limit]
    middles = [0, *((a + limit + b) // 2 for a, b in pairwise(starts)), count]
    return [(s, s + limit, middles[i], middles[i + 1]) for i, s in enumerate(starts)]


def questions(
    example: Example, view: GraphView, table: OperationTable, labels: tuple[str, ...], limit: int
) -> list[Question]:
    """The questions of an example, one for each part of the graph.

    Raises:
        DataError: an example of a task that the transformer does not answer.
    """
    match example:
        case Operations():
            return list(_operations(example, view, table, limit))
        case Links():
            return list(_links(example, view, table, limit))
        case Incomplete():
            return list(_incomplete(example, view, table, limit))
        case Completion():
            return [completion(view, table, limit, example.given)]
        case Classified():
            known = [name for name in labels_of(example.question, labels) if word(name) == example.label]
            answer = labels.index(known[0]) if known else UNTOLD
            whole = features(view, table)
            return [
                _question("classification", whole.part(a, b), answers=[answer], start=a, own=own)
                for a, b, *own in spans(len(whole), limit)
            ]
    raise DataError(f"{type(example).__name__}: the graph transformer has no head for this task")


def _operations(
    example: Operations, view: GraphView, table: OperationTable, limit: int
) -> Iterator[Question]:
    whole = features(view, table, masked=example.masked)
    numbers = answers_of(table)
    masked = np.array(example.masked, np.int32)
    answers = np.array([numbers.get(view.nodes[i].op, NOWHERE) for i in example.masked], np.int32)
    for start, stop, low, high in spans(len(view), limit):
        here = (masked >= low) & (masked < high)
        if here.any():
            yield _question(
                "operation",
                whole.part(start, stop),
                asked=masked[here] - start,
                answers=answers[here],
                start=start,
                own=(low, high),
            )


def _links(example: Links, view: GraphView, table: OperationTable, limit: int) -> Iterator[Question]:
    whole = features(without_edges(view, example.removed), table)
    gone = [view.edges[number] for number in example.removed]
    rows = [(e.target, e.position, e.source) for e in gone]
    rows += [(target, position, NOWHERE) for target, position in example.decoys]
    asked = np.array(rows, np.int32).reshape(-1, 3)
    for start, stop, low, high in spans(len(view), limit):
        here = asked[(asked[:, 0] >= low) & (asked[:, 0] < high)]
        if len(here):
            outside = (here[:, 2] >= 0) & (here[:, 2] < start)
            sources = np.where(outside, UNTOLD, np.where(here[:, 2] < 0, NOWHERE, here[:, 2] - start))
            yield _question(
                "link",
                whole.part(start, stop),
                asked=here[:, 0] - start,
                positions=here[:, 1],
                answers=sources,
                start=start,
                own=(low, high),
            )


def _incomplete(
    example: Incomplete, view: GraphView, table: OperationTable, limit: int
) -> Iterator[Question]:
    shown = without(view, example.deleted)
    whole = features(shown, table)
    where = place(view, example.deleted) if example.deleted >= 0 else NOWHERE
    known = example.deleted < 0 or where >= 0
    for start, stop, low, high in spans(len(shown), limit):
        answer = where - start if low <= where < high else NOWHERE
        yield _question(
            "incomplete",
            whole.part(start, stop),
            answers=[answer if known else UNTOLD],
            start=start,
            own=(low, high),
        )


def completion(
    view: GraphView, table: OperationTable, limit: int, given: int | None = None, stop: int | None = None
) -> Question:
    """What comes after node `given` - 1, or, with None, after every one of the `limit` nodes before `stop`.

    Without `stop` these are a graph's first.
    """
    count = given if given is not None else min(len(view), limit if stop is None else stop)
    start = max(0, count - limit)
    shown = features(prefix(view, count), table, causal=True).part(start, count)
    numbers = answers_of(table)
    before = [count - 1] if given is not None else list(range(max(start, _inputs(view)), count - 1))
    answers = [numbers.get(view.nodes[i + 1].op, NOWHERE) if i + 1 < len(view) else UNTOLD for i in before]
    wanted = {i + 1: answer for i, answer in zip(before, answers, strict=True)}
    rows = []
    places: dict[int, int] = {}
    for edge in view.edges:
        if edge.kind == "data" and edge.target in wanted:
            position = places[edge.target] = places.get(edge.target, -1) + 1
            if edge.source >= start:
                operation = wanted[edge.target]
                rows.append((edge.target - 1 - start, position, edge.source - start, operation))
    return _question(
        "completion",
        shown,
        asked=np.array(before, np.int32) - start,
        answers=answers,
        sources=np.array(rows, np.int32).reshape(-1, 4),
        start=start,
        own=(start, count),
    )


def answers_of(table: OperationTable) -> Mapping[str, int]:
    """The number of each operation as an answer."""
    return {name: number - FIRST for name, number in table.numbers().items() if number >= FIRST}


def labels_of(question: str, labels: tuple[str, ...]) -> tuple[str, ...]:
    """The labels that answer a question: those that name it, or, where none does, all that name none."""
    found = tuple(name for name in labels if name.startswith(f"{question}:"))
    return found or tuple(name for name in labels if ":" not in name)


def word(label: str) -> str:
    """A label without its question."""
    return label.partition(":")[2] or label


def _inputs(view: GraphView) -> int:
    """The last of the inputs that come first, or 0."""
    count = next((i for i, node in enumerate(view.nodes) if node.op != "input"), len(view))
    return max(0, count - 1)


def _question(
    task: str,
    shown: Features,
    *,
    asked: Integers | None = None,
    positions: Integers | None = None,
    answers: Integers | list[int],
    sources: Integers | None = None,
    start: int,
    own: tuple[int, int] | list[int],
) -> Question:
    asked = np.zeros(0, np.int32) if asked is None else asked.astype(np.int32)
    positions = np.zeros(len(asked), np.int32) if positions is None else positions.astype(np.int32)
    sources = np.zeros((0, 4), np.int32) if sources is None else sources
    low, high = own
    return Question(
        task, shown, asked, positions, np.array(answers, np.int32), sources, start, (int(low), int(high))
    )
