"""The loop's jobs in its pool, and what is looked at while they run: the clock, the disk, the file STOP."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ..workers import Job, Outcome, WorkerPool
from .ledger import Folder, Ledger, clear, size_of
from .limits import Limits

_TICK = 0.25
_DISK = 0.5


class Stopped(Exception):  # noqa: N818  it is no error
    """The loop has to end now; `reason` says why: "time", "stop", "disk"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Work:
    """Something for a worker: a name unique in its batch, what to do, and the seconds that it may take."""

    name: str
    do: str
    payload: dict[str, Any]
    seconds: float


class Jobs:
    """Runs batches of work within the limits, and is told how each ends.

    Args:
        pool: The workers.
        limits: Of the run.
        folder: Of the run.
        ledger: Where the time is booked.
        stop_at: Seconds of the run after which no job goes on.
    """

    def __init__(
        self, pool: WorkerPool, limits: Limits, folder: Folder, ledger: Ledger, stop_at: float
    ) -> None:
        self.pool, self.limits, self.folder, self.ledger = pool, limits, folder, ledger
        self.stop_at = stop_at
        self.count = 0
        self._looked = 0.0

    @property
    def left(self) -> float:
        """Seconds until no job goes on."""
        return self.stop_at - self.ledger.seconds

    def run(
        self,
        batch: Sequence[Work],
        ended: Callable[[Work, Outcome], None],
        told: Callable[[int, dict[str, dict[str, Any]]], None] = lambda done, progress: None,
        *,
        until: float | None = None,
    ) -> list[Work]:
        """Do all of a batch; returns what was not begun where `until` (seconds of the run) came first.

        Raises Stopped at once when the run has to end: what runs then is killed, and has no outcome.
        """
        waiting = list(batch)
        running: dict[str, Work] = {}
        done = 0
        while waiting or running:
            try:
                self._look(running, ended)
            except Stopped:
                for job in running:
                    self.pool.cancel(job)
                raise
            if until is not None and self.ledger.seconds >= until and not running:
                return waiting
            while waiting and self.pool.idle and (until is None or self.ledger.seconds < until):
                self._begin(waiting.pop(0), running)
            for outcome in self.pool.wait(_TICK):
                if (work := running.pop(outcome.id, None)) is not None:
                    done += 1
                    ended(work, outcome)
            told(
                done,
                {running[job].name: each for job, each in self.pool.progress().items() if job in running},
            )
        return []

    def place(self, work: Work) -> str:
        """The folder that a piece of work writes to."""
        return str(self.folder.work / work.name)

    def _begin(self, work: Work, running: dict[str, Work]) -> None:
        self.count += 1
        job = f"{work.name}-{self.count}"
        payload = {**work.payload, "do": work.do, "work": self.place(work)}
        seconds = max(0.1, min(work.seconds, self.left))
        self.pool.submit(Job(job, payload, seconds, self.limits.memory))
        running[job] = work

    def _look(self, running: dict[str, Work], ended: Callable[[Work, Outcome], None]) -> None:
        """Raise Stopped where the run has to end; end jobs that have written too much."""
        self.ledger.book()
        if self.left <= 0:
            raise Stopped("time")
        if self.folder.stop.exists():
            raise Stopped("stop")
        now = time.monotonic()
        if now - self._looked < _DISK:
            return
        self._looked = now
        if self.folder.used() <= self.limits.disk:
            return
        sizes = {job: size_of(self.folder.work / work.name) for job, work in running.items()}
        for job in sorted(sizes, key=lambda job: -sizes[job])[:1] or ():
            self._end(job, running.pop(job), sizes[job], ended)
        if self.folder.used() > self.limits.disk:
            clear(self.folder.work, {work.name for work in running.values()})
        if self.folder.used() > self.limits.disk:
            raise Stopped("disk")

    def _end(self, job: str, work: Work, size: int, ended: Callable[[Work, Outcome], None]) -> None:
        """Kill the job that has written most, and take away what it wrote."""
        if not self.pool.cancel(job):
            return
        shutil.rmtree(self.folder.work / work.name, ignore_errors=True)
        said = f"wrote {size / 2**20:.0f} MiB; the run may have {self.limits.disk / 2**20:.0f} MiB on disk"
        now = time.time()
        self.ledger.log.write("disk", job=work.name, bytes=size)
        ended(work, Outcome(job, "error", None, said, 0, 0.0, now, now))
