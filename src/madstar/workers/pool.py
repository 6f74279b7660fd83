"""The pool that a coordinator talks to."""

import contextlib
import os
import queue
import sys
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from madstar.errors import ConfigurationError, WorkerError
from madstar.workers.frames import encode
from madstar.workers.job import Job, Outcome
from madstar.workers.process import Running
from madstar.workers.supervisor import Supervisor

_FAREWELL = 1.0
_BEYOND = 2.0


class WorkerPool:
    """Processes, one thread each, that run one job at a time under limits.

    A job may raise, hang, crash, print, or allocate without end: it gets an `Outcome`, its
    worker is replaced where needed, and the others do not notice. Time limits are kept while
    the coordinator is busy elsewhere. Workers die with the coordinator, however it ends.

    Workers are started at once and in parallel; the constructor does not wait for them. Use:

        with WorkerPool("package.module:make_handler", workers=2) as pool:
            while waiting or running:
                while waiting and pool.idle:
                    pool.submit(waiting.pop())
                for outcome in pool.wait(timeout=1):
                    ...

    `make_handler(setup)` is called once in each fresh process and returns
    `handler(payload, report) -> dict`; `report(dict)` sends progress.

    A pool belongs to one thread.

    Args:
        target: "package.module:function", the factory.
        workers: How many processes.
        setup: JSON data for the factory; an empty dict if None.
        memory_limit: Bytes for jobs that set no limit of their own.
        start_timeout: Seconds that a process may take until it is ready.
        import_paths: Folders put in front of the workers' module search path.

    Raises:
        ConfigurationError: an argument is impossible.
        WorkerError: there is no interpreter or no way to run worker processes here.
    """

    def __init__(
        self,
        target: str,
        workers: int,
        *,
        setup: dict[str, Any] | None = None,
        memory_limit: int | None = None,
        start_timeout: float = 120.0,
        import_paths: Sequence[str] = (),
    ) -> None:
        hello = _hello(target, setup or {})
        if workers < 1:
            raise ConfigurationError(f"workers is {workers}; a pool needs at least 1")
        if memory_limit is not None and memory_limit <= 0:
            raise ConfigurationError(f"memory limit is {memory_limit}; give bytes above 0, or None")
        if not start_timeout > 0:
            raise ConfigurationError(f"start timeout is {start_timeout}; give seconds above 0")
        if os.name != "posix" or not sys.executable:
            raise WorkerError("worker processes need Linux or macOS and a Python interpreter to start")
        self._memory_limit = memory_limit
        self._handed: list[str] = []
        search_path = [os.path.abspath(path) for path in (*import_paths, *sys.path)]
        self._supervisor = Supervisor(target, workers, hello, search_path, start_timeout)

    @property
    def idle(self) -> int:
        """How many workers are set up and free; 0 once the pool has failed or is closed."""
        with self._supervisor.lock:
            return len(self._supervisor.idle_workers())

    @property
    def restarts(self) -> int:
        """How many processes have been replaced so far."""
        return self._supervisor.restarts

    def submit(self, job: Job) -> None:
        """Start a job on an idle worker; its time runs from here.

        Raises:
            ConfigurationError: the payload is not JSON.
            WorkerError: no worker is idle, a job of that id is running, or the pool has failed.
        """
        limit = self._memory_limit if job.memory_limit is None else job.memory_limit
        try:
            frame = encode({"id": job.id, "payload": job.payload, "memory_limit": limit})
        except (TypeError, ValueError, RecursionError) as error:
            raise ConfigurationError(f"job {job.id!r}: its payload is not JSON data: {error}") from None
        supervisor = self._supervisor
        with supervisor.lock:
            if supervisor.failure is not None:
                raise supervisor.failure
            if job.id in supervisor.running_jobs():
                raise WorkerError(f"job {job.id!r} is running already; wait for it or choose another id")
            idle = supervisor.idle_workers()
            if not idle:
                state = "the pool is closed" if supervisor.stopping else "no worker is idle; call wait first"
                raise WorkerError(f"job {job.id!r} cannot start: {state}")
            supervisor.progress.pop(job.id, None)
            idle[0].running = Running(job, frame, limit, time.monotonic(), time.time())
        supervisor.wake()

    def wait(self, timeout: float | None = None) -> list[Outcome]:
        """Wait for something to act on and return the jobs that have ended since the last call.

        Returns as soon as a job has ended, a worker has become idle, or progress has arrived,
        so the list may be empty; at once if nothing is running or starting. If an interrupt
        ends the wait, what has ended is still there for the next call, also after `close`.

        Args:
            timeout: Seconds at most; None for as long as it takes.

        Raises:
            WorkerError: a worker cannot be started and all jobs that ran have been returned.
        """
        supervisor = self._supervisor
        self._await_news(timeout)
        taken: list[Outcome] = []
        try:
            with supervisor.lock:
                self._forget_progress()
                supervisor.news = False
                taken, supervisor.finished = supervisor.finished, []
                self._handed = [outcome.id for outcome in taken]
                over = not taken and not supervisor.running_jobs()
            if over and supervisor.failure is not None:
                raise supervisor.failure
            return taken
        except BaseException:
            supervisor.finished[:0] = taken  # an interrupt: leave them for the next call
            raise

    def _await_news(self, timeout: float | None) -> None:
        """Sleep until there is something to return, nothing to wait for, or no time left."""
        supervisor = self._supervisor
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            while not supervisor.bell.empty():
                supervisor.bell.get_nowait()
            with supervisor.lock:
                busy = supervisor.running_jobs() or supervisor.starting()
                if supervisor.finished or supervisor.news or not busy:
                    return
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return
            with contextlib.suppress(queue.Empty):
                supervisor.bell.get(timeout=left)

    def _forget_progress(self) -> None:
        """Drop the progress of jobs that the last `wait` returned."""
        running = self._supervisor.running_jobs()
        for job_id in self._handed:
            if job_id not in running:
                self._supervisor.progress.pop(job_id, None)

    def progress(self) -> dict[str, dict[str, Any]]:
        """Return the last progress of each running job and of those the last `wait` returned."""
        with self._supervisor.lock:
            return dict(self._supervisor.progress)

    def cancel(self, job_id: str) -> bool:
        """Kill a running job; it gets no outcome.

        Returns:
            Whether it was running. If it has ended already, its outcome stays.
        """
        supervisor = self._supervisor
        with supervisor.lock:
            worker = supervisor.running_jobs().get(job_id)
            if worker is None:
                return False
            worker.dismissed = True
            supervisor.progress.pop(job_id, None)
        supervisor.wake()
        return True

    def close(self, timeout: float = _FAREWELL) -> None:
        """End all workers. May be called again.

        Running jobs are killed at once and get no outcome; outcomes not yet returned stay.

        Args:
            timeout: Seconds that idle workers have to leave by themselves before they are killed.
        """
        self._supervisor.stop(max(0.0, timeout), _BEYOND)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close(_FAREWELL if error is None else 0.0)


def _hello(target: str, setup: dict[str, Any]) -> bytes:
    module, separator, function = target.partition(":")
    names = [*module.split("."), *function.split(".")]
    if not separator or not all(name.isidentifier() for name in names):
        raise ConfigurationError(f"worker target is {target!r}; write it as package.module:function")
    try:
        return encode({"target": target, "setup": setup})
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the setup of {target!r} is not JSON data: {error}") from None
