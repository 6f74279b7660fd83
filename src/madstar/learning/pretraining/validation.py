"""How good a transformer is on validation examples, in the figures by which its best step is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..datasets.examples import Example
from ..hiding import place
from ..transformer.model import GraphTransformer
from ..view import GraphView
from .answering import predict

MOST = 40
"""Examples of a task that are asked at each validation."""


def validate(
    model: GraphTransformer, examples: Mapping[str, Sequence[Example]], views: Mapping[str, GraphView]
) -> dict[str, float]:
    """A figure for each task that has examples, and under "mean" their mean; all from 0 to 1.

    Accuracy for operations, completions and classes, mean reciprocal rank for links, for incomplete graphs
    the mean of that of the place and of the share of intact graphs told from deleted ones (area under the
    curve). Of many examples, `MOST` at even distances are asked.
    """
    found: dict[str, float] = {}
    for task, all_of_them in examples.items():
        few = all_of_them[:: max(1, -(-len(all_of_them) // MOST))]
        judge = _JUDGES.get(task)
        if few and judge is not None:
            found[task] = judge(few, predict(model, few, views), views)
    if found:
        found["mean"] = float(np.mean(list(found.values())))
    return found


def reciprocal_rank(scores: np.ndarray, right: int) -> float:
    """One over the place of the right one, ties against it."""
    others = np.delete(scores, right)
    return 1.0 / (1 + int((others >= scores[right]).sum()))


def area_under_curve(higher: Sequence[float], lower: Sequence[float]) -> float:
    """The share of pairs in which the one of `higher` is above; ties count half; nan without pairs."""
    if not higher or not lower:
        return float("nan")
    a, b = np.array(higher)[:, None], np.array(lower)[None, :]
    return float(((a > b) + 0.5 * (a == b)).mean())


def _operation(examples: Sequence[Any], answers: Sequence[Any], views: Mapping[str, GraphView]) -> float:
    right = [
        views[e.entry].nodes[node].op == op
        for e, answer in zip(examples, answers, strict=True)
        for node, op in zip(e.masked, answer.operations, strict=True)
    ]
    return float(np.mean(right)) if right else 0.0


def _link(examples: Sequence[Any], answers: Sequence[Any], views: Mapping[str, GraphView]) -> float:
    ranks = [
        reciprocal_rank(scores, views[e.entry].edges[number].source)
        for e, answer in zip(examples, answers, strict=True)
        for number, scores in zip(e.removed, answer.scores, strict=True)
    ]
    return float(np.mean(ranks)) if ranks else 0.0


def _incomplete(examples: Sequence[Any], answers: Sequence[Any], views: Mapping[str, GraphView]) -> float:
    pairs = list(zip(examples, answers, strict=True))
    gaps = [answer.score for e, answer in pairs if e.deleted >= 0]
    whole = [answer.score for e, answer in pairs if e.deleted < 0]
    found = []
    for e, answer in pairs:
        if e.deleted >= 0 and (where := place(views[e.entry], e.deleted)) >= 0:
            found.append(reciprocal_rank(answer.places, where))
    figures = [f for f in (area_under_curve(gaps, whole), float(np.mean(found or [np.nan]))) if f == f]
    return float(np.mean(figures)) if figures else 0.0


def _completion(examples: Sequence[Any], answers: Sequence[Any], views: Mapping[str, GraphView]) -> float:
    right = [views[e.entry].nodes[e.given].op == a.op for e, a in zip(examples, answers, strict=True)]
    return float(np.mean(right))


def _classification(examples: Sequence[Any], answers: Sequence[Any], views: Mapping[str, GraphView]) -> float:
    del views
    return float(np.mean([e.label == a for e, a in zip(examples, answers, strict=True)]))


_JUDGES = {
    "operation": _operation,
    "link": _link,
    "incomplete": _incomplete,
    "completion": _completion,
    "classification": _classification,
}
