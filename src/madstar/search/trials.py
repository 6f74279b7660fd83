"""A fixed list of trainings from scratch: validations of what a search has found, for example.

A search decides as it goes; here all is decided beforehand. Each training that has ended is a row, and
one that has a row, good or bad, is not done again, so a list that was interrupted goes on where it
stopped.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..archive import Archive, EvaluationRow, RunRow
from ..errors import OutputError
from ..tasks import TextTask
from ..training import Budget
from ..workers import Job, Outcome, WorkerPool, row_fields
from .evaluation import FULL, TARGET, VALIDATION, worker_setup
from .settings import SearchSettings

_TICK = 0.5


class Trial(NamedTuple):
    """One training from scratch: of a candidate of the run, to a budget, with a seed.

    `stage` is "repeat" or "validation", and `rung` what the evaluation's row will say: for a repeat the
    run's rung, for a validation its number. `budget` is a budget's text, such as "1600". `name` is for
    people: a baseline's, or nothing.
    """

    candidate: int
    genome: str
    stage: str
    rung: int
    budget: str
    seed: int
    name: str = ""

    @property
    def label(self) -> str:
        """A baseline's name, or the candidate's number."""
        return self.name or f"#{self.candidate}"

    @property
    def key(self) -> Key:
        """What makes its row the only one."""
        return self.candidate, self.stage, self.rung, self.seed


Key = tuple[int, str, int, int]


@dataclass(frozen=True)
class TrialProgress:
    """A look at a list of trials: `running` are (trial, step, steps of its budget or 0 if not known yet).

    `seconds_left` is None while no training's pace is known.
    """

    total: int
    done: int
    failed: int
    running: tuple[tuple[Trial, int, int], ...]
    seconds: float
    seconds_left: float | None

    @property
    def fraction(self) -> float:
        """The share of the list that is done, what is under way counted by its steps."""
        under_way = sum(step / steps for _, step, steps in self.running if steps)
        return min(1.0, (self.done + under_way) / self.total) if self.total else 1.0


class TrialWatcher(Protocol):
    """Who is told how the trials go. All methods return quickly."""

    def began(self, total: int, done: int) -> None:
        """Training begins; `done` of `total` trials were done before."""

    def ended(self, trial: Trial, row: EvaluationRow) -> None:
        """A training has ended, well or not."""

    def tick(self, progress: TrialProgress) -> None:
        """Called about twice a second."""


class SilentTrials:
    """A watcher of trials that says nothing."""

    def began(self, total: int, done: int) -> None:
        """Say nothing."""

    def ended(self, trial: Trial, row: EvaluationRow) -> None:
        """Say nothing."""

    def tick(self, progress: TrialProgress) -> None:
        """Say nothing."""


def run_trials(
    archive: Archive,
    run_row: RunRow,
    trials: Sequence[Trial],
    *,
    task: TextTask,
    settings: SearchSettings,
    checkpoints: Path,
    watcher: TrialWatcher | None = None,
    import_paths: Sequence[str] = (),
) -> None:
    """Train every trial that has no row yet, in the order given, `settings.workers` at once.

    `settings` are the run's; an evaluation's time limit grows with its budget. The caller holds the
    run's lock. On KeyboardInterrupt the workers are stopped and it is raised on; what had ended by then
    is kept. Raises OutputError where the disk is full, and then no row blames a candidate for it.
    """
    had = {(row.candidate, row.stage, row.rung, row.seed) for row in archive.evaluations(run_row.id)}
    missing = [trial for trial in trials if trial.key not in had]
    told = watcher or SilentTrials()
    told.began(len(trials), len(trials) - len(missing))
    if not missing:
        return
    queue = _Queue(archive, run_row, trials, missing, settings, told)
    setup = worker_setup(
        task=task.directory,
        checkpoints=checkpoints,
        sizes=settings.sizes(task.vocabulary_size),
        training=settings.training,
        rungs=settings.rungs,
        objectives=settings.objectives,
        constraints=(),
    )
    workers = min(settings.workers, len(missing))
    with WorkerPool(TARGET, workers, setup=setup, import_paths=import_paths) as pool:
        try:
            queue.work_off(pool)
        except KeyboardInterrupt:
            pool.close(0.0)
            queue.take_in(pool.wait(0.0))
            raise


@dataclass
class _Queue:
    """The trials that wait and those that run."""

    archive: Archive
    run_row: RunRow
    trials: Sequence[Trial]
    waiting: list[Trial]
    settings: SearchSettings
    watcher: TrialWatcher
    running: dict[str, Trial] = field(default_factory=dict)
    failed: int = 0

    def __post_init__(self) -> None:
        self.begun = time.monotonic()
        self.pace = _Pace(self.settings, self.archive.evaluations(self.run_row.id))

    def work_off(self, pool: WorkerPool) -> None:
        """Train all that wait."""
        while self.waiting or self.running:
            while self.waiting and pool.idle:
                self._start(pool, self.waiting[0])
            self.take_in(pool.wait(_TICK))
            self.watcher.tick(self.progress(pool))

    def take_in(self, outcomes: Iterable[Outcome]) -> None:
        """Make each outcome a row; only then is it told of."""
        for outcome in outcomes:
            trial = self.running.pop(outcome.id)
            row = self._add_row(trial, outcome)
            self.failed += row.status != "ok"
            self.pace.learn(row)
            self.watcher.ended(trial, row)

    def progress(self, pool: WorkerPool) -> TrialProgress:
        """How the list stands."""
        told = pool.progress()
        running = tuple(
            (trial, told.get(name, {}).get("step", 0), told.get(name, {}).get("total", 0))
            for name, trial in self.running.items()
        )
        open_ = len(self.waiting) + len(running)
        return TrialProgress(
            total=len(self.trials),
            done=len(self.trials) - open_,
            failed=self.failed,
            running=running,
            seconds=time.monotonic() - self.begun,
            seconds_left=self.pace.seconds_left(self.waiting, running, self.settings.workers),
        )

    def _start(self, pool: WorkerPool, trial: Trial) -> None:
        name = "-".join(map(str, trial.key))
        payload = {
            "index": trial.candidate,
            "genome": trial.genome,
            "rung": trial.rung,
            "seed": trial.seed,
            "stage": trial.stage,
            "budget": trial.budget,
            "constrained": False,
            "save": trial.stage == VALIDATION and trial.seed == self._first_seed(trial),
        }
        limit = self.settings.time_limit * max(1.0, budget_ratio(trial.budget, self.settings))
        pool.submit(Job(name, payload, limit, self.settings.memory_limit))
        self.waiting.remove(trial)
        self.running[name] = trial

    def _first_seed(self, trial: Trial) -> int:
        return min(t.seed for t in self.trials if t.key[:3] == trial.key[:3])

    def _add_row(self, trial: Trial, outcome: Outcome) -> EvaluationRow:
        value: dict[str, Any] = outcome.value or {}
        if value.get("status") == FULL:
            raise OutputError(f"{value['error']}: free some room, then go on")
        return self.archive.add_evaluation(
            self.run_row.id,
            candidate=trial.candidate,
            stage=trial.stage,
            rung=trial.rung,
            seed=trial.seed,
            **row_fields(outcome),
        )


def budget_ratio(budget: str, settings: SearchSettings) -> float:
    """How many times the run's largest budget another is. nan where only a clock could tell."""
    wanted, top = Budget.parse(budget), settings.budgets[-1]
    if wanted.unit == top.unit:
        return wanted.amount / top.amount
    steps = wanted.steps(settings.training.tokens_per_step)
    most = top.steps(settings.training.tokens_per_step)
    return steps / most if steps and most else float("nan")


class _Pace:
    """Seconds a step takes, by candidate, from trainings that began from scratch."""

    def __init__(self, settings: SearchSettings, rows: Collection[EvaluationRow]) -> None:
        self._settings = settings
        self._known: dict[int, float] = {}
        for row in rows:
            self.learn(row)

    def learn(self, row: EvaluationRow) -> None:
        """Take in a training; the last one of a candidate counts."""
        if row.status == "ok" and row.steps and not row.timings.get("resumed"):
            # A short training is scored for as long as a long one: that would distort the search's pace.
            part = "train" if row.stage == "search" else "total"
            self._known[row.candidate] = row.timings.get(part, 0.0) / row.steps

    def seconds_left(
        self, waiting: Sequence[Trial], running: Sequence[tuple[Trial, int, int]], workers: int
    ) -> float | None:
        """Expected seconds until all have ended; None while no pace is known."""
        if not self._known:
            return None
        under_way = [
            self._seconds(trial) * (1 - (step / steps if steps else 0.0)) for trial, step, steps in running
        ]
        work = sum(under_way) + sum(map(self._seconds, waiting))
        return max([work / min(workers, max(1, len(waiting) + len(running))), *under_way])

    def _seconds(self, trial: Trial) -> float:
        budget = Budget.parse(trial.budget)
        steps = budget.steps(self._settings.training.tokens_per_step)
        if steps is None:
            return budget.amount
        return steps * (self._known.get(trial.candidate) or statistics.median(self._known.values()))
