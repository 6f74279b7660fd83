"""Trainings in this very process, for a model function that no other process could find.

A closure, or a function typed into a notebook, cannot be sent to workers. So here a job runs when it is
waited for: one at a time, and without limits, for nobody stands beside it.
"""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import torch

from ..errors import MadstarError, in_one_line
from ..workers import Job, Outcome
from .architecture import Architecture
from .worker import Training, train_group


class InlinePool:
    """As much of a `WorkerPool` as a benchmark needs."""

    def __init__(self, architecture: Architecture) -> None:
        self._architecture = architecture
        self._jobs: list[Job] = []
        self._told: dict[str, dict[str, Any]] = {}

    @property
    def idle(self) -> int:
        """1 where no job waits, else 0."""
        return 0 if self._jobs else 1

    def submit(self, job: Job) -> None:
        """Keep a job until `wait`."""
        self._jobs.append(job)

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Run what was submitted. An interrupt leaves it undone."""
        del timeout
        jobs, self._jobs = self._jobs, []
        return [self._run(job) for job in jobs]

    def progress(self) -> dict[str, dict[str, Any]]:
        """What the last jobs have told."""
        return dict(self._told)

    def close(self, timeout: float = 0.0) -> None:
        """Forget what waits."""
        del timeout
        self._jobs = []

    def _run(self, job: Job) -> Outcome:
        began, clock = time.time(), time.monotonic()
        status, value, error = "ok", None, None
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # as a worker has: the same scores, and small models are no slower
        try:
            asked = [Training(**each) for each in job.payload["group"]]
            results = train_group(asked, lambda told: self._told.update({job.id: told}), self._architecture)
            value = {"results": results}
        except MadstarError as raised:
            status, error = "error", " ".join(str(raised).split())
        except Exception as raised:
            status, error = "error", in_one_line(raised)
        finally:
            torch.set_num_threads(threads)
        seconds = time.monotonic() - clock
        return Outcome(job.id, status, value, error, 0, seconds, began, began + seconds)  # type: ignore[arg-type]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
