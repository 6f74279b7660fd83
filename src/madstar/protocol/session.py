"""A benchmark from the first training to the last: workers, rows, and what the user sees meanwhile.

Each training that has ended, well or not, is a row before anyone is told of it. A benchmark that was
interrupted or killed goes on from its rows, and from the trunks of trainings that were under way.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..archive import Archive, EvaluationRow, RunRow
from ..archive.lock import RunLock
from ..errors import ArchiveError, ConfigurationError
from ..tasks.mechanistic import find_task
from ..workers import Job, Outcome, WorkerPool, row_fields
from .architecture import ModelFunction
from .checks import check_architecture
from .inline import InlinePool
from .plan import Plan
from .race import Race, Wanted, next_wanted, races
from .scores import Scores, scores_of
from .worker import TARGET, Training

ARCHIVE_NAME = "archive.sqlite"
STAGE = "benchmark"
CANDIDATE = 0
_TICK = 0.5


class BenchmarkProgress(NamedTuple):
    """A look at a benchmark. `running` are (training, steps done, steps in all, 0 if not known yet).

    `seconds_left` is what is left if no sweep point stops early from here on; None while no pace is known.
    """

    settings: int
    settled: int
    trainings: int
    failed: int
    running: tuple[tuple[Wanted, int, int], ...]
    seconds: float
    seconds_left: float | None


class BenchmarkWatcher(Protocol):
    """Who is told how a benchmark goes. All methods return quickly."""

    def began(self, plan: Plan, run: RunRow, done: int) -> None:
        """Training begins; `done` trainings were there before."""

    def ended(self, wanted: Wanted, row: EvaluationRow) -> None:
        """A training has ended, well or not."""

    def tick(self, progress: BenchmarkProgress) -> None:
        """Called about twice a second."""

    def close(self) -> None:
        """The benchmark is over, or was interrupted."""


class Silent:
    """A watcher that says nothing."""

    def began(self, plan: Plan, run: RunRow, done: int) -> None:
        """Say nothing."""

    def ended(self, wanted: Wanted, row: EvaluationRow) -> None:
        """Say nothing."""

    def tick(self, progress: BenchmarkProgress) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Resources:
    """What a benchmark may use: processes, a device, seconds and bytes for one training.

    Without `workers` all is trained in this process, one training after another and without limits.
    """

    workers: int = 2
    device: str = "cpu"
    time_limit: float = 7200.0
    memory_limit: int | None = 6 * 2**30

    def __post_init__(self) -> None:
        if self.workers < 0:
            raise ConfigurationError(
                f"{self.workers} workers: give at least 1, or 0 for none but this process"
            )
        if not self.time_limit > 0:
            raise ConfigurationError(f"time limit {self.time_limit:g} s: give more than 0")


def run_plan(
    plan: Plan,
    home: Path,
    *,
    resources: Resources | None = None,
    watcher: BenchmarkWatcher | None = None,
    name: str | None = None,
) -> Scores:
    """Train what a plan wants and has not yet; returns the scores.

    The architecture is checked on each kind of task before anything is written. Raises LayerError and
    TaskError for what cannot be trained, ArchiveError where another process works on the same
    benchmark, KeyboardInterrupt on Ctrl-C: what has ended is then kept.
    """
    check_plan(plan)
    told = watcher or Silent()
    with Archive.open(home / ARCHIVE_NAME) as archive:
        row = _register(archive, plan, name)
        plan = plan.extended(row.config)
        with RunLock(home / row.name, row.name):
            queue = _Queue(archive, row, plan, home / row.name / "trunks", resources or Resources(), told)
            try:
                queue.work_off()
            except BaseException:
                archive.update_run(row.id, status="interrupted", add_seconds=queue.seconds())
                raise
            finally:
                told.close()
            row = archive.update_run(row.id, status="finished", add_seconds=queue.seconds())
        return scores_of(row, archive.evaluations(row.id))


def read_scores(name: str, home: Path) -> Scores:
    """The scores of a benchmark by its run's name, as far as it has come. Raises ArchiveError."""
    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(name, kind=STAGE)
        return scores_of(row, archive.evaluations(row.id))


def check_plan(plan: Plan) -> None:
    """Raise what would stop every training: settings that cannot be generated, a model that is none."""
    for setting in plan.settings:
        find_task(setting.task).checked(setting)
    tried = set()
    for setting in plan.settings:
        if setting.task not in tried:
            tried.add(setting.task)
            backbone = find_task(setting.task).backbone
            check_architecture(
                plan.architecture, setting.task, backbone, setting.vocabulary_size, setting.length
            )


def _register(archive: Archive, plan: Plan, name: str | None) -> RunRow:
    """The run of this plan: the one that is there, extended, or a new one with its one candidate."""
    wanted = name or plan.run_name
    known = {run.name: run for run in archive.runs()}
    if wanted in known:
        row = known[wanted]
        if row.kind != STAGE or row.config["identity"] != plan.identity:
            raise ArchiveError(
                f"run {wanted!r} is there already and trains something else: choose another --name"
            )
        config = plan.extended(row.config).config()
        return archive.update_run(row.id, config=config, status="running")
    row = archive.create_run(wanted, plan.config(), kind=STAGE)
    archive.add_candidate(
        row.id,
        index=CANDIDATE,
        genome=plan.architecture.label,
        architecture=plan.architecture.key,
        operator="given",
        name=plan.architecture.label,
        spec=plan.architecture.to_dict(),
    )
    return row


def _in_process(plan: Plan) -> bool:
    """Whether the architecture exists in this process only."""
    return isinstance(plan.architecture, ModelFunction) and not plan.architecture.reference


@dataclass
class _Queue:
    """What runs, and what is started next."""

    archive: Archive
    run: RunRow
    plan: Plan
    trunks: Path
    resources: Resources
    watcher: BenchmarkWatcher
    running: dict[str, tuple[Wanted, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.begun = time.monotonic()
        self.rows = list(self.archive.evaluations(self.run.id))
        self.settings = {setting.key: setting for setting in self.plan.settings}
        self.points = {str(point): point for point in self.plan.points}
        self.races: dict[str, Race] = {r.setting.key: r for r in races(self.plan, self.rows)}
        self.known: set[Wanted] = set()

    def seconds(self) -> float:
        """Wall time of this session."""
        return time.monotonic() - self.begun

    def work_off(self) -> None:
        """Train until nothing is wanted."""
        self.watcher.began(self.plan, self.run, len(self.rows))
        if not next_wanted(tuple(self.races.values()), ()):
            return
        self.trunks.mkdir(parents=True, exist_ok=True)
        with self._pool() as pool:
            try:
                while True:
                    waiting = self._groups(next_wanted(tuple(self.races.values()), self._under_way()))
                    if not waiting and not self.running:
                        return
                    for group in waiting[: pool.idle]:
                        self._start(pool, group)
                    self.take_in(pool.wait(_TICK))
                    self.watcher.tick(self.progress(pool))
            except KeyboardInterrupt:
                pool.close(0.0)
                self.take_in(pool.wait(0.0))
                raise

    def _pool(self) -> WorkerPool | InlinePool:
        if _in_process(self.plan) or self.resources.workers == 0:
            return InlinePool(self.plan.architecture)
        return WorkerPool(
            TARGET,
            self.resources.workers,
            setup={"threads": 1},
            memory_limit=self.resources.memory_limit,
            import_paths=[os.getcwd()],
        )

    def _under_way(self) -> list[Wanted]:
        return [wanted for group in self.running.values() for wanted in group]

    def _groups(self, waiting: Sequence[Wanted]) -> list[tuple[Wanted, ...]]:
        """What is trained side by side: on a GPU all points of a setting that are at one rung."""
        if self.resources.device == "cpu":
            return [(wanted,) for wanted in waiting]
        groups: dict[tuple[str, int, int], list[Wanted]] = {}
        for wanted in waiting:
            groups.setdefault((wanted.setting, wanted.seed, wanted.rung), []).append(wanted)
        return [tuple(group) for group in groups.values()]

    def _start(self, pool: WorkerPool | InlinePool, group: tuple[Wanted, ...]) -> None:
        name = " ".join("|".join(map(str, wanted)) for wanted in group)
        limit = self.resources.time_limit * len(group)
        payload = {"group": [self._training(wanted).to_dict() for wanted in group]}
        pool.submit(Job(name, payload, limit, self.resources.memory_limit))
        self.running[name] = group

    def _training(self, wanted: Wanted) -> Training:
        setting, point = self.settings[wanted.setting], self.points[wanted.point]
        protocol, rungs = self.plan.protocol, self.plan.rungs(setting)
        return Training(
            architecture=self.plan.architecture.to_dict(),
            setting=setting.to_dict(),
            training=self.plan.training(setting, point).model_dump(mode="json"),
            seed=wanted.seed,
            stop=rungs[wanted.rung],
            selection=protocol.selection,
            looked=self.plan.budget.looked,
            scored=self.plan.budget.scored,
            best_epoch=protocol.best_epoch,
            compatible=protocol.compatible,
            trunk=str(self.trunks / f"{wanted.setting}-{wanted.point}-{wanted.seed}.safetensors"),
            last=wanted.rung + 1 == len(rungs),
            data=dict(self.plan.data).get(wanted.setting),
            device=self.resources.device,
        )

    def take_in(self, outcomes: Iterable[Outcome]) -> None:
        """Make each training's outcome a row; only then is it told of."""
        for outcome in outcomes:
            group = self.running.pop(outcome.id)
            results = (outcome.value or {}).get("results", [{}] * len(group))
            for wanted, result in zip(group, results, strict=True):
                self._add_row(wanted, row_fields(outcome, result, len(group)))

    def _add_row(self, wanted: Wanted, fields: dict[str, Any]) -> None:
        row = self.archive.add_evaluation(
            self.run.id,
            candidate=CANDIDATE,
            stage=STAGE,
            setting=wanted.setting,
            point=wanted.point,
            rung=wanted.rung,
            seed=wanted.seed,
            **fields,
        )
        self.rows.append(row)
        race = self.races[wanted.setting]
        self.races[wanted.setting] = Race(race.plan, race.setting, (*race.rows, row))
        self.watcher.ended(wanted, row)

    def progress(self, pool: WorkerPool | InlinePool) -> BenchmarkProgress:
        """How the benchmark stands."""
        told = pool.progress()
        running = tuple(
            (wanted, int(told.get(name, {}).get("step", 0)), int(told.get(name, {}).get("total", 0)))
            for name, group in self.running.items()
            for wanted in group
        )
        busy = {wanted.setting for wanted in self._under_way()}
        settled = [key for key, race in self.races.items() if key not in busy and not race.wanted()]
        return BenchmarkProgress(
            settings=len(self.races),
            settled=len(settled),
            trainings=len(self.rows),
            failed=sum(row.status != "ok" for row in self.rows),
            running=running,
            seconds=self.seconds(),
            seconds_left=self._seconds_left(),
        )

    def _seconds_left(self) -> float | None:
        """Seconds to the end at the pace so far, a step's cost being counted by its tokens."""
        tokens, seconds = 0.0, 0.0
        seen: dict[tuple[str, str, int], int] = {}
        for row in self.rows:
            key = (row.setting, row.point, row.seed)
            length = self.settings[row.setting].length if row.setting in self.settings else 0
            tokens += max(0, row.steps - seen.get(key, 0)) * self.plan.budget.batch * length
            seen[key] = max(row.steps, seen.get(key, 0))
            seconds += row.timings.get("total", 0.0)
        if not tokens:
            return None
        left = sum(r.steps_left() * self.plan.budget.batch * r.setting.length for r in self.races.values())
        return left * seconds / tokens / max(1, self.resources.workers)
