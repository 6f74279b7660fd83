"""The thread that owns a pool's processes: it starts, feeds, times, kills and replaces them.

Only this thread reads, writes and kills. Others see the state below under a plain lock, which
an interrupt in the main thread can neither tear nor leave locked, so that a time limit holds
while the coordinator computes, and a Ctrl-C never loses half a message.
"""

import contextlib
import queue
import selectors
import socket
import threading
import time
from collections.abc import Sequence
from typing import Any

from madstar.errors import WorkerError
from madstar.workers.job import Outcome, Status
from madstar.workers.limits import ENFORCED, speaks_of_memory
from madstar.workers.process import Running, WorkerProcess

_ROUND = 0.25  # seconds between looks at processes and their memory
_SOON = 0.01  # seconds between looks while a process is on its way out
_PATIENCE = 1.0  # seconds that a child may outlive its connection
_TRIES = 2  # deaths in a row before any job that a place may have
_TRIES_IF_KILLED = 5  # the same where the last was a killing from outside
_FAMILY = 64  # processes that a job may have at a time beside its worker
# Resident memory counts shared pages and libraries too; where the kernel keeps the limit itself,
# this is only a second net and hangs lower.
_SLACK = 1.5 if ENFORCED else 1.0
_NO_SUCCESSOR = "its worker was killed, and no other could be started"


class Supervisor:
    """Keeps `workers` processes alive and hands jobs to them until it is told to stop."""

    def __init__(
        self, target: str, workers: int, hello: bytes, search_path: Sequence[str], start_timeout: float
    ) -> None:
        self.bell: queue.SimpleQueue[None] = queue.SimpleQueue()
        self.lock = threading.Lock()
        self.restarts = 0
        self.finished: list[Outcome] = []
        self.progress: dict[str, dict[str, Any]] = {}
        self.news = False
        self.failure: WorkerError | None = None
        self.stopping = False
        self._target = target
        self._hello = hello
        self._search_path = search_path
        self._start_timeout = start_timeout
        self._grace = 0.0
        self._slots: list[WorkerProcess | None] = [None] * workers
        self._started = [False] * workers
        self._failures = [0] * workers
        self._again: list[Running | None] = [None] * workers
        self._dying: list[WorkerProcess] = []
        self._next_round = 0.0
        self._selector = selectors.DefaultSelector()
        self._ear, self._voice = socket.socketpair()
        for end in (self._ear, self._voice):
            end.setblocking(False)
        self._selector.register(self._ear, selectors.EVENT_READ, None)
        self._thread = threading.Thread(target=self._run, name="madstar-workers", daemon=True)
        self._thread.start()

    # What the pool calls, with the lock held.

    def idle_workers(self) -> list[WorkerProcess]:
        """Return those that can take a job; none once the pool has failed or stops."""
        if self.failure is not None or self.stopping:
            return []
        return [worker for worker in self._slots if worker is not None and worker.idle]

    def running_jobs(self) -> dict[str, WorkerProcess]:
        """Return the workers that have a job, by its id."""
        return {
            worker.running.job.id: worker
            for worker in self._slots
            if worker is not None and worker.running is not None and not worker.dismissed
        }

    def starting(self) -> bool:
        """Whether a worker is being started or replaced."""
        if self.failure is not None or self.stopping:
            return False
        return any(worker is None or worker.dismissed or not worker.ready for worker in self._slots)

    def wake(self) -> None:
        """Make the thread look at the state at once."""
        with contextlib.suppress(OSError):
            self._voice.send(b"\0")

    def stop(self, grace: float, patience: float) -> None:
        """End the thread: idle children get `grace` seconds to leave, others none.

        Waits for that and at most `patience` seconds more. Call it without the lock.
        """
        self._grace = grace
        self.stopping = True
        self.wake()
        self._thread.join(grace + patience)

    # The thread.

    def _run(self) -> None:
        """Serve until stopped, then leave no process behind."""
        try:
            while not self.stopping:
                self._turn()
        except BaseException as error:
            with self.lock:
                self.failure = WorkerError(f"the worker pool broke: {type(error).__name__}: {error}")
        finally:
            with self.lock:
                self.stopping = True
            self._end()
            with self.lock:
                self._slots = [None] * len(self._slots)
            self._ring()

    def _ring(self) -> None:
        if self.bell.empty():
            self.bell.put(None)

    def _turn(self) -> None:
        events = self._selector.select(self._pause())
        with self.lock:
            for key, _ in events:
                self._listen(key)
            now = time.monotonic()
            look = now >= self._next_round
            if look:
                self._next_round = now + _ROUND
            for worker in [worker for worker in self._slots if worker is not None]:
                self._tend(worker, now, look)
            self._dying = [worker for worker in self._dying if not _gone(worker)]
            self._fill()
            self._await_writing()

    def _pause(self) -> float:
        workers = [worker for worker in self._slots if worker is not None]
        if self._dying or any(worker.lost_at is not None for worker in workers):
            return _SOON
        deadlines = [worker.running.deadline for worker in workers if worker.running is not None]
        return max(0.0, min([self._next_round, *deadlines]) - time.monotonic())

    def _listen(self, key: selectors.SelectorKey) -> None:
        worker = key.data
        if worker is None:
            with contextlib.suppress(BlockingIOError):
                while self._ear.recv(4096):
                    pass
        elif key.fileobj is worker.output:
            if not worker.read_output():
                self._selector.unregister(worker.output)
        elif worker.lost_at is None:
            self._read(worker)

    def _read(self, worker: WorkerProcess) -> None:
        for message in worker.receive():
            try:
                self._understand(worker, message)
            except (KeyError, TypeError, ValueError) as error:
                worker.break_off(f"a message makes no sense: {error!r}")

    def _understand(self, worker: WorkerProcess, message: dict[str, Any]) -> None:
        kind = message["kind"]
        if kind == "ready":
            worker.mark_ready()
            self._tell()
            return
        if kind == "failed":
            self._give_up(worker, str(message["error"]))
            return
        running = worker.running
        if running is None or running.job.id != message["id"] or worker.dismissed:
            return  # a thread that an earlier job left behind still reports
        if kind == "progress":
            self.progress[running.job.id] = dict(message["progress"])
            self._tell()
        elif kind == "done":
            self._failures[worker.index] = 0
            self._finish(worker, message["status"], message["value"], message["error"])
            if message["status"] == "memory":
                self._discard(worker)
        else:
            raise ValueError(f"unknown kind {kind!r}")

    def _tell(self) -> None:
        self.news = True
        self._ring()

    def _finish(
        self, worker: WorkerProcess, status: Status, value: dict[str, Any] | None, error: str | None
    ) -> None:
        running = worker.running
        assert running is not None
        worker.running = None
        self._conclude(running, worker.index, status, value, error)

    def _conclude(
        self, running: Running, index: int, status: Status, value: dict[str, Any] | None, error: str | None
    ) -> None:
        seconds = time.monotonic() - running.began
        self.finished.append(
            Outcome(
                id=running.job.id,
                status=status,
                value=value,
                error=error,
                worker=index,
                seconds=seconds,
                started_at=running.started_at,
                finished_at=running.started_at + seconds,
            )
        )
        self._ring()

    def _tend(self, worker: WorkerProcess, now: float, look: bool) -> None:
        """Do what is due for one worker."""
        if self._slots[worker.index] is not worker:
            return
        if worker.dismissed:
            self._discard(worker)
            return
        worker.send()
        if worker.lost_at is not None or (look and worker.exited()):
            self._mourn(worker, now)
            return
        running = worker.running
        if not worker.ready:
            if now - worker.born > self._start_timeout:
                self._give_up(worker, f"not ready within {self._start_timeout:g} s")
        elif running is not None and now >= running.deadline:
            self._stop(worker, "timeout", f"no result within {running.job.time_limit:g} s")
        elif running is not None and look:
            self._weigh(worker, running)

    def _stop(self, worker: WorkerProcess, status: Status, error: str) -> None:
        """End a job that has gone beyond a limit, with its worker and all that it has started."""
        self._finish(worker, status, None, error)
        self._failures[worker.index] = 0
        self._discard(worker)

    def _weigh(self, worker: WorkerProcess, running: Running) -> None:
        """Stop a job that has too much memory or too many processes."""
        family = worker.family()
        if len(family) > _FAMILY:
            self._stop(worker, "error", f"started {len(family)} processes, at most {_FAMILY} may run")
            return
        if running.memory_limit is None:
            return
        most = running.memory_limit * _SLACK
        growth = worker.growth(family)
        if growth > most and family:
            growth = worker.growth(family, exact=True)
        if growth > most:
            limit = running.memory_limit / 2**20
            self._stop(worker, "memory", f"took {growth / 2**20:.0f} MiB, its limit is {limit:.0f} MiB")

    def _mourn(self, worker: WorkerProcess, now: float) -> None:
        """Handle a child that is dead, or that has lost its connection and is about to be."""
        lost_at = worker.lose()
        if not worker.exited() and worker.complaint is None:
            if now - lost_at < _PATIENCE:
                return
            worker.complaint = "closed its connection to the coordinator"
        elif worker.complaint is None:
            self._read(worker)  # a result may have arrived just before the end
            if self._slots[worker.index] is not worker:
                return
        worker.kill()
        # The first thread of a process can be gone before the others; its status comes with the last.
        if not worker.reap() and now - lost_at < 2 * _PATIENCE:
            return
        reason = worker.epitaph()
        running = worker.running
        if running is not None and worker.ready:
            self._failures[worker.index] = 0
            if worker.killed_from_outside():
                if not running.tried and self.failure is None:
                    self._try_again(worker, running)
                    return
                reason = f"twice {reason}"
            memory = running.memory_limit is not None and speaks_of_memory(reason)
            self._finish(worker, "memory" if memory else "crash", None, reason)
        else:
            self._failures[worker.index] += 1
            tries = _TRIES_IF_KILLED if worker.killed_from_outside() else _TRIES
            if self._failures[worker.index] >= tries:
                self._give_up(worker, reason)
                return
            if running is not None:
                self._try_again(worker, running)
                return
        self._discard(worker)

    def _try_again(self, worker: WorkerProcess, running: Running) -> None:
        """Have the worker's successor do its job.

        Who kills from outside, the kernel or a person, had most likely other reasons than the job.
        But a job may also be what made the machine run out of memory, so there is no third try.
        """
        self.progress.pop(running.job.id, None)
        worker.running = None
        self._again[worker.index] = running.again()
        self._discard(worker)

    def _give_up(self, worker: WorkerProcess, reason: str) -> None:
        """Fail the pool: jobs that run may end, no new ones are taken."""
        self._discard(worker)
        self._fail(f"worker {worker.index} cannot start {self._target!r}: {reason}")

    def _fail(self, message: str) -> None:
        if self.failure is None:
            self.failure = WorkerError(message)
        for other in [other for other in self._slots if other is not None and not other.ready]:
            self._discard(other)
        for index, running in enumerate(self._again):
            if running is not None:
                self._again[index] = None
                self._conclude(running, index, "crash", None, _NO_SUCCESSOR)
        self._ring()

    def _discard(self, worker: WorkerProcess) -> None:
        """Kill the child and free its place."""
        if worker.running is not None and not worker.dismissed:
            self._finish(worker, "crash", None, _NO_SUCCESSOR)
        self._slots[worker.index] = None
        for file in (worker.socket, worker.output):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(file)
        worker.kill()
        self._dying.append(worker)

    def _fill(self) -> None:
        """Start a child in every free place."""
        for index, worker in enumerate(self._slots):
            if worker is not None or self.failure is not None or self.stopping:
                continue
            try:
                fresh = WorkerProcess(index, self._hello, self._search_path)
            except WorkerError as error:
                self._fail(str(error))
                return
            self.restarts += self._started[index]
            self._started[index] = True
            self._slots[index] = fresh
            self._selector.register(fresh.socket, selectors.EVENT_READ, fresh)
            self._selector.register(fresh.output, selectors.EVENT_READ, fresh)
            fresh.running, self._again[index] = self._again[index], None
            fresh.send()

    def _await_writing(self) -> None:
        """Listen for room in the sockets that have something left to write."""
        for worker in self._slots:
            if worker is None:
                continue
            if worker.lost_at is not None:  # an ended stream would wake the selector again and again
                with contextlib.suppress(KeyError):
                    self._selector.unregister(worker.socket)
                continue
            write = selectors.EVENT_WRITE if worker.wants_to_write else 0
            self._selector.modify(worker.socket, selectors.EVENT_READ | write, worker)

    def _end(self) -> None:
        workers = [worker for worker in self._slots if worker is not None]
        leaving = [worker for worker in workers if worker.idle and self._grace > 0]
        for worker in leaving:
            worker.hang_up()
        for worker in workers:
            if worker not in leaving:
                worker.kill()
        deadline = time.monotonic() + self._grace
        while time.monotonic() < deadline and not all(worker.exited() for worker in leaving):
            time.sleep(_SOON)
        for worker in leaving:
            worker.kill()
        workers += self._dying
        deadline = time.monotonic() + _PATIENCE
        while workers and time.monotonic() < deadline:
            workers = [worker for worker in workers if not _gone(worker)]
            time.sleep(_SOON if workers else 0)
        for worker in workers:
            worker.release()
        for resource in (self._selector, self._ear, self._voice):
            resource.close()


def _gone(worker: WorkerProcess) -> bool:
    """Tell whether a killed child is reaped; if so, let go of what belonged to it."""
    if not worker.reap():
        return False
    worker.release()
    return True
