import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from madstar.workers import Job, Outcome, WorkerPool

HERE = str(Path(__file__).parent)


def first_ended(pool: WorkerPool) -> list[Outcome]:
    """Wait for outcomes; fail instead of hanging if none comes."""
    deadline = time.monotonic() + 60
    while not (ended := pool.wait(1)):
        assert time.monotonic() < deadline, "no outcome came"
    return ended


def all_gone(pids, seconds: float = 10) -> bool:
    """Tell whether the processes have ended, at the latest after some seconds."""
    deadline = time.monotonic() + seconds
    while left := [pid for pid in pids if not gone(pid)]:
        if time.monotonic() > deadline:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            return False
        time.sleep(0.01)
    return True


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


class Bench:
    """A pool with the short cuts that the tests need."""

    def __init__(self, pool: WorkerPool) -> None:
        self.pool = pool
        self._number = 0

    def start(
        self, do: str, time_limit: float | None = None, memory_limit: int | None = None, **payload
    ) -> str:
        while not self.pool.idle:
            assert self.pool.wait(30) == []
        self._number += 1
        job = Job(f"{do}-{self._number}", {"do": do, **payload}, time_limit, memory_limit)
        self.pool.submit(job)
        return job.id

    def end(self) -> Outcome:
        (outcome,) = first_ended(self.pool)
        return outcome

    def run(self, do: str, **options) -> Outcome:
        job_id = self.start(do, **options)
        outcome = self.end()
        assert outcome.id == job_id
        return outcome


@pytest.fixture(name="first_ended")
def _first_ended():
    return first_ended


@pytest.fixture(name="all_gone")
def _all_gone():
    return all_gone


@pytest.fixture
def open_pool():
    pools = []

    def make(workers: int = 1, factory: str = "make_handler", **options) -> WorkerPool:
        pools.append(WorkerPool(f"handlers:{factory}", workers, import_paths=[HERE], **options))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close(0)


@pytest.fixture(scope="module")
def shared():
    """One worker for the tests that leave it as it was."""
    with WorkerPool("handlers:make_handler", 1, setup={"corpus": "a"}, import_paths=[HERE]) as pool:
        yield Bench(pool)


@pytest.fixture(autouse=True)
def hangups_end_processes():
    """Under nohup SIGHUP is ignored, and workers would inherit that."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.fixture
def bench(open_pool):
    return Bench(open_pool())
