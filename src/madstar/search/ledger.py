"""A run's state in memory, a mirror of its rows: who was proposed, measured, started, is running."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ..archive import CandidateRow, EvaluationRow
from ..genome import Genome
from ..objectives import Objective
from ..training import Budget
from .forecast import Forecast, forecast, traits
from .noise import Noise, seed_noise
from .ranking import Costs, Standing
from .strategies import Event, Measured, Proposed

SEARCH, BASELINE = "search", "baseline"
# Seeds of repeated trainings lie far from those that people give to runs.
_REPEAT_SEEDS = 100_000


class Work(NamedTuple):
    """One training: a candidate, a rung, and which repeat of it; 0 is the search's own."""

    candidate: int
    rung: int
    repeat: int = 0

    @property
    def stage(self) -> str:
        """The stage its row will have."""
        return "repeat" if self.repeat else "search"

    def seed(self, run_seed: int) -> int:
        """The seed it is initialised with and draws its batches from."""
        return run_seed + _REPEAT_SEEDS * self.repeat


@dataclass
class Ledger:
    """Built from rows, and kept up with each new row; it decides nothing.

    `costs` are by candidate and rung; at the highest rung they are means over the seeds a candidate was
    trained with, which `repeats` holds one by one. `started` holds work that has run or is running,
    `pace` the seconds a training step takes, by candidate.
    """

    objectives: tuple[Objective, ...]
    budgets: tuple[Budget, ...]
    tokens_per_step: int
    decay_fraction: float
    candidates: dict[int, CandidateRow] = field(default_factory=dict)
    evaluations: list[EvaluationRow] = field(default_factory=list)
    costs: dict[int, dict[int, Costs]] = field(default_factory=dict)
    repeats: dict[int, dict[int, Costs]] = field(default_factory=dict)
    started: set[Work] = field(default_factory=set)
    running: set[Work] = field(default_factory=set)
    pace: dict[int, float] = field(default_factory=dict)
    architectures: set[str] = field(default_factory=set)
    _traits: dict[int, tuple[float, ...]] = field(default_factory=dict)
    _reported: dict[str, list[float]] = field(default_factory=dict)

    @property
    def top(self) -> int:
        """The highest rung."""
        return len(self.budgets) - 1

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

    def add_evaluation(self, row: EvaluationRow, run_seed: int) -> Measured | None:
        """Take in an evaluation; returns the event that strategies observe, None for a baseline.

        Validations are not the search's: they are left out.
        """
        if row.stage == "validation":
            return None
        work = Work(row.candidate, row.rung, (row.seed - run_seed) // _REPEAT_SEEDS)
        self.evaluations.append(row)
        self.started.add(work)
        self.running.discard(work)
        if row.status == "ok":
            self._add_costs(work, tuple(o.cost(row.values[o.name]) for o in self.objectives))
            self._note(row)
        if self.candidates[row.candidate].role == BASELINE:
            return None
        if row.status != "ok" and work.repeat:
            return None
        costs = self.costs[row.candidate][row.rung] if row.status == "ok" else None
        return Measured(row.candidate, row.rung, costs)

    def _add_costs(self, work: Work, costs: Costs) -> None:
        if work.rung == self.top:
            self.repeats.setdefault(work.candidate, {})[work.repeat] = costs
            costs = _mean(self.repeats[work.candidate].values())
        self.costs.setdefault(work.candidate, {})[work.rung] = costs

    def _note(self, row: EvaluationRow) -> None:
        """Keep what an evaluation tells about speed and errors."""
        begun = row.rung - 1 if row.timings.get("resumed") else -1
        done = self.steps_between(begun, row.rung)
        if done and row.timings.get("train"):
            self.pace[row.candidate] = row.timings["train"] / done
        # Of repeats nothing is taken, for a round's finalists must not change while it goes on.
        counts = self.candidates[row.candidate].role == SEARCH and row.stage == "search"
        for name, error in row.errors.items() if counts else ():
            self._reported.setdefault(name, []).append(error)

    def start(self, work: Work) -> None:
        """Note that an evaluation has begun."""
        self.started.add(work)
        self.running.add(work)

    def abandon(self, work: Work) -> None:
        """Note that an evaluation was stopped before it ended; it may run again."""
        self.started.discard(work)
        self.running.discard(work)

    def gone_on(self, rung: int) -> set[int]:
        """Candidates that have started on the rung above this one."""
        return {work.candidate for work in self.started if work.rung == rung + 1 and not work.repeat}

    def noise(self, *, before: int | None = None) -> Noise:
        """The seed noise of the rungs, as far as repeats have shown it."""
        repeats = {
            index: [one for number, one in known.items() if before is None or number < before]
            for index, known in self.repeats.items()
        }
        reported = {name: statistics.fmean(errors) for name, errors in self._reported.items()}
        return seed_noise(self.objectives, self.budgets, self.tokens_per_step, repeats, reported)

    def forecast(self, rung: int, *, before: int | None = None) -> Forecast:
        """What search candidates measured at a rung will cost at the highest.

        With `before`, as it stood before the repeats of that number.
        """
        costs = {i: dict(c) for i, c in self.costs.items() if self.candidates[i].role == SEARCH}
        counted = {}
        for index, known in self.repeats.items():
            kept = [one for number, one in known.items() if before is None or number < before]
            counted[index] = len(kept)
            if index in costs and kept:
                costs[index][self.top] = _mean(kept)
        for index in costs:
            if index not in self._traits:
                self._traits[index] = traits(Genome.parse(self.candidates[index].genome))
        return forecast(costs, self._traits, rung, self.noise(before=before), counted)

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
        return sum(
            1
            for work in self.started
            if work.rung == 0 and not work.repeat and self.candidates[work.candidate].role == SEARCH
        )

    def failures(self) -> Counter[str]:
        """Failed evaluations by status; infeasible ones were not trained, and have not failed."""
        return Counter(row.status for row in self.evaluations if row.status not in ("ok", "infeasible"))

    def steps_begun(self) -> int:
        """Training steps of search candidates that have ended or begun; a failed training counts whole."""
        return sum(
            self.steps_between(-1 if work.repeat else work.rung - 1, work.rung) or 0
            for work in self.started
            if self.candidates[work.candidate].role == SEARCH
        )

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
            _proposed(c, c.status == "pending" or Work(c.index, 0) in self.started) for c in rows
        ]
        for row in self.evaluations:
            repeated_in_vain = row.stage == "repeat" and row.status != "ok"
            if row.candidate in members and not repeated_in_vain:
                events.append(
                    Measured(row.candidate, row.rung, self.costs.get(row.candidate, {}).get(row.rung))
                )
        return events

    def of_or_dropped(self, role: str) -> Iterator[CandidateRow]:
        """All proposals of a role, those never trained too."""
        return (c for c in self.candidates.values() if c.role == role)


def _mean(costs: Iterable[Costs]) -> Costs:
    return tuple(float(cost) for cost in np.mean(list(costs), axis=0))


def _proposed(row: CandidateRow, accepted: bool) -> Proposed:
    """A dropped proposal's genome is not read: a rejected one is not valid."""
    return Proposed(row.index, Genome.parse(row.genome) if accepted else None, row.generation)
