"""Answers held against views: figures over all questions, of every family, and their mean over families.

Large families and large graphs have most questions, so that a figure over all says mostly how these are
answered; the mean over families is what is reported first. Contexts are *seen* where the operations within
two edges of what is asked stand around some node of a training graph.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..baselines.learner import Views
from ..baselines.wiring import wide_context, wiring
from ..datasets.answers import Next, Sources, Suspicion
from ..datasets.examples import Classified, Completion, Incomplete, Links, Measured, Operations
from ..hiding import place
from ..metrics import above_others, accuracy, auc, macro_f1, mean, reciprocal_rank, tau
from ..view import GraphView

SPANS = (2, 5, 16)
"""Links are also judged from these distances up."""

HEADLINES: Mapping[str, tuple[str, ...]] = {
    "operation": (
        *("accuracy", "macro-F1", "accuracy seen", "accuracy unseen"),
        *("accuracy spans", "accuracy blocks"),
    ),
    "link": ("MRR", "MRR >= 5", "MRR >= 16", "MRR seen", "MRR unseen"),
    "incomplete": ("AUC across", "paired", "place MRR", "place MRR seen", "place MRR unseen"),
    "completion": ("accuracy", "macro-F1", "sources MRR", "accuracy seen", "accuracy unseen"),
    "classification": ("accuracy", "macro-F1", "accuracy matched"),
    "performance": ("tau", "MAE"),
}
"""The measures of each task in the order in which they are shown; all but MAE are better when higher."""


@dataclass(frozen=True)
class Judged:
    """Figures by measure: over all questions, and the mean over families; by family; numbers of questions.

    Measures that nothing was asked for are left out.
    """

    plain: Mapping[str, float]
    families: Mapping[str, float]
    by_family: Mapping[str, Mapping[str, float]]
    counts: Mapping[str, int]


class Contexts:
    """The contexts of two hops, own operation left out, of all nodes of training graphs."""

    def __init__(self, views: Iterable[GraphView]) -> None:
        self.known: set[int] = set()
        self.ops: set[str] = set()
        for view in views:
            w = wiring(view)
            self.ops.update(w.ops)
            self.known.update(hash(wide_context(w, node)) for node in range(len(w)))

    def seen(self, view: GraphView, nodes: Iterable[int]) -> list[bool]:
        """Whether each node's context is one of them."""
        w = wiring(view)
        return [hash(wide_context(w, node)) in self.known for node in nodes]


Record = tuple[Any, ...]
Figures = Callable[[Sequence[Record]], dict[str, float]]


def judge(
    task: str,
    examples: Sequence[Any],
    answers: Sequence[Any],
    views: Views,
    families: Mapping[str, str],
    contexts: Contexts,
) -> Judged:
    """Judge the answers to a task's examples.

    Args:
        task: One of `datasets.examples.TASKS`.
        examples: What was asked.
        answers: What a learner predicted for each.
        views: By entry.
        families: By entry; an entry without one is a family of its own.
        contexts: Of the training graphs.
    """
    records, figures = _OF_TASK[task]
    by_family: dict[str, list[Record]] = defaultdict(list)
    unseen = 0
    for example, answer in zip(examples, answers, strict=True):
        family = families.get(example.entry, example.entry)
        by_family[family] += records(example, answer, views[example.entry], contexts)
        if isinstance(example, Operations):
            nodes = views[example.entry].nodes
            unseen += sum(nodes[i].op not in contexts.ops for i in example.masked)
    every = [record for found in by_family.values() for record in found]
    each = {family: _known(figures(found)) for family, found in sorted(by_family.items())}
    plain = _known(figures(every))
    if task == "incomplete":
        shares = _across(by_family)
        plain |= _known({"AUC across": mean([share for found in shares.values() for share in found])})
        for family, found in shares.items():
            each[family] |= _known({"AUC across": mean(found)})
    over = {
        name: mean([found[name] for found in each.values() if name in found])
        for name in plain
        if any(name in found for found in each.values())
    }
    counts = {"questions": len(every), "families": len(each), "examples": len(examples)}
    if task == "operation":
        counts["of unseen types"] = unseen
    return Judged(plain, over, each, counts)


def _known(figures: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in figures.items() if not np.isnan(value)}


def _operations(example: Operations, answer: Sequence[str], view: GraphView, c: Contexts) -> Iterator[Record]:
    seen = c.seen(view, example.masked)
    for node, op, known in zip(example.masked, answer, seen, strict=True):
        yield view.nodes[node].op, op, known, example.way


def _of_masked(records: Sequence[Record]) -> dict[str, float]:
    """With spans of neighbours masked and with whole blocks masked told apart: the latter are harder."""
    return _of_operations([r[:3] for r in records]) | {
        f"accuracy {way}": mean([float(r[0] == r[1]) for r in records if r[3] == way])
        for way in ("spans", "blocks")
    }


def _of_operations(records: Sequence[Record]) -> dict[str, float]:
    truths, answers = [r[0] for r in records], [r[1] for r in records]
    return {
        "accuracy": accuracy(truths, answers),
        "macro-F1": macro_f1(truths, answers),
        "accuracy seen": mean([float(t == a) for t, a, seen in records if seen]),
        "accuracy unseen": mean([float(t == a) for t, a, seen in records if not seen]),
        "share seen": mean([float(r[2]) for r in records]),
    }


def _links(example: Links, answer: Sources, view: GraphView, c: Contexts) -> Iterator[Record]:
    edges = [view.edges[number] for number in example.removed]
    seen = c.seen(view, [edge.target for edge in edges])
    for edge, scores, known in zip(edges, answer.scores, seen, strict=True):
        yield "source", edge.target - edge.source, reciprocal_rank(scores, edge.source), known
    for number, score in enumerate(answer.missing):
        yield "missing", number < len(edges), float(score)


def _of_links(records: Sequence[Record]) -> dict[str, float]:
    found = [r for r in records if r[0] == "source"]
    missing = [r for r in records if r[0] == "missing"]
    return {
        "MRR": mean([r[2] for r in found]),
        **{f"MRR >= {span}": mean([r[2] for r in found if r[1] >= span]) for span in SPANS[1:]},
        "MRR seen": mean([r[2] for r in found if r[3]]),
        "MRR unseen": mean([r[2] for r in found if not r[3]]),
        "missing AUC": auc([r[1] for r in missing], [r[2] for r in missing]),
    }


def _incomplete(example: Incomplete, answer: Suspicion, view: GraphView, c: Contexts) -> Iterator[Record]:
    if example.deleted < 0:
        yield example.entry, False, float(answer.score), None, None
        return
    where = place(view, example.deleted)
    rank = reciprocal_rank(answer.places, where) if where >= 0 else None
    yield example.entry, True, float(answer.score), rank, c.seen(view, [example.deleted])[0]


def _of_incomplete(records: Sequence[Record]) -> dict[str, float]:
    whole: dict[str, list[float]] = defaultdict(list)
    for entry, gap, score, _, _ in records:
        if not gap:
            whole[entry].append(score)
    pairs = [
        float(score > other) + 0.5 * float(score == other)
        for entry, gap, score, _, _ in records
        if gap
        for other in whole[entry]
    ]
    places = [(r[3], r[4]) for r in records if r[3] is not None]
    return {
        "AUC": auc([r[1] for r in records], [r[2] for r in records]),
        "paired": mean(pairs),
        "place MRR": mean([rank for rank, _ in places]),
        "place MRR seen": mean([rank for rank, seen in places if seen]),
        "place MRR unseen": mean([rank for rank, seen in places if not seen]),
    }


def _across(by_family: Mapping[str, Sequence[Record]]) -> dict[str, list[float]]:
    """By family, for each gap the share of whole graphs of other entries that have a lower score."""
    every = [(family, record) for family, found in by_family.items() for record in found]
    shares = above_others(
        [r[0] for _, r in every], [bool(r[1]) for _, r in every], [float(r[2]) for _, r in every]
    )
    found: dict[str, list[float]] = {family: [] for family in by_family}
    for (family, _), share in zip(every, shares, strict=True):
        found[family] += [] if np.isnan(share) else [share]
    return found


def _completion(example: Completion, answer: Next, view: GraphView, c: Contexts) -> Iterator[Record]:
    sources = [s for _, s in wiring(view).parents[example.given]]
    ranks = [reciprocal_rank(scores, s) for scores, s in zip(answer.scores, sources, strict=True)]
    yield view.nodes[example.given].op, answer.op, c.seen(view, [example.given])[0], tuple(ranks)


def _of_completion(records: Sequence[Record]) -> dict[str, float]:
    found = _of_operations([r[:3] for r in records])
    return {**found, "sources MRR": mean([rank for r in records for rank in r[3]])}


def _classified(example: Classified, answer: str, view: GraphView, c: Contexts) -> Iterator[Record]:
    yield example.label, answer, bool(example.confuser)


def _of_classified(records: Sequence[Record]) -> dict[str, float]:
    truths, answers = [r[0] for r in records], [r[1] for r in records]
    return {
        "accuracy": accuracy(truths, answers),
        "macro-F1": macro_f1(truths, answers),
        "accuracy matched": mean([float(r[0] == r[1]) for r in records if r[2]]),
    }


def _measured(example: Measured, answer: float, view: GraphView, c: Contexts) -> Iterator[Record]:
    yield (example.task, example.budget), example.value, float(answer)


def _of_measured(records: Sequence[Record]) -> dict[str, float]:
    """Ranks count within a task and budget alone, and the mean is over these."""
    groups: dict[object, list[Record]] = defaultdict(list)
    for record in records:
        groups[record[0]].append(record)
    taus = [tau([r[1] for r in group], [r[2] for r in group]) for group in groups.values()]
    return {
        "tau": mean([each for each in taus if not np.isnan(each)]),
        "MAE": mean([abs(r[1] - r[2]) for r in records]),
    }


_OF_TASK: dict[str, tuple[Callable[..., Iterator[Record]], Figures]] = {
    "operation": (_operations, _of_masked),
    "link": (_links, _of_links),
    "incomplete": (_incomplete, _of_incomplete),
    "completion": (_completion, _of_completion),
    "classification": (_classified, _of_classified),
    "performance": (_measured, _of_measured),
}
