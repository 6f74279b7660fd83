"""What a watcher remembers of the evaluations it was told of: enough for the front so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..archive import CandidateRow, EvaluationRow
from ..objectives import Objective
from ..search.ranking import nondominated
from ..search.summary import mean_errors, mean_values
from .quantities import one_line


@dataclass(frozen=True)
class Figures:
    """One line of a table: a candidate or baseline, with figures and standard errors by name.

    They are means over `seeds` trainings.
    """

    label: str
    values: dict[str, float]
    errors: dict[str, float]
    seeds: int = 1


@dataclass
class Tally:
    """Built up by `add`, one evaluation at a time. Failed evaluations are of no interest to it."""

    objectives: Sequence[Objective]
    _candidates: dict[int, CandidateRow] = field(default_factory=dict)
    _rungs: dict[int, dict[int, list[EvaluationRow]]] = field(default_factory=dict)
    _front: tuple[Figures, ...] | None = None

    def add(self, candidate: CandidateRow, evaluation: EvaluationRow) -> None:
        """Take in an evaluation; those of a finalist trained again count as one with its mean figures."""
        if evaluation.status == "ok" and evaluation.stage != "validation":
            self._candidates[candidate.index] = candidate
            self._rungs.setdefault(evaluation.rung, {}).setdefault(candidate.index, []).append(evaluation)
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
        members = self._at(rung, "search")
        costs = np.array([self._costs(figures) for figures in members])
        best = [figures for figures, free in zip(members, nondominated(costs), strict=True) if free]
        return tuple(sorted(best, key=self._costs))

    @property
    def baselines(self) -> tuple[Figures, ...]:
        """The baselines that have been measured at `rung`."""
        return () if self.rung is None else tuple(self._at(self.rung, "baseline"))

    def _at(self, rung: int, role: str) -> list[Figures]:
        measured = sorted(self._rungs.get(rung, {}).items())
        return [
            self._figures(index, rows) for index, rows in measured if self._candidates[index].role == role
        ]

    def _costs(self, figures: Figures) -> tuple[float, ...]:
        costs = (o.cost(figures.values.get(o.name, math.nan)) for o in self.objectives)
        return tuple(math.inf if math.isnan(cost) else cost for cost in costs)

    def _figures(self, index: int, rows: Sequence[EvaluationRow]) -> Figures:
        candidate = self._candidates[index]
        values = {**candidate.values, **mean_values(rows)}
        return Figures(label_of(candidate), values, mean_errors(rows), len(rows))


def label_of(candidate: CandidateRow) -> str:
    """A baseline's name, or the candidate's number."""
    return candidate.name or f"#{candidate.index}"


def failure(evaluation: EvaluationRow) -> str:
    """How an evaluation failed, in one line that begins with its status."""
    told = one_line(evaluation.error)
    if told.startswith(evaluation.status):
        return told
    return f"{evaluation.status}: {told}" if told else evaluation.status
