"""What a validation's rows say: means over seeds, differences by seed, who stays on the front.

Everything is computed from the archive, so it is the same while a validation goes on and after it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..archive import Archive, CandidateRow, EvaluationRow, RunRow
from ..objectives import Objective
from ..search.evaluation import TEST, VALIDATION
from ..search.ledger import BASELINE, SEARCH
from ..search.ranking import nondominated
from ..search.summary import RunSummary, costs_of, summarise
from .statistics import BETTER, TIE, Interval, mean_interval, paired_difference, verdict

VALID = "bits_per_byte"
QUALITY = "quality"


@dataclass(frozen=True)
class Retrained:
    """An architecture trained again: a member of the front, or a baseline.

    `rows` are its trainings, by seed; `test` and `valid` bits per byte over those that succeeded.
    `means` are the searched objectives after retraining, quality on test text, and empty where no
    training succeeded. `dominated_by` are the architectures that are no worse in any of them and better in
    one; `stays` says of a member that no other member is.
    """

    candidate: CandidateRow
    rows: tuple[EvaluationRow, ...]
    test: Interval
    valid: Interval
    means: dict[str, float]
    dominated_by: tuple[int, ...] = ()
    stays: bool = False

    @property
    def index(self) -> int:
        """The candidate's number in the run."""
        return self.candidate.index

    @property
    def label(self) -> str:
        """A baseline's name, or the candidate's number."""
        return self.candidate.name or f"#{self.candidate.index}"

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline and not of the search's front."""
        return self.candidate.role == BASELINE

    @property
    def figures(self) -> dict[str, float]:
        """What needs no training: parameters, cache, FLOPs, and static objectives."""
        return self.candidate.values

    @property
    def ok(self) -> dict[int, EvaluationRow]:
        """Trainings that succeeded, by seed."""
        return {row.seed: row for row in self.rows if row.status == "ok"}

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "index": self.index,
            "name": self.candidate.name,
            "role": self.candidate.role,
            "genome": self.candidate.genome,
            "figures": self.figures,
            "test": self.test.to_dict(),
            "validation": self.valid.to_dict(),
            "means": self.means,
            "stays_on_front": None if self.is_baseline else self.stays,
            "dominated_by": list(self.dominated_by),
            "seeds": [
                {
                    "seed": row.seed,
                    "status": row.status,
                    "error": row.error,
                    "test": row.values.get(TEST),
                    "validation": row.values.get(VALID),
                }
                for row in self.rows
            ],
        }


@dataclass(frozen=True)
class Comparison:
    """A member of the front less a baseline, in test bits per byte, paired by seed.

    `verdict` is "better", "worse", or "tie" where the interval holds 0: then the truth may lie anywhere
    in it. `shares` are the member's static figures as shares of the baseline's: 0.03 of the cache.
    """

    member: int
    baseline: int
    difference: Interval
    verdict: str
    shares: dict[str, float]

    @property
    def beyond_two_errors(self) -> bool:
        """Whether the member is better by more than twice the difference's standard error."""
        return self.difference.n > 1 and self.difference.mean < -2 * self.difference.error

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "member": self.member,
            "baseline": self.baseline,
            "difference": self.difference.to_dict(),
            "verdict": self.verdict,
            "no_worse": self.verdict in (BETTER, TIE) and self.difference.n > 1,
            "better_by_two_errors": self.beyond_two_errors,
            "shares": self.shares,
        }


@dataclass(frozen=True)
class HitRate:
    """How many of the search's final population beat a baseline at the same rung, as searched.

    The population are the candidates that reached the highest rung. `dominating` are no worse in any
    objective and better in one; `better` counts by objective those strictly better in it.
    """

    baseline: int
    population: int
    dominating: int
    better: dict[str, int]

    @property
    def share(self) -> float:
        """The share that dominates it; nan without a population."""
        return self.dominating / self.population if self.population else math.nan

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "baseline": self.baseline,
            "population": self.population,
            "dominating": self.dominating,
            "share": self.share,
            "better": self.better,
        }


@dataclass(frozen=True)
class Validation:
    """A validation as far as it has come: members of the front, best on test first, then baselines.

    `wanted` trainings make it whole, `done` have ended, `failed` of them badly.
    """

    run: RunRow
    number: int
    budget: str
    seeds: int
    objectives: tuple[Objective, ...]
    architectures: tuple[Retrained, ...]
    comparisons: tuple[Comparison, ...]
    hit_rates: tuple[HitRate, ...]
    wanted: int

    @property
    def done(self) -> int:
        """Trainings that have ended."""
        return sum(len(each.rows) for each in self.architectures)

    @property
    def failed(self) -> int:
        """Trainings that ended badly."""
        return sum(len(each.rows) - len(each.ok) for each in self.architectures)

    @property
    def complete(self) -> bool:
        """Whether all trainings have ended."""
        return self.done >= self.wanted

    @property
    def members(self) -> tuple[Retrained, ...]:
        """The architectures of the search's front."""
        return tuple(each for each in self.architectures if not each.is_baseline)

    @property
    def baselines(self) -> tuple[Retrained, ...]:
        """The baselines."""
        return tuple(each for each in self.architectures if each.is_baseline)

    @property
    def better_than_all(self) -> tuple[int, ...]:
        """Members that are better than every baseline by the interval."""
        return tuple(
            member.index
            for member in self.members
            if self.baselines
            and all(c.verdict == BETTER for c in self.comparisons if c.member == member.index)
        )

    def comparison(self, member: int, baseline: int) -> Comparison:
        """The comparison of these two."""
        return next(c for c in self.comparisons if (c.member, c.baseline) == (member, baseline))

    def to_dict(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "run": self.run.name,
            "number": self.number,
            "budget": self.budget,
            "seeds": self.seeds,
            "complete": self.complete,
            "trainings": {"wanted": self.wanted, "done": self.done, "failed": self.failed},
            "objectives": [o.name for o in self.objectives],
            "architectures": [each.to_dict() for each in self.architectures],
            "comparisons": [each.to_dict() for each in self.comparisons],
            "better_than_all_baselines": list(self.better_than_all),
            "hit_rates": [each.to_dict() for each in self.hit_rates],
        }


def read(archive: Archive, run: RunRow, number: int) -> Validation:
    """The validation of that number, which must be in the run's config."""
    summary = summarise(archive, run)
    objectives, registered = summary.objectives, run.config["validations"][number]
    candidates = {candidate.index: candidate for candidate in summary.candidates}
    rows = [r for r in archive.evaluations(run.id) if r.stage == VALIDATION and r.rung == number]
    chosen = registered.get("candidates") or sorted({row.candidate for row in rows})
    retrained = _dominance([_retrained(candidates[i], rows, objectives) for i in chosen], objectives)
    # Those whose trainings all failed stand last.
    retrained.sort(key=lambda r: (r.is_baseline, math.isnan(r.test.mean), r.test.mean, r.index))
    baselines = [each for each in retrained if each.is_baseline]
    return Validation(
        run=run,
        number=number,
        budget=registered["budget"],
        seeds=int(registered["seeds"]),
        objectives=objectives,
        architectures=tuple(retrained),
        comparisons=tuple(_compared(m, b) for m in retrained if not m.is_baseline for b in baselines),
        hit_rates=hit_rates(summary),
        wanted=int(registered["seeds"]) * len(chosen),
    )


def _retrained(
    candidate: CandidateRow, rows: Sequence[EvaluationRow], objectives: Sequence[Objective]
) -> Retrained:
    mine = sorted((row for row in rows if row.candidate == candidate.index), key=lambda row: row.seed)
    good = [row for row in mine if row.status == "ok"]
    means = {}
    if good:
        for objective in objectives:
            name = TEST if objective.name == QUALITY else objective.name
            means[objective.name] = math.fsum(row.values[name] for row in good) / len(good)
    return Retrained(
        candidate=candidate,
        rows=tuple(mine),
        test=mean_interval([row.values[TEST] for row in good]),
        valid=mean_interval([row.values[VALID] for row in good]),
        means=means,
    )


def _dominance(retrained: Sequence[Retrained], objectives: Sequence[Objective]) -> list[Retrained]:
    """With `dominated_by` and `stays`, among those that have figures."""
    costs = {each.index: costs_of(each.means, objectives) for each in retrained if each.means}
    members = [each.index for each in retrained if each.index in costs and not each.is_baseline]
    stays: set[int] = set()
    if members:
        free = nondominated(np.array([costs[index] for index in members]))
        stays = {index for index, best in zip(members, free, strict=True) if best}
    return [
        replace(
            each,
            dominated_by=tuple(
                sorted(o for o in costs if each.index in costs and dominates(costs[o], costs[each.index]))
            ),
            stays=each.index in stays,
        )
        for each in retrained
    ]


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    """Whether costs a are no worse than b in any objective, and better in one."""
    return all(x <= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def _compared(member: Retrained, baseline: Retrained) -> Comparison:
    mine, its = member.ok, baseline.ok
    both = sorted(mine.keys() & its.keys())
    difference = paired_difference(
        [mine[seed].values[TEST] for seed in both], [its[seed].values[TEST] for seed in both]
    )
    shares = {
        name: value / baseline.figures[name]
        for name, value in member.figures.items()
        if baseline.figures.get(name)
    }
    return Comparison(member.index, baseline.index, difference, verdict(difference), shares)


def hit_rates(summary: RunSummary) -> tuple[HitRate, ...]:
    """For each baseline measured at the highest rung that the search reached, how many beat it there."""
    searched = [e for e in summary.entries if e.candidate.role == SEARCH and e.rung == summary.rung]
    population = [costs_of(entry.values, summary.objectives) for entry in searched]
    baselines = [entry for entry in summary.baselines if entry.rung == summary.rung]
    costs = {entry.index: costs_of(entry.values, summary.objectives) for entry in baselines}
    return tuple(
        HitRate(
            baseline=entry.index,
            population=len(population),
            dominating=sum(dominates(mine, costs[entry.index]) for mine in population),
            better={
                objective.name: sum(mine[place] < costs[entry.index][place] for mine in population)
                for place, objective in enumerate(summary.objectives)
            },
        )
        for entry in baselines
    )
