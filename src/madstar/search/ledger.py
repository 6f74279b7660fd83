"""A run's state in memory, a mirror of its rows: who was proposed, measured, started, is running."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ..archive import CandidateRow, EvaluationRow
from ..genome import Genome
from ..objectives import Objective
from ..training import Budget
from .ranking import Costs, Standing
from .strategy import Event, Measured, Proposed

SEARCH, BASELINE = "search", "baseline"


@dataclass
class Ledger:
    """Built from rows, and kept up with each new row; it decides nothing.

    `started` holds (candidate, rung) pairs that have run or are running, `pace` the seconds a
    training step takes, by candidate.
    """

    objectives: tuple[Objective, ...]
    budgets: tuple[Budget, ...]
    tokens_per_step: int
    decay_fraction: float
    candidates: dict[int, CandidateRow] = field(default_factory=dict)
    evaluations: list[EvaluationRow] = field(default_factory=list)
    costs: dict[int, dict[int, Costs]] = field(default_factory=dict)
    started: set[tuple[int, int]] = field(default_factory=set)
    running: set[tuple[int, int]] = field(default_factory=set)
    pace: dict[int, float] = field(default_factory=dict)
    architectures: set[str] = field(default_factory=set)

    @property
    def next_index(self) -> int:
        """The number of the next proposal."""
        return max(self.candidates, default=-1) + 1

    def add_candidate(self, row: CandidateRow) -> Proposed | None:
        """Take in a candidate; returns the event that strategies observe, None for a baseline."""
        self.candidates[row.index] = row
        if row.role == BASELINE:
            return None
        if row.architecture and row.status == "pending":
            self.architectures.add(row.architecture)
        return _proposed(row, row.status == "pending")

    def add_evaluation(self, row: EvaluationRow) -> Measured | None:
        """Take in an evaluation; returns the event that strategies observe, None for a baseline."""
        self.evaluations.append(row)
        self.started.add((row.candidate, row.rung))
        self.running.discard((row.candidate, row.rung))
        costs = None
        if row.status == "ok":
            costs = tuple(o.cost(row.values[o.name]) for o in self.objectives)
            self.costs.setdefault(row.candidate, {})[row.rung] = costs
            done = self.steps_between(row.rung - 1 if row.timings.get("resumed") else -1, row.rung)
            if done and row.timings.get("train"):
                self.pace[row.candidate] = row.timings["train"] / done
        if self.candidates[row.candidate].role == BASELINE:
            return None
        return Measured(row.candidate, row.rung, costs)

    def start(self, index: int, rung: int) -> None:
        """Note that an evaluation has begun."""
        self.started.add((index, rung))
        self.running.add((index, rung))

    def abandon(self, index: int, rung: int) -> None:
        """Note that an evaluation was stopped before it ended; it may run again."""
        self.started.discard((index, rung))
        self.running.discard((index, rung))

    def standings(self, role: str = SEARCH) -> list[Standing]:
        """What each candidate of a role has shown."""
        return [
            Standing(index, costs)
            for index, costs in sorted(self.costs.items())
            if self.candidates[index].role == role
        ]

    def of_role(self, role: str) -> Iterator[CandidateRow]:
        """Candidates of a role that are to be evaluated."""
        return (c for c in self.candidates.values() if c.role == role and c.status == "pending")

    def trained(self) -> int:
        """How many search candidates have been taken up for training."""
        return sum(1 for index, rung in self.started if rung == 0 and self.candidates[index].role == SEARCH)

    def failures(self) -> Counter[str]:
        """Failed evaluations by status; infeasible ones were not trained, and have not failed."""
        return Counter(row.status for row in self.evaluations if row.status not in ("ok", "infeasible"))

    def steps_between(self, lower: int, upper: int) -> int | None:
        """Training steps from one rung (-1: from the start) to a higher one; None where a clock decides."""
        target = self.budgets[upper].steps(self.tokens_per_step)
        if target is None:
            return None
        done = 0 if lower < 0 else self.budgets[lower].steps(self.tokens_per_step)
        return target - round((1 - self.decay_fraction) * (done or 0))

    def seconds_between(self, index: int | None, lower: int, upper: int) -> float:
        """Expected seconds of an evaluation; 0 while nothing is known. None: a candidate like the others."""
        steps = self.steps_between(lower, upper)
        if steps is None:
            done = self.budgets[lower].amount if lower >= 0 else 0.0
            return self.budgets[upper].amount - (1 - self.decay_fraction) * done
        pace = self.pace.get(index) if index is not None else None
        if pace is None:
            pace = statistics.median(self.pace.values()) if self.pace else 0.0
        return steps * pace

    def history(self, generation: int) -> list[Event]:
        """A generation's events as a strategy would have observed them."""
        rows = [c for c in self.of_or_dropped(SEARCH) if c.generation == generation]
        members = {c.index for c in rows}
        # What was found infeasible only by measuring it was not dropped when it was proposed.
        events: list[Event] = [
            _proposed(c, c.status == "pending" or (c.index, 0) in self.started) for c in rows
        ]
        for row in self.evaluations:
            if row.candidate in members:
                events.append(
                    Measured(row.candidate, row.rung, self.costs.get(row.candidate, {}).get(row.rung))
                )
        return events

    def of_or_dropped(self, role: str) -> Iterator[CandidateRow]:
        """All proposals of a role, those never trained too."""
        return (c for c in self.candidates.values() if c.role == role)


def _proposed(row: CandidateRow, accepted: bool) -> Proposed:
    """A dropped proposal's genome is not read: a rejected one is not valid."""
    return Proposed(row.index, Genome.parse(row.genome) if accepted else None, row.generation)
