"""Validation: what a search has found, trained again from scratch with a larger budget and fresh seeds.

A front is the best of many noisy figures, so it flatters itself; and a short budget prefers what learns
fast. Here the front and all baselines start anew, each with the same seeds, none of them the search's,
and are compared on test text that chose nobody.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

from ..archive import Archive, CandidateRow, RunRow
from ..archive.lock import RunLock
from ..errors import ArchiveError, ConfigurationError, DataError
from ..search.evaluation import VALIDATION
from ..search.run import ARCHIVE_NAME, Run
from ..search.settings import SearchSettings
from ..search.trials import Trial, TrialWatcher, budget_ratio, run_trials
from ..tasks import TextTask
from ..training import Budget
from .retrained import Validation, read

FIRST_SEED = 1000
"""Seeds of validations are the run's seed and this, and so on: far from those of the search."""
LARGER = 4
"""How many times the run's largest budget a validation's is, where none is given."""


def validate(
    run: Run,
    *,
    budget: str | None = None,
    seeds: int = 3,
    workers: int | None = None,
    watcher: TrialWatcher | None = None,
) -> Validation:
    """Train a run's front and all its baselines from scratch, and compare them.

    `budget` is a text such as "1600", larger than the run's largest; four times that if None. `seeds`
    trainings each, at least 2. What was trained before to the same budget is not trained again, so an
    interrupted validation goes on, and one with fewer seeds is extended. `workers` is the run's if None.

    Raises ArchiveError for a run without a front, one whose data have changed, or one that another
    process is at work on; DataError where its prepared data are gone; ConfigurationError for a wrong
    budget or number of seeds; KeyboardInterrupt on Ctrl-C, when what has ended is kept.
    """
    settings = run.settings
    chosen = check_wanted(settings, budget, seeds)
    if workers is not None and workers < 1:
        raise ConfigurationError(f"{workers} workers: give at least 1")
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        members = _members(run)
        task = _task(run, archive.run(run.name))
        with RunLock(run.directory, run.name):
            row, number = _register(archive, run.name, chosen, seeds, members)
            run_trials(
                archive,
                row,
                _trials(archive, row, number, settings.seed + FIRST_SEED),
                task=task,
                settings=settings if workers is None else settings.model_copy(update={"workers": workers}),
                checkpoints=run.checkpoints,
                watcher=watcher,
                import_paths=[os.getcwd()],
            )
            return read(archive, archive.run(run.name), number)


def read_validation(run: Run, number: int = -1) -> Validation:
    """A validation of a run from its rows alone, also while it goes on; by its number, the last if -1.

    Raises ArchiveError where the run has none of that number.
    """
    with Archive.open(run.home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(run.name)
        known = len(row.config.get("validations", ()))
        if not -known <= number < known:
            raise ArchiveError(
                f"run {run.name} has no validation {number}: it has {known}; begin one with "
                f"madstar validate {run.name}"
                if known
                else f"run {run.name} has not been validated: madstar validate {run.name} does it"
            )
        return read(archive, row, number % known)


def check_wanted(settings: SearchSettings, budget: str | None, seeds: int) -> str:
    """The text of the budget that `validate` would take; raises ConfigurationError as it would.

    For those who want to know before a search that is to be validated begins.
    """
    if seeds < 2:
        raise ConfigurationError(f"{seeds} seeds for a validation: give at least 2, for one shows no spread")
    return larger_budget(settings, budget)


def larger_budget(settings: SearchSettings, budget: str | None) -> str:
    """The text of a validation's budget. Raises ConfigurationError where it is not larger than the run's."""
    top = settings.budgets[-1]
    if budget is None:
        return str(Budget(LARGER * top.amount, top.unit))
    chosen = Budget.parse(budget)
    ratio = budget_ratio(budget, settings)
    if math.isnan(ratio):
        raise ConfigurationError(
            f"validation budget {chosen} cannot be compared with the run's rungs, the largest of {top}: "
            f"give it in {top.unit}"
        )
    if ratio <= 1:
        raise ConfigurationError(
            f"validation budget {chosen} is not larger than the run's largest of {top}: give more, "
            f"such as {Budget(LARGER * top.amount, top.unit)}"
        )
    return str(chosen)


def _members(run: Run) -> list[CandidateRow]:
    """The front, best first, then all baselines. Raises ArchiveError for a run without a front."""
    summary = run.summary()
    if not summary.front:
        raise ArchiveError(
            f"run {run.name} has no front to validate: none of its evaluations has succeeded; "
            f"go on with madstar search --resume {run.name}, or begin another"
        )
    baselines = [c for c in summary.candidates if c.role == "baseline" and c.status == "pending"]
    return [*(entry.candidate for entry in summary.front), *baselines]


def _task(run: Run, row: RunRow) -> TextTask:
    """The data as the run began with them."""
    try:
        task = TextTask.open(run.task_directory)
    except DataError as error:
        raise DataError(
            f"the prepared data of run {run.name} cannot be read ({error}): "
            f"madstar search --resume {run.name} prepares them again"
        ) from None
    if task.fingerprint != row.config["task"]["fingerprint"]:
        raise ArchiveError(
            f"the data of run {run.name} have changed since it began ({run.settings.data}): restore them, "
            "or begin a new run"
        )
    return task


def _register(
    archive: Archive, name: str, budget: str, seeds: int, members: Sequence[CandidateRow]
) -> tuple[RunRow, int]:
    """Note in the run's config what is to be trained; returns its row and the validation's number.

    There is one validation for each budget: asked for again, it may grow by seeds and members.
    """
    row = archive.run(name)
    validations: list[dict[str, Any]] = [dict(one) for one in row.config.get("validations", ())]
    number = next((n for n, one in enumerate(validations) if one["budget"] == budget), len(validations))
    if number == len(validations):
        validations.append({"budget": budget, "seeds": seeds, "candidates": []})
    one = validations[number]
    one["seeds"] = max(seeds, int(one["seeds"]))
    one["candidates"] = list(dict.fromkeys([*one.get("candidates", ()), *(m.index for m in members)]))
    if validations != row.config.get("validations"):
        row = archive.update_run(row.id, config={**row.config, "validations": validations})
    return row, number


def _trials(archive: Archive, row: RunRow, number: int, first_seed: int) -> list[Trial]:
    """Seed by seed, so that what is there after an interrupt is a fair comparison as far as it goes."""
    one = row.config["validations"][number]
    known = {candidate.index: candidate for candidate in archive.candidates(row.id)}
    members = [known[index] for index in one["candidates"]]
    return [
        Trial(each.index, each.genome, VALIDATION, number, one["budget"], seed, each.name or "")
        for seed in range(first_seed, first_seed + int(one["seeds"]))
        for each in members
    ]
