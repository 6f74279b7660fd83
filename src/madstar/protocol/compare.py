"""Benchmarks side by side, on the settings that all of them have scored, and which differences are sure.

Two scores differ surely where they are more than two standard errors of their difference apart; else they
are a tie. Errors of different runs count as independent, which is careful: runs of one seed train on the
same examples. With one seed an error knows of the test's size only, not of what another seed would give.
"""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from ..archive import Archive, RunRow
from ..errors import ArchiveError, ConfigurationError
from .scores import Scores, SettingScore
from .session import ARCHIVE_NAME, STAGE, read_scores

SURE = 2.0
"""Standard errors of a difference beyond which it is sure."""
OVERALL = "MAD score"
_NAMED = 4
Verdict = Literal["higher", "lower", "tie", "unknown"]


@dataclass(frozen=True)
class Compared:
    """One run's score in a line of the comparison; nan where there is none."""

    value: float
    error: float


@dataclass(frozen=True)
class Difference:
    """The first run's score less the second's. `one` and `other` are places in `Comparison.runs`."""

    one: int
    other: int
    value: float
    error: float
    verdict: Verdict


@dataclass(frozen=True)
class ComparedLine:
    """A task (or the mean over tasks), with the shared settings it counts and a score for each run."""

    name: str
    settings: tuple[str, ...]
    scores: tuple[Compared, ...]

    @property
    def top(self) -> tuple[int, ...]:
        """The runs that none is surely above, by their places: one, or several that tie."""
        known = [place for place, score in enumerate(self.scores) if math.isfinite(score.value)]
        if not known:
            return ()
        highest = max(known, key=lambda place: self.scores[place].value)
        return tuple(
            place
            for place in known
            if place == highest or self._difference(highest, place).verdict != "higher"
        )

    @property
    def best(self) -> int | None:
        """The one run that is surely above all others, by its place; None where runs tie."""
        known = sum(math.isfinite(score.value) for score in self.scores)
        return self.top[0] if len(self.top) == 1 and known > 1 else None

    @property
    def differences(self) -> tuple[Difference, ...]:
        """Each pair of runs."""
        return tuple(itertools.starmap(self._difference, itertools.combinations(range(len(self.scores)), 2)))

    def _difference(self, one: int, other: int) -> Difference:
        first, second = self.scores[one], self.scores[other]
        value, error = first.value - second.value, math.hypot(first.error, second.error)
        verdict: Verdict = "tie"
        if math.isnan(value):
            verdict = "unknown"
        elif abs(value) > SURE * error:  # never where an error is not known
            verdict = "higher" if value > 0 else "lower"
        return Difference(one, other, value, error, verdict)

    def to_dict(self) -> dict[str, Any]:
        """JSON data; runs stand by their places."""
        return {
            "name": self.name,
            "settings": list(self.settings),
            "scores": [{"score": each.value, "error": each.error} for each in self.scores],
            "best": self.best,
            "differences": [asdict(each) for each in self.differences],
        }


@dataclass(frozen=True)
class Comparison:
    """Runs of one protocol and one budget. `notes` say what was left out, and what to keep in mind."""

    runs: tuple[Scores, ...]
    tasks: tuple[ComparedLine, ...]
    overall: ComparedLine
    notes: tuple[str, ...]

    @property
    def protocol(self) -> str:
        """The protocol that all runs have."""
        return self.runs[0].plan.protocol.name

    @property
    def budget(self) -> str:
        """The budget that all runs have."""
        return self.runs[0].plan.budget.name

    def to_dict(self) -> dict[str, Any]:
        """One JSON document."""
        return {
            "protocol": self.protocol,
            "budget": self.budget,
            "metric": self.runs[0].plan.protocol.test_metric,
            "runs": [
                {
                    "run": each.run.name,
                    "label": each.label,
                    "seeds": each.plan.seeds,
                    "complete": each.complete,
                    "steps": each.steps,
                    "cpu_seconds": each.seconds,
                }
                for each in self.runs
            ],
            "tasks": [each.to_dict() for each in self.tasks],
            "overall": self.overall.to_dict(),
            "notes": list(self.notes),
        }


def compare_runs(names: Sequence[str], home: Path) -> Comparison:
    """Compare benchmarks by their names, or by parts of them.

    Raises ArchiveError for a name that fits no benchmark or several, ConfigurationError as `compare` does.
    """
    return compare([read_scores(name, home) for name in find_benchmarks(names, home)])


def compare(found: Sequence[Scores]) -> Comparison:
    """Scores side by side, over the settings that every run has scored.

    Raises ConfigurationError for fewer than two runs, one that is named twice, and runs of different
    protocols, budgets or data.
    """
    if len(found) < 2:
        raise ConfigurationError(f"only {len(found)} run to compare: name two or more")
    names = [scores.run.name for scores in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ConfigurationError(f"run {twice} is named twice: name each run once")
    for other in found[1:]:
        _check_alike(found[0], other)
    by_key = [_scored(scores) for scores in found]
    shared = set.intersection(*(set(each) for each in by_key))
    if not shared:
        raise ConfigurationError("no setting is scored in all of these runs: there is nothing to compare")
    _check_data(found, shared)
    tasks = list(dict.fromkeys(each.setting.task for one in by_key for each in one.values()))
    lines = tuple(_line(task, by_key, shared) for task in tasks)
    counted = [line for line in lines if line.settings]
    return Comparison(tuple(found), lines, _overall(counted, len(found)), tuple(_notes(found, shared)))


def find_benchmarks(names: Sequence[str], home: Path) -> tuple[str, ...]:
    """The whole names of benchmarks that are given by name, number, "latest", or any part of the name.

    Raises ArchiveError for what fits none, or several.
    """
    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        known = [run for run in archive.runs() if run.kind == STAGE]
        return tuple(_whole_name(archive, name, known) for name in names)


def _whole_name(archive: Archive, name: str, known: Sequence[RunRow]) -> str:
    if any(run.name == name for run in known) or any(str(run.id) == name for run in known):
        return archive.run(name, kind=STAGE).name
    fitting = [run.name for run in known if name and name in run.name]
    if len(fitting) == 1:
        return fitting[0]
    if fitting and name != "latest":
        raise ArchiveError(f"{name!r} is part of several runs' names: {', '.join(fitting)}; give more of it")
    return archive.run(name, kind=STAGE).name


def _check_alike(one: Scores, other: Scores) -> None:
    """Raise ConfigurationError, which names the first field that differs and both values."""
    mine, its = one.plan, other.plan
    fields = [("protocol", mine.protocol.name, its.protocol.name)]
    first, second = asdict(mine.budget), asdict(mine.budget) | asdict(its.budget)
    fields += [
        ("budget" if name == "name" else f"the budget's {name}", first[name], second[name])
        for name in first
        if name != "seeds"  # more seeds make a score surer, not another
    ]
    for field, here, there in fields:
        if here != there:
            raise ConfigurationError(
                f"runs {one.run.name} and {other.run.name} cannot be compared: {field} is {here} in the "
                f"first and {there} in the second"
            )


def _check_data(found: Sequence[Scores], shared: set[str]) -> None:
    """Raise ConfigurationError where a setting's examples are not the same."""
    for scores in found[1:]:
        for key in sorted(shared):
            here, there = dict(found[0].plan.data).get(key), dict(scores.plan.data).get(key)
            if here != there:
                raise ConfigurationError(
                    f"runs {found[0].run.name} and {scores.run.name} cannot be compared: data of a setting "
                    f"are {here or 'generated'} in the first and {there or 'generated'} in the second"
                )


def _settings(scores: Scores) -> Iterator[SettingScore]:
    return (each for task in scores.tasks for each in task.settings)


def _scored(scores: Scores) -> dict[str, SettingScore]:
    return {each.setting.key: each for each in _settings(scores) if not math.isnan(each.value)}


def _line(task: str, by_key: Sequence[dict[str, SettingScore]], shared: set[str]) -> ComparedLine:
    keys = [key for key, each in by_key[0].items() if key in shared and each.setting.task == task]
    names = tuple(by_key[0][key].setting.name for key in keys)
    if not keys:
        return ComparedLine(task, (), (Compared(math.nan, math.nan),) * len(by_key))
    return ComparedLine(
        task, names, tuple(_mean([Compared(one[k].value, one[k].error) for k in keys]) for one in by_key)
    )


def _overall(lines: Sequence[ComparedLine], runs: int) -> ComparedLine:
    means = tuple(_mean([line.scores[place] for line in lines]) for place in range(runs))
    return ComparedLine(OVERALL, tuple(line.name for line in lines), means)


def _mean(scores: Sequence[Compared]) -> Compared:
    """The mean of independent scores."""
    error = math.sqrt(sum(each.error**2 for each in scores)) / len(scores)
    return Compared(statistics.fmean(each.value for each in scores), error)


def _notes(found: Sequence[Scores], shared: set[str]) -> Iterator[str]:
    left = {each.setting.key: each.setting for scores in found for each in _settings(scores)}
    if names := [f"{each.task} {each.name}" for key, each in left.items() if key not in shared]:
        more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
        yield f"Left out, since not every run has a score there: {', '.join(names[:_NAMED])}{more}."
    for scores in found:
        if failed := [each for each in _settings(scores) if each.failure is not None]:
            words = "setting" if len(failed) == 1 else "settings"
            yield f"{scores.run.name} has failed in {len(failed)} {words}."
        elif not scores.complete:
            yield f"{scores.run.name} has not been trained to its end."
    if any(each.seeds == 1 for scores in found for each in _settings(scores)):
        yield "With one seed an error is that of the test's size: other seeds may differ more."
