"""What a watcher remembers of the evaluations it was told of: enough for the front so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..archive import CandidateRow, EvaluationRow
from ..objectives import Objective
from ..search.ranking import nondominated
from .quantities import one_line


@dataclass(frozen=True)
class Figures:
    """One line of a table: a candidate or baseline, with figures and standard errors by name."""

    label: str
    values: dict[str, float]
    errors: dict[str, float]


@dataclass
class Tally:
    """Built up by `add`, one evaluation at a time. Failed evaluations are of no interest to it."""

    objectives: Sequence[Objective]
    _candidates: dict[int, CandidateRow] = field(default_factory=dict)
    _rungs: dict[int, dict[int, EvaluationRow]] = field(default_factory=dict)
    _front: tuple[Figures, ...] | None = None

    def add(self, candidate: CandidateRow, evaluation: EvaluationRow) -> None:
        """Take in an evaluation."""
        if evaluation.status == "ok":
            self._candidates[candidate.index] = candidate
            self._rungs.setdefault(evaluation.rung, {})[candidate.index] = evaluation
            self._front = None

    @property
    def rung(self) -> int | None:
        """The highest rung that a candidate has reached; None before the first."""
        reached = [rung for rung in self._rungs if self._at(rung, "search")]
        return max(reached, default=None)

    @property
    def front(self) -> tuple[Figures, ...]:
        """The candidates at `rung` that none there dominates, best in the first objective first."""
        if self._front is None:
            self._front = self._find_front()
        return self._front

    def _find_front(self) -> tuple[Figures, ...]:
        rung = self.rung
        if rung is None:
            return ()
        rows = self._at(rung, "search")
        costs = np.array([self._costs(row) for row in rows])
        best = [row for row, free in zip(rows, nondominated(costs), strict=True) if free]
        return tuple(map(self._figures, sorted(best, key=self._costs)))

    @property
    def baselines(self) -> tuple[Figures, ...]:
        """The baselines that have been measured at `rung`."""
        return () if self.rung is None else tuple(map(self._figures, self._at(self.rung, "baseline")))

    def _at(self, rung: int, role: str) -> list[EvaluationRow]:
        rows = self._rungs.get(rung, {})
        return [row for index, row in sorted(rows.items()) if self._candidates[index].role == role]

    def _costs(self, row: EvaluationRow) -> tuple[float, ...]:
        costs = (o.cost(row.values.get(o.name, math.nan)) for o in self.objectives)
        return tuple(math.inf if math.isnan(cost) else cost for cost in costs)

    def _figures(self, row: EvaluationRow) -> Figures:
        candidate = self._candidates[row.candidate]
        return Figures(label_of(candidate), {**candidate.values, **row.values}, row.errors)


def label_of(candidate: CandidateRow) -> str:
    """A baseline's name, or the candidate's number."""
    return candidate.name or f"#{candidate.index}"


def failure(evaluation: EvaluationRow) -> str:
    """How an evaluation failed, in one line that begins with its status."""
    told = one_line(evaluation.error)
    if told.startswith(evaluation.status):
        return told
    return f"{evaluation.status}: {told}" if told else evaluation.status
