"""Strategies side by side at equal cost: what each attained, by what its difference is sure.

Runs are grouped by treatment. Runs of equal seed share the split of the text, so treatments are
compared seed by seed where all have the same seeds. Hypervolumes are shares of a box that all compared
runs of a seed have in common.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from ..errors import ConfigurationError
from ..search import Run
from .attainment import Box, Moment, Record
from .statistics import Interval, mean_interval, paired_difference, unpaired_difference, verdict
from .study import CLOCK, CURVES, METRICS, WORKERS, Attained, Curve, Difference, Metric, Study
from .treatments import Treatment, check_comparable, common_fields, flat, told, treatments

_GRID = 80
# Beyond this the treatments have not been compared at equal cost.
_UNEQUAL = 1.1


def compare(runs: Sequence[Run], level: float = 0.95) -> Study:
    """Compare runs that differ in treatment and seed alone.

    Raises ConfigurationError for no runs, a run given twice, or runs that differ in anything else;
    ArchiveError for a run without a front at its highest rung.
    """
    if not runs:
        raise ConfigurationError("no runs to compare: name at least one")
    places = Counter((run.home.resolve(), run.name) for run in runs)
    if twice := [name for (_, name), count in places.items() if count > 1]:
        raise ConfigurationError(f"run {twice[0]} is named twice: name each run once")
    records = [Record.read(run) for run in runs]
    settings = [record.settings for record in records]
    check_comparable([r.name for r in records], settings, [r.run.config for r in records])
    groups: dict[Treatment, list[Record]] = defaultdict(list)
    for record, treatment in zip(records, treatments(settings), strict=True):
        groups[treatment].append(record)
    return _Comparison(groups, level).study()


class _Comparison:
    """The steps from grouped records to a study."""

    def __init__(self, groups: Mapping[Treatment, list[Record]], level: float) -> None:
        self.groups, self.level = groups, level
        self.records = [record for records in groups.values() for record in records]
        seeds = [{r.settings.seed for r in records} for records in groups.values()]
        self.paired = all(each == seeds[0] for each in seeds)
        self.seeds = sorted(set.union(*seeds))
        self.boxes = self._boxes()
        self.budget = self._validation_budget()
        self.moments = {id(r): r.trajectory(self.boxes[r.settings.seed]) for r in self.records}
        self.horizon = min(record.spent[0] for record in self.records)
        self.attained = {
            treatment.label: tuple(self._attained(record, treatment) for record in records)
            for treatment, records in groups.items()
        }

    def study(self) -> Study:
        """All of it."""
        first = self.records[0]
        values = {
            name: {metric.name: self._by_seed(each, metric) for metric in METRICS}
            for name, each in self.attained.items()
        }
        return Study(
            treatments=tuple(self.groups),
            attained=tuple(itertools.chain.from_iterable(self.attained.values())),
            equal=tuple((name, told(flat(first.settings)[name])) for name in common_fields(first.settings)),
            task=str(first.run.config.get("task", {}).get("description", first.settings.data)),
            objectives=first.objectives,
            rungs=first.settings.rungs,
            seeds=tuple(self.seeds),
            paired=self.paired,
            level=self.level,
            horizon=self.horizon,
            validation=self.budget,
            cap=self._cap(),
            summaries={
                name: {metric: mean_interval(known(by_seed), self.level) for metric, by_seed in each.items()}
                for name, each in values.items()
            },
            differences=tuple(self._differences(values)),
            ranks=self._ranks(values),
            curves=tuple(self._curves()),
            notes=tuple(self._notes()),
        )

    def _boxes(self) -> dict[int, Box]:
        """One box for each seed; one for all where treatments are not compared seed by seed."""
        points = {
            s: [p for r in self.records if r.settings.seed == s for p in r.points()] for s in self.seeds
        }
        if self.paired:
            return {seed: Box.around(each) for seed, each in points.items()}
        everything = Box.around(list(itertools.chain.from_iterable(points.values())))
        return dict.fromkeys(self.seeds, everything)

    def _validation_budget(self) -> str | None:
        """The last budget that every run with a validation has been retrained with."""
        budgets = [r.validation_budgets for r in self.records if r.validation_budgets]
        shared = [b for b in budgets[0] if all(b in each for each in budgets)] if budgets else []
        return shared[-1] if shared else None

    def _attained(self, record: Record, treatment: Treatment) -> Attained:
        moments = self.moments[id(record)]
        trained = [row for row in record.evaluations if record.of_candidate(row)]
        spent, clock = record.spent
        at = standing(moments, self.horizon, lambda moment: moment.seconds)
        figures = {
            "hypervolume": moments[-1].hypervolume,
            "hypervolume_at_cost": at.hypervolume if at else 0.0,
            "quality": record.quality(record.best),
            "quality_at_cost": at.quality if at else math.nan,
            "test": record.test(record.best),
            "retrained": record.retrained(self.budget) if self.budget else math.nan,
            "parameters": record.parameters(record.best),
            "candidates": float(len({row.candidate for row in trained})),
            "finalists": float(len(record.measured)),
            "evaluations": float(len(trained)),
            "failed": float(sum(row.status not in ("ok", "infeasible") for row in trained)),
            "worker_seconds": spent,
            "training_seconds": math.fsum(row.timings.get("train", 0.0) for row in trained),
            "strategy_seconds": float(record.run.config.get("strategy_seconds", math.nan)),
            "wall_seconds": record.run.seconds or clock,
        }
        return Attained(
            run=record.name,
            treatment=treatment.label,
            seed=record.settings.seed,
            status=record.run.status,
            best=record.best_label,
            genome=record.candidates[record.best].genome,
            figures=figures,
        )

    def _by_seed(self, attained: Sequence[Attained], metric: Metric) -> dict[int, float]:
        """A figure for each seed, the mean of several runs of one seed."""
        found: dict[int, list[float]] = defaultdict(list)
        for each in attained:
            found[each.seed].append(each.figures[metric.name])
        return {seed: math.fsum(values) / len(values) for seed, values in sorted(found.items())}

    def _differences(self, values: Mapping[str, Mapping[str, Mapping[int, float]]]) -> list[Difference]:
        slope = self._slope()
        found = []
        for (one, other), metric in itertools.product(itertools.combinations(values, 2), METRICS):
            if metric.better is None:
                continue
            interval = self._difference(values[one][metric.name], values[other][metric.name])
            sizes = [[math.log2(v) for v in known(values[t]["parameters"]) if v > 0] for t in (one, other)]
            by_size = math.nan
            if metric.name == "quality" and all(sizes):
                by_size = slope * (float(np.mean(sizes[0])) - float(np.mean(sizes[1])))
            if interval.n:
                told_of = verdict(interval, metric.better)
                found.append(Difference(one, other, metric.name, interval, told_of, by_size))
        return found

    def _difference(self, a: Mapping[int, float], b: Mapping[int, float]) -> Interval:
        if not self.paired:
            return unpaired_difference(known(a), known(b), self.level)
        both = [seed for seed in a if math.isfinite(a[seed]) and math.isfinite(b[seed])]
        return paired_difference([a[seed] for seed in both], [b[seed] for seed in both], self.level)

    def _slope(self) -> float:
        """Bits per byte for each doubling of parameters, among all candidates at the highest rung.

        A least-squares line with an intercept for each run; nan where sizes do not vary.
        """
        x, y = [], []
        for record in self.records:
            sizes = {i: record.parameters(i) for i in record.measured}
            points = np.array([(math.log2(v), record.quality(i)) for i, v in sizes.items() if v > 0])
            if len(points):
                x += list(points[:, 0] - points[:, 0].mean())
                y += list(points[:, 1] - points[:, 1].mean())
        spread = float(np.dot(x, x))
        return float(np.dot(x, y)) / spread if spread > 1e-9 else math.nan

    def _cap(self) -> float | None:
        """The bound on the number of parameters, if there is one."""
        constraints = self.records[0].settings.parsed_constraints
        limits = [c.limit for c in constraints if c.objective.name == "parameters" and c.sign == "<="]
        return min(limits, default=None)

    def _ranks(self, values: Mapping[str, Mapping[str, Mapping[int, float]]]) -> dict[str, dict[str, float]]:
        """By metric and treatment the mean rank over seeds that all have, 1 for the best."""
        if len(values) < 2:
            return {}
        ranks = {}
        for metric in METRICS:
            table = [values[name][metric.name] for name in values]
            seeds = [s for s in self.seeds if all(math.isfinite(row.get(s, math.nan)) for row in table)]
            if metric.better and seeds:
                sign = 1.0 if metric.better == "lower" else -1.0
                columns = [ranked([sign * row[seed] for row in table]) for seed in seeds]
                ranks[metric.name] = dict(zip(values, map(float, np.mean(columns, axis=0)), strict=True))
        return ranks

    def _curves(self) -> list[Curve]:
        """Means over the seeds of a treatment, from where all its runs have a figure to where one ends."""
        axes: dict[str, Callable[[Moment], float]] = {
            WORKERS: lambda moment: moment.seconds,
            CLOCK: lambda moment: moment.clock,
        }
        curves = []
        for place, (axis, of) in enumerate(axes.items()):
            last = max(record.spent[place] for record in self.records)
            grid = [float(x) for x in np.linspace(0, last, _GRID)]
            for (treatment, records), name in itertools.product(self.groups.items(), CURVES):
                stop = min(record.spent[place] for record in records)
                points = []
                for x in (*(x for x in grid if x < stop), stop):
                    stood = [standing(self.moments[id(r)], x, of) for r in records]
                    if all(stood):
                        values = [float(getattr(moment, name)) for moment in stood]
                        points.append((x, mean_interval(self._over_seeds(records, values), self.level)))
                curves.append(Curve(treatment.label, axis, name, tuple(points)))
        return curves

    @staticmethod
    def _over_seeds(records: Sequence[Record], values: Sequence[float]) -> list[float]:
        found: dict[int, list[float]] = defaultdict(list)
        for record, value in zip(records, values, strict=True):
            found[record.settings.seed].append(value)
        return [math.fsum(each) / len(each) for each in found.values()]

    def _notes(self) -> list[str]:
        """What a reader must know before believing a number."""
        notes = []
        if len(self.groups) < 2:
            notes.append("All runs have the same treatment: this describes it and compares nothing.")
        if not self.paired:
            notes.append(
                "The treatments do not have the same seeds, so they are compared as independent samples, and "
                "hypervolumes are bounded by one box for all seeds. Differences between texts count as noise."
            )
        if len(self.seeds) == 1:
            notes.append("There is one seed, so no difference can be told from chance: all are ties.")
        counts = Counter((label, each.seed) for label, runs in self.attained.items() for each in runs)
        if any(count > 1 for count in counts.values()):
            notes.append("Several runs of one treatment and seed are averaged, and count as one.")
        for each in self.records:
            if each.run.status != "finished":
                notes.append(f"Run {each.name} is {each.run.status}: it may not have had its whole budget.")
        spent = {
            treatment.label: float(np.mean([r.spent[0] for r in records]))
            for treatment, records in self.groups.items()
        }
        low, high = min(spent, key=lambda t: spent[t]), max(spent, key=lambda t: spent[t])
        if spent[high] > _UNEQUAL * spent[low]:
            notes.append(
                f"Costs are not equal: {high} spent {spent[high]:,.0f} worker seconds a run and {low} "
                f"{spent[low]:,.0f}. Read the figures at equal cost."
            )
        versions = sorted({record.run.version for record in self.records})
        if len(versions) > 1:
            notes.append(f"The runs are of different versions of madstar: {', '.join(versions)}.")
        retrained = [r for r in self.records if r.validation_budgets]
        if retrained and self.budget is None:
            notes.append("The runs were retrained with different budgets, so that is not compared.")
        elif retrained and len(retrained) < len(self.records):
            notes.append(f"Only {len(retrained)} of {len(self.records)} runs have been retrained.")
        return notes


def standing(moments: Sequence[Moment], at: float, of: Callable[[Moment], float]) -> Moment | None:
    """The last moment that is not after `at`; None before the first."""
    reached = [moment for moment in moments if of(moment) <= at]
    return reached[-1] if reached else None


def ranked(costs: Sequence[float]) -> list[float]:
    """Ranks from 1 for the least; equals share the mean of theirs."""
    return [sum(o < c for o in costs) + (sum(o == c for o in costs) + 1) / 2 for c in costs]


def known(by_seed: Mapping[int, float]) -> list[float]:
    """The figures that there are."""
    return [value for value in by_seed.values() if math.isfinite(value)]
