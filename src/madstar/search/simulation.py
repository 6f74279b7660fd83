"""A search without training: evaluations come from a function, and time is pretended.

Studies of strategies need many runs, each of hours. Here the coordinator, the agenda and the strategy
are the real ones; only the workers and the clock are not. An evaluation's figures and seconds come
from a function of its payload, such as a model fitted to a table of real evaluations. The time that
the coordinator itself takes, a strategy's own included, is real and counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from ..archive import Archive
from ..tasks import TextTask
from ..workers import Job, Outcome, WorkerPool
from . import knowledge
from .coordinator import Coordinator
from .run import ARCHIVE_NAME, Run
from .session import Silent
from .settings import SearchSettings


@dataclass(frozen=True)
class Pretended:
    """An evaluation that was not: what a worker would have answered, after so many seconds."""

    seconds: float
    value: dict[str, Any]


class Clock:
    """Seconds that pass as told, and those of the processor spent between two waits unless not `own_time`.

    Seconds of the processor, so that other work on the machine does not count against a strategy.
    """

    def __init__(self, *, own_time: bool = True) -> None:
        self.own_time = own_time
        self._passed, self._since = 0.0, time.process_time()

    def __call__(self) -> float:
        """Seconds since the clock was made."""
        return self._passed + (time.process_time() - self._since if self.own_time else 0.0)

    def advance_to(self, seconds: float) -> None:
        """Let it be that time, unless it is later."""
        self._passed, self._since = max(seconds, self()), time.process_time()


class PretendedPool:
    """Stands in for `WorkerPool`: jobs end when the clock says so, the earliest first."""

    def __init__(
        self,
        evaluate: Callable[[dict[str, Any]], Pretended],
        clock: Clock,
        target: str,
        workers: int,
        *,
        setup: dict[str, Any] | None = None,
        import_paths: Sequence[str] = (),
    ) -> None:
        del target, setup, import_paths
        self._evaluate, self._clock, self._workers = evaluate, clock, workers
        self._running: dict[str, tuple[float, float, int, Pretended]] = {}
        self.restarts = 0

    @property
    def idle(self) -> int:
        """Workers without a job."""
        return self._workers - len(self._running)

    def submit(self, job: Job) -> None:
        """Begin a job on a free worker."""
        taken = {worker for _, _, worker, _ in self._running.values()}
        worker = min(set(range(self._workers)) - taken)
        answer, now = self._evaluate(job.payload), self._clock()
        self._running[job.id] = (now + answer.seconds, now, worker, answer)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Let time pass until the next job ends, or by `timeout` where none is running."""
        if not self._running:
            self._clock.advance_to(self._clock() + (timeout or 0.0))
            return []
        name = min(self._running, key=lambda job: (self._running[job][0], job))
        ends, began, worker, answer = self._running.pop(name)
        self._clock.advance_to(ends)
        return [Outcome(name, "ok", answer.value, None, worker, answer.seconds, began, ends)]

    def cancel(self, job_id: str) -> bool:
        """Stop a job."""
        return self._running.pop(job_id, None) is not None

    def progress(self) -> dict[str, dict[str, Any]]:
        """Nothing is reported."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._running.clear()


def simulate(
    settings: SearchSettings,
    task: TextTask,
    evaluate: Callable[[dict[str, Any]], Pretended],
    home: Path,
    name: str,
    *,
    own_time: bool = True,
) -> Run:
    """Run a search of these settings without training, and return it as any other run.

    A run of that name that stopped before its end goes on. `evaluate` answers a payload (see
    `evaluation.Evaluator`) with figures at its rung. Without `own_time` the result depends on nothing
    but the settings and `evaluate`.
    """
    described = {
        "fingerprint": task.fingerprint,
        "description": task.description,
        "vocabulary_size": task.vocabulary_size,
    }
    home.mkdir(parents=True, exist_ok=True)
    with Archive.open(home / ARCHIVE_NAME) as archive:
        if name in {run.name for run in archive.runs()}:
            row = archive.run(name)
        else:
            config = {"settings": settings.model_dump(mode="json"), "task": described}
            known = knowledge.learn(settings, task.vocabulary_size)
            row = archive.create_run(name, config)
            knowledge.keep(known, home / name)
        clock = Clock(own_time=own_time)
        coordinator = Coordinator(
            settings,
            archive,
            row,
            task,
            home / name,
            knowledge=knowledge.recall(settings, home / name),
            pool=cast("Callable[..., WorkerPool]", partial(PretendedPool, evaluate, clock)),
            clock=clock,
        )
        coordinator.run(Silent())
        coordinator.book_time("finished")
        return Run(home, archive.run(name))
