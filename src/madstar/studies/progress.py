"""Whether offspring did better than their parents: by operator of variation, by staleness, by worker.

A child is compared with its mid-parent, the mean of its parents' figures (Falconer and Mackay,
Introduction to Quantitative Genetics, chapter 10), at a rung that it and all its parents were
measured at. Only the search's own evaluations count: they share one training seed.

Two things to know when reading the changes. Parents were chosen for figures that were good partly by
luck, so a child that is as good as its parents looks a little worse on average. At rungs above the
first the child was chosen too, and looks better. And siblings share parents, so intervals that take
pairs as independent are a little too narrow.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..archive import CandidateRow, EvaluationRow
from ..objectives import Objective
from .ancestry import parents_of
from .statistics import Interval, kendall, mean_interval, wilson

# By candidate and rung.
Figures = Mapping[tuple[int, int], EvaluationRow]


@dataclass(frozen=True)
class Pair:
    """A child and its parents at one rung, in one objective.

    `change` is the child's figure less its mid-parent's, in the objective's unit; `cost` is the same
    with the sign that makes less better. `improved` where the child is better than each of its parents.
    """

    child: int
    change: float
    cost: float
    improved: bool


@dataclass(frozen=True)
class Change:
    """What an operator changed in one objective at one rung.

    `change` is the mean over pairs of child and mid-parent, in the objective's unit, with its
    interval; `improved` the share of children better than each of their parents.
    """

    objective: str
    rung: int
    change: Interval
    improved: Interval


@dataclass(frozen=True)
class Staleness:
    """How many evaluations were under way when a candidate was proposed, and whether it mattered.

    `counts` are candidates by staleness. `tau` is Kendall's rank correlation of staleness with the
    child's cost against its mid-parent in `objective` at `rung`, over `pairs`: above 0 where stale
    children did worse. It and its p-value are nan where staleness or change did not vary.
    """

    counts: dict[int, int]
    objective: str
    rung: int
    pairs: int
    tau: float
    p: float


@dataclass(frozen=True)
class WorkerRecord:
    """What one worker did: evaluations, those that failed, seconds, and the children it measured first.

    `improved` is the share of these that were better than each of their parents.
    """

    worker: int
    evaluations: int
    failed: int
    seconds: float
    improved: Interval


def figures(evaluations: Iterable[EvaluationRow]) -> dict[tuple[int, int], EvaluationRow]:
    """The search's successful evaluations by candidate and rung."""
    return {
        (row.candidate, row.rung): row for row in evaluations if row.stage == "search" and row.status == "ok"
    }


def pairs(
    candidates: Mapping[int, CandidateRow], measured: Figures, objective: Objective, rung: int
) -> dict[int, Pair]:
    """Every child that has a figure at that rung, as have all its parents; by the child's number."""
    found = {}
    for index, row in candidates.items():
        parents = parents_of(row, candidates)
        child = _value(measured, index, rung, objective)
        theirs = [_value(measured, parent, rung, objective) for parent in parents]
        if not parents or child is None or None in theirs:
            continue
        known = [value for value in theirs if value is not None]
        change = child - math.fsum(known) / len(known)
        found[index] = Pair(
            index,
            change,
            objective.cost(change),
            all(objective.cost(child) < objective.cost(value) for value in known),
        )
    return found


def changes(
    members: Sequence[int], found: Mapping[tuple[str, int], Mapping[int, Pair]]
) -> tuple[Change, ...]:
    """What has changed from parents to children among `members`; `found` are pairs by objective and rung.

    An objective and rung without pairs is left out.
    """
    told = []
    for (objective, rung), by_child in found.items():
        mine = [by_child[index] for index in members if index in by_child]
        if mine:
            told.append(
                Change(
                    objective,
                    rung,
                    mean_interval([pair.change for pair in mine]),
                    wilson(sum(pair.improved for pair in mine), len(mine)),
                )
            )
    return tuple(told)


def staleness(
    candidates: Iterable[CandidateRow], trained: frozenset[int], found: Mapping[int, Pair], objective: str
) -> Staleness:
    """The staleness of the candidates that were trained, and its association with how they did."""
    rows = [row for row in candidates if row.index in trained]
    compared = [row for row in rows if row.index in found]
    stale, costs = [row.staleness for row in compared], [found[row.index].cost for row in compared]
    # Two pairs always agree or disagree; three are the fewest that say anything.
    varied = len(compared) > 2 and len(set(stale)) > 1 and len(set(costs)) > 1
    tau, p = kendall(stale, costs) if varied else (math.nan, math.nan)
    counts = Counter(row.staleness for row in rows)
    return Staleness(dict(sorted(counts.items())), objective, 0, len(compared), tau, p)


def by_worker(evaluations: Iterable[EvaluationRow], found: Mapping[int, Pair]) -> tuple[WorkerRecord, ...]:
    """What each worker did in the search, by number. `found` are pairs at the first rung."""
    rows = [row for row in evaluations if row.stage == "search"]
    records = []
    for worker in sorted({row.worker for row in rows}):
        mine = [row for row in rows if row.worker == worker]
        children = [row.candidate for row in mine if row.rung == 0 and row.candidate in found]
        records.append(
            WorkerRecord(
                worker,
                len(mine),
                sum(row.status not in ("ok", "infeasible") for row in mine),
                math.fsum(row.timings.get("total", row.finished_at - row.started_at) for row in mine),
                wilson(sum(found[child].improved for child in children), len(children)),
            )
        )
    return tuple(records)


def _value(measured: Figures, index: int, rung: int, objective: Objective) -> float | None:
    row = measured.get((index, rung))
    value = row.values.get(objective.name) if row else None
    return value if value is not None and math.isfinite(value) else None
