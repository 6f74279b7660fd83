"""From rows to scores, each with its uncertainty and with what was spent on it.

A setting's score is the accuracy of its chosen sweep point on the test split, the mean over seeds. A
task's is the mean over its settings, the MAD score the mean over tasks (arXiv 2403.17844, section 3.2).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..archive import EvaluationRow, RunRow
from ..tasks.mechanistic import Setting
from .plan import Plan, chance, from_config
from .race import OK, Race, races


@dataclass(frozen=True)
class SettingScore:
    """One setting. `value` is nan where nothing could be scored; `failure` then says why.

    `error` is the standard error: over seeds where there are two or more, else over test sequences (then
    another seed's training may lie further away). `reason` is why the chosen point stopped.
    """

    setting: Setting
    value: float
    error: float
    seeds: int
    point: str
    reason: str
    chance: float
    steps: int
    seconds: float
    failure: str | None
    complete: bool

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "task": self.setting.task,
            "setting": self.setting.name,
            "score": self.value,
            "error": self.error,
            "seeds": self.seeds,
            "point": self.point,
            "reason": self.reason,
            "chance": self.chance,
            "steps": self.steps,
            "seconds": self.seconds,
            "failure": self.failure,
            "complete": self.complete,
        }


@dataclass(frozen=True)
class TaskScore:
    """One task: the mean over those of its settings that have a score."""

    task: str
    settings: tuple[SettingScore, ...]

    @property
    def scored(self) -> tuple[SettingScore, ...]:
        """The settings with a score."""
        return tuple(each for each in self.settings if not math.isnan(each.value))

    @property
    def value(self) -> float:
        """The score; nan without any setting's."""
        return statistics.fmean(s.value for s in self.scored) if self.scored else math.nan

    @property
    def error(self) -> float:
        """Standard error, the settings' being independent."""
        if not self.scored:
            return math.nan
        return math.sqrt(sum(s.error**2 for s in self.scored)) / len(self.scored)

    @property
    def failed(self) -> tuple[SettingScore, ...]:
        """The settings that could not be trained."""
        return tuple(each for each in self.settings if each.failure is not None)

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return {
            "task": self.task,
            "score": self.value,
            "error": self.error,
            "settings": [each.to_dict() for each in self.settings],
        }


@dataclass(frozen=True)
class Scores(Mapping[str, float]):
    """An architecture's scores: a mapping from task to score, as mad-lab's users have it, and more beside."""

    run: RunRow
    plan: Plan
    tasks: tuple[TaskScore, ...]
    rows: tuple[EvaluationRow, ...]

    def __getitem__(self, task: str) -> float:
        for each in self.tasks:
            if each.task == task:
                return each.value
        raise KeyError(task)

    def __iter__(self) -> Iterator[str]:
        return iter(each.task for each in self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    @property
    def label(self) -> str:
        """The architecture's name."""
        return self.plan.architecture.label

    @property
    def mean(self) -> float:
        """The MAD score: the mean over tasks that have one."""
        values = [v for v in self.values() if not math.isnan(v)]
        return statistics.fmean(values) if values else math.nan

    @property
    def error(self) -> float:
        """Standard error of the MAD score."""
        errors = [t.error for t in self.tasks if not math.isnan(t.error)]
        return math.sqrt(sum(e**2 for e in errors)) / len(errors) if errors else math.nan

    @property
    def complete(self) -> bool:
        """Whether everything that was to be trained has been."""
        return all(each.complete for task in self.tasks for each in task.settings)

    @property
    def steps(self) -> int:
        """Training steps spent on all sweep points and seeds."""
        return sum(each.steps for task in self.tasks for each in task.settings)

    @property
    def seconds(self) -> float:
        """Seconds of training and scoring spent, summed over processes."""
        return sum(each.seconds for task in self.tasks for each in task.settings)

    def to_dict(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "run": self.run.name,
            "architecture": self.plan.architecture.to_dict(),
            "label": self.label,
            "protocol": self.plan.protocol.name,
            "budget": self.plan.budget.name,
            "metric": self.plan.protocol.test_metric,
            "complete": self.complete,
            "score": self.mean,
            "error": self.error,
            "tasks": [each.to_dict() for each in self.tasks],
            "spent": {"steps": self.steps, "cpu_seconds": self.seconds, "wall_seconds": self.run.seconds},
        }

    def __repr__(self) -> str:
        told = ", ".join(f"{t.task} {t.value:.3f} ± {t.error:.3f}" for t in self.tasks)
        return f"<MAD {self.mean:.3f} ± {self.error:.3f} ({self.label}): {told}>"


def scores_of(run: RunRow, rows: Sequence[EvaluationRow]) -> Scores:
    """The scores of a benchmark as far as it has come, from its rows alone."""
    plan = from_config(run.config)
    found: dict[str, list[SettingScore]] = {}
    for race in races(plan, rows):
        found.setdefault(race.setting.task, []).append(score_of(race))
    return Scores(run, plan, tuple(TaskScore(t, tuple(each)) for t, each in found.items()), tuple(rows))


def score_of(race: Race) -> SettingScore:
    """One setting's score."""
    point, rows = race.chosen(), race.rows
    complete = bool(rows) and not race.wanted()
    spent = {(row.point, row.seed): max(0, row.steps) for row in sorted(rows, key=lambda r: r.steps)}
    values: list[float] = []
    sampling = math.nan
    if point is not None:
        for seed in range(race.plan.seeds):
            done = [row for row in race.own(point, seed) if row.status == OK]
            if done and race.plan.protocol.test_metric in done[-1].values:
                values.append(done[-1].values[race.plan.protocol.test_metric])
                sampling = done[-1].errors["test_micro"]
    failed = [row for row in rows if row.status != OK]
    return SettingScore(
        setting=race.setting,
        value=statistics.fmean(values) if values else math.nan,
        error=_error(values, sampling),
        seeds=len(values),
        point="" if point is None else str(point),
        reason="" if point is None else race.verdicts()[point],
        chance=chance(race.setting),
        steps=sum(spent.values()),
        seconds=sum(row.timings.get("total", 0.0) for row in rows),
        failure=f"{failed[-1].status}: {failed[-1].error}" if failed and not values else None,
        complete=complete,
    )


def _error(values: Sequence[float], sampling: float) -> float:
    """Over seeds, but never below what the test's size alone leaves open."""
    if not values:
        return math.nan
    if len(values) == 1:
        return sampling
    return max(statistics.stdev(values) / math.sqrt(len(values)), sampling / math.sqrt(len(values)))
