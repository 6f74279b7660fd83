"""What one run has attained, and what it has spent on it, read from its rows.

Only the highest rung counts. A candidate trained there with several seeds (stages "search" and
"repeat") counts once, with the mean of its figures. Retraining after the search (stage "validation")
is read apart from it and costs the search nothing.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..archive import Archive, CandidateRow, EvaluationRow, RunRow
from ..errors import ArchiveError
from ..objectives import Objective
from ..search import Run, SearchSettings
from ..search.ledger import SEARCH
from ..search.ranking import Costs, hypervolume
from ..search.run import ARCHIVE_NAME
from ..search.summary import costs_of

VALID, TEST, PARAMETERS = "bits_per_byte", "test_bits_per_byte", "parameters"
# A longer gap without any evaluation means that the run was interrupted.
_GAP_SECONDS = 60.0
_PHASES = ("build", "train", "measure", "evaluate", "save")


@dataclass(frozen=True)
class Box:
    """What hypervolumes are a share of: from the best of each objective to a tenth beyond the worst.

    In costs, to be minimised.
    """

    best: Costs
    reference: Costs

    @classmethod
    def around(cls, costs: Sequence[Costs]) -> Box:
        """The box around points, of which there must be one at least."""
        points = np.array(costs)
        best, worst = points.min(axis=0), points.max(axis=0)
        margin = np.where(worst > best, 0.1 * (worst - best), 0.1 * np.abs(worst) + 1e-9)
        return cls(tuple(map(float, best)), tuple(map(float, worst + margin)))

    def share(self, costs: Sequence[Costs]) -> float:
        """The share of the box that points dominate, from 0 to 1."""
        if not costs:
            return 0.0
        best, sides = np.array(self.best), np.array(self.reference) - np.array(self.best)
        return hypervolume((np.array(costs) - best) / sides, [1.0] * len(self.best))


@dataclass(frozen=True)
class Moment:
    """How a run stood after an evaluation at the highest rung.

    `seconds` are those of workers spent on candidates so far, `clock` those since the first evaluation
    began; `hypervolume` is a share of a box, `quality` the best candidate's bits per byte.
    """

    seconds: float
    clock: float
    hypervolume: float
    quality: float


@dataclass(frozen=True)
class Record:
    """A run's rows; `evaluations` are those of the search, `validations` those of afterwards."""

    run: RunRow
    settings: SearchSettings
    objectives: tuple[Objective, ...]
    candidates: Mapping[int, CandidateRow]
    evaluations: tuple[EvaluationRow, ...]
    validations: tuple[EvaluationRow, ...]

    @classmethod
    def read(cls, run: Run) -> Record:
        """Read a run. Raises ArchiveError where it has no front at its highest rung."""
        with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
            row = archive.run(run.name)
            candidates, evaluations = archive.candidates(row.id), archive.evaluations(row.id)
        settings = SearchSettings(**row.config["settings"])
        record = cls(
            run=row,
            settings=settings,
            objectives=settings.parsed_objectives,
            candidates={candidate.index: candidate for candidate in candidates},
            evaluations=tuple(e for e in evaluations if e.stage != "validation"),
            validations=tuple(e for e in evaluations if e.stage == "validation"),
        )
        if not record.measured:
            raise ArchiveError(
                f"run {row.name} has no front: none of its candidates was measured at the highest rung "
                f"({settings.rungs[-1]}); give it more time, or leave it out"
            )
        return record

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.name

    @cached_property
    def measured(self) -> dict[int, list[EvaluationRow]]:
        """By candidate, the rows of its trainings at the highest rung."""
        found = defaultdict(list)
        for row in self.evaluations:
            if self.of_candidate(row) and self._counts(row):
                found[row.candidate].append(row)
        return dict(found)

    def points(self) -> list[Costs]:
        """Costs of each training at the highest rung, the baselines' too."""
        return [self._costs(row) for row in self.evaluations if self._counts(row)]

    def quality(self, index: int) -> float:
        """A candidate's bits per byte on validation text, the mean over its trainings."""
        return _mean(row.values[VALID] for row in self.measured[index])

    @cached_property
    def best(self) -> int:
        """The candidate with the best quality, the first of equals."""
        return min(sorted(self.measured), key=self.quality)

    @property
    def best_label(self) -> str:
        """How reports call it."""
        return self.candidates[self.best].name or f"#{self.best}"

    def test(self, index: int) -> float:
        """A candidate's bits per byte on test text, the mean over its trainings; nan without any."""
        return _mean(row.values[TEST] for row in self.measured[index] if TEST in row.values)

    def parameters(self, index: int) -> float:
        """A candidate's number of weights; nan where it is not known."""
        known = {**self.candidates[index].values, **self.measured[index][0].values}
        return known.get(PARAMETERS, math.nan)

    def retrained(self, budget: str) -> float:
        """Bits per byte on test text of the best candidate retrained with a budget; nan without any.

        The best is that with the best validation text among those trained with the most seeds, so
        that the test text selects nothing.
        """
        budgets = [str(each.get("budget")) for each in self.run.config.get("validations", ())]
        rows = defaultdict(list)
        for row in self.validations:
            known = row.rung < len(budgets) and budgets[row.rung] == budget
            if known and row.status == "ok" and TEST in row.values and self.of_candidate(row):
                rows[row.candidate].append(row)
        most = max(map(len, rows.values()), default=0)
        full = [each for _, each in sorted(rows.items()) if len(each) == most]
        best = min(full, key=lambda each: _mean(row.values[VALID] for row in each), default=[])
        return _mean(row.values[TEST] for row in best)

    @property
    def validation_budgets(self) -> list[str]:
        """The budgets of retraining of which there are results, in the order in which they were begun."""
        begun = [str(each.get("budget")) for each in self.run.config.get("validations", ())]
        return [b for b in dict.fromkeys(begun) if not math.isnan(self.retrained(b))]

    def trajectory(self, box: Box) -> tuple[Moment, ...]:
        """How the run stood after each evaluation of a candidate at the highest rung."""
        costs: dict[int, list[Costs]] = defaultdict(list)
        qualities: dict[int, list[float]] = defaultdict(list)
        moments = []
        for row, seconds, clock in self._times():
            if self.of_candidate(row) and self._counts(row):
                costs[row.candidate].append(self._costs(row))
                qualities[row.candidate].append(row.values[VALID])
                means = [tuple(map(float, np.mean(each, axis=0))) for each in costs.values()]
                best = min(_mean(each) for each in qualities.values())
                moments.append(Moment(seconds, clock, box.share(means), best))
        return tuple(moments)

    @property
    def spent(self) -> tuple[float, float]:
        """Seconds of workers spent on candidates, and seconds on the clock, at the end."""
        times = list(self._times())
        return (times[-1][1], times[-1][2]) if times else (0.0, 0.0)

    def of_candidate(self, row: EvaluationRow) -> bool:
        """Whether a row is a candidate's and not a baseline's."""
        return self.candidates[row.candidate].role == SEARCH

    def _times(self) -> Iterator[tuple[EvaluationRow, float, float]]:
        """Rows in order, with the seconds spent on candidates and on the clock when each had ended.

        Baselines cost every treatment the same, by their turns, and are left out of the former.
        """
        spent, clock, last = 0.0, 0.0, math.nan
        for row in self.evaluations:
            if self.of_candidate(row):
                spent += seconds(row)
            since = min((row.started_at if math.isnan(last) else last), row.finished_at)
            # Nothing ran between `last` and the start of this row: a break, if it is a long one.
            pause = row.started_at - since
            clock += row.finished_at - since - (pause if pause > _GAP_SECONDS else 0.0)
            last = row.finished_at if math.isnan(last) else max(last, row.finished_at)
            yield row, spent, clock

    def _counts(self, row: EvaluationRow) -> bool:
        return (
            row.status == "ok"
            and row.rung == len(self.settings.rungs) - 1
            and math.isfinite(row.values.get(VALID, math.nan))
            and all(math.isfinite(row.values.get(o.name, math.nan)) for o in self.objectives)
        )

    def _costs(self, row: EvaluationRow) -> Costs:
        return costs_of(row.values, self.objectives)


def seconds(row: EvaluationRow) -> float:
    """How long a worker was busy with an evaluation."""
    return row.timings.get("total", sum(row.timings.get(phase, 0.0) for phase in _PHASES))


def _mean(values: Iterable[float]) -> float:
    found = list(values)
    return math.fsum(found) / len(found) if found else math.nan
