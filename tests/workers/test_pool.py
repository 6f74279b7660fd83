"""The pool's life: starting, failing, cancelling, closing, and the end of its coordinator."""

import inspect
import itertools
import json
import linecache
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from madstar.errors import ConfigurationError, WorkerError
from madstar.workers import Job, WorkerPool

HERE = str(Path(__file__).parent)


def all_idle(pool, workers):
    while pool.idle < workers:
        assert pool.wait(30) == []


def test_jobs_run_at_the_same_time(open_pool, first_ended, tmp_path):
    pool = open_pool(2)
    all_idle(pool, 2)
    a, b = str(tmp_path / "a"), str(tmp_path / "b")
    pool.submit(Job("a", {"do": "meet", "mine": a, "theirs": b}, time_limit=30))
    pool.submit(Job("b", {"do": "meet", "mine": b, "theirs": a}, time_limit=30))
    ended = first_ended(pool)
    if len(ended) < 2:
        ended += first_ended(pool)
    assert {(outcome.id, outcome.status) for outcome in ended} == {("a", "ok"), ("b", "ok")}
    assert {outcome.worker for outcome in ended} == {0, 1}


def test_many_jobs_good_and_bad_all_get_one_outcome(open_pool):
    payloads = {
        "ok": {"do": "echo"},
        "error": {"do": "raises", "kind": "ValueError", "message": "x"},
        "crash": {"do": "die", "how": "kill"},
        "timeout": {"do": "hang"},
    }
    plan = [status for _ in range(3) for status in payloads] + ["ok"] * 30
    waiting = [
        Job(f"{status}-{index}", payloads[status], 0.1 if status == "timeout" else 30)
        for index, status in enumerate(plan)
    ]
    expected = [job.id for job in waiting]
    pool = open_pool(2)
    ended = []
    deadline = time.monotonic() + 60
    while len(ended) < len(plan) and time.monotonic() < deadline:
        while waiting and pool.idle:
            pool.submit(waiting.pop(0))
        ended += pool.wait(1)
    assert sorted(outcome.id for outcome in ended) == sorted(expected)
    assert [outcome.id for outcome in ended if not outcome.id.startswith(outcome.status)] == []
    all_idle(pool, 2)
    assert pool.restarts == 9  # whoever kills itself is given a second try


def test_an_id_can_be_used_again_but_not_at_once(open_pool, first_ended):
    pool = open_pool(2)
    all_idle(pool, 2)
    pool.submit(Job("a", {"do": "hang"}))
    with pytest.raises(WorkerError, match="job 'a' is running already"):
        pool.submit(Job("a", {"do": "echo"}))
    assert pool.cancel("a")
    pool.submit(Job("a", {"do": "echo"}))
    ended = first_ended(pool)
    assert [(outcome.id, outcome.status) for outcome in ended] == [("a", "ok")]


def test_a_cancelled_job_ends_without_outcome(open_pool, all_gone):
    pool = open_pool()
    all_idle(pool, 1)
    pool.submit(Job("a", {"do": "family"}))
    while not pool.progress():
        pool.wait(30)
    pids = list(pool.progress()["a"].values())
    assert pool.cancel("a")
    assert pool.progress() == {}
    assert not pool.cancel("a")
    assert not pool.cancel("never")
    all_idle(pool, 1)
    assert all_gone(pids)
    assert pool.restarts == 1


def test_waiting_for_nothing_returns_at_once(open_pool):
    pool = open_pool()
    all_idle(pool, 1)
    pool.wait(0)
    assert pool.wait(None) == []


def test_a_worker_killed_while_idle_is_replaced(open_pool, first_ended):
    pool = open_pool()
    for _ in range(2):
        all_idle(pool, 1)
        pool.submit(Job("a", {"do": "echo"}))
        ended = first_ended(pool)
        os.kill(ended[0].value["pid"], signal.SIGKILL)
        while pool.idle:
            pool.wait(0.01)
    all_idle(pool, 1)
    assert pool.restarts == 2


@pytest.mark.parametrize(
    ("factory", "reason", "restarts"),
    [
        ("broken_factory", "ValueError: no such corpus and a second line$", 0),
        ("missing", "AttributeError: module 'handlers' has no attribute 'missing'$", 0),
        ("dying_factory", "exited with status 7: the factory's last words$", 1),
    ],
)
def test_a_factory_that_fails_fails_the_pool(open_pool, factory, reason, restarts):
    pool = open_pool(1, factory)
    with pytest.raises(WorkerError, match=f"worker 0 cannot start 'handlers:{factory}': {reason}"):
        pool.wait(30)
    assert pool.idle == 0
    assert pool.restarts == restarts
    with pytest.raises(WorkerError, match=reason):
        pool.submit(Job("a", {}))


def test_a_factory_that_never_ends_fails_the_pool(open_pool):
    with pytest.raises(WorkerError, match=r"not ready within 0\.3 s"):
        open_pool(1, "sleeping_factory", start_timeout=0.3).wait(30)


def test_a_module_that_is_missing_fails_the_pool():
    with (
        pytest.raises(WorkerError, match="ModuleNotFoundError: No module named 'not_there'"),
        WorkerPool("not_there:f", 1) as pool,
    ):
        pool.wait(30)


def test_one_death_at_the_start_is_forgiven(open_pool, tmp_path):
    pool = open_pool(1, "dies_once_factory", setup={"flag": str(tmp_path / "flag")})
    all_idle(pool, 1)
    assert pool.restarts == 1


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("handlers.make", 1), {}),
        (("handlers:", 1), {}),
        ((":f", 1), {}),
        (("a b:f", 1), {}),
        (("handlers:make_handler", 0), {}),
        (("handlers:make_handler", 1), {"memory_limit": 0}),
        (("handlers:make_handler", 1), {"start_timeout": 0}),
        (("handlers:make_handler", 1), {"setup": {"a": object()}}),
    ],
)
def test_impossible_pools_are_refused(arguments, options):
    with pytest.raises(ConfigurationError):
        WorkerPool(*arguments, **options)


def test_closing_ends_everything_and_keeps_what_has_ended(open_pool, all_gone):
    pool = open_pool(2)
    all_idle(pool, 2)
    pool.submit(Job("done", {"do": "echo"}))
    pool.submit(Job("family", {"do": "family"}))
    while not (pool.progress() and pool.idle):
        time.sleep(0.01)
    pids = list(pool.progress()["family"].values())
    pool.close()
    pool.close()
    assert all_gone(pids)
    ended = pool.wait(None)
    assert [outcome.id for outcome in ended] == ["done"]
    assert all_gone([ended[0].value["pid"]])
    assert pool.wait(None) == []
    assert pool.idle == 0
    with pytest.raises(WorkerError, match="the pool is closed"):
        pool.submit(Job("a", {}))


def test_idle_workers_tidy_up_before_they_leave(open_pool, tmp_path):
    pool = open_pool(1, "tidy_factory", setup={"flag": str(tmp_path / "flag")})
    all_idle(pool, 1)
    pool.close(timeout=30)
    assert (tmp_path / "flag").exists()


class Interrupt:
    """Raises KeyboardInterrupt at some moment after it has been armed."""

    def __init__(self):
        self.armed = False
        self.times = 0

    def __call__(self, number, frame):
        if self.armed:
            self.armed = False
            self.times += 1
            raise KeyboardInterrupt


def test_an_interrupt_in_wait_loses_nothing(open_pool):
    pool, interrupt = open_pool(2), Interrupt()
    all_idle(pool, 2)
    waiting, ended = [str(number) for number in range(300)], []
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        deadline = time.monotonic() + 60
        while len(ended) < 300 and time.monotonic() < deadline:
            while waiting and pool.idle:
                pool.submit(Job(waiting.pop(), {"do": "echo"}))
            try:
                interrupt.armed = True
                ended += pool.wait(10)
                interrupt.armed = False
            except KeyboardInterrupt:
                continue
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupt.times > 0
    assert sorted(int(outcome.id) for outcome in ended) == list(range(300))


@contextmanager
def interrupt_at(number):
    """Raise KeyboardInterrupt just before the given line, counted from 1, that the pool's code runs.

    Lines that take the lock are not counted: they run again on the way out, where a trace, unlike
    a signal, can strike between the end of the block and the release.
    """
    lines = itertools.count(1)

    def trace(frame, event, argument):
        if frame.f_code.co_filename != inspect.getfile(WorkerPool):
            return None
        text = linecache.getline(frame.f_code.co_filename, frame.f_lineno)
        if event == "line" and "lock:" not in text and next(lines) == number:
            raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield
    finally:
        sys.settrace(before)


def test_an_interrupt_at_any_line_of_wait_loses_nothing(open_pool):
    pool = open_pool()
    all_idle(pool, 1)
    for number in itertools.count(1):
        pool.submit(Job(str(number), {"do": "echo"}))
        while not pool.idle:
            time.sleep(0.001)
        ended, struck = [], False
        try:
            with interrupt_at(number):
                ended = pool.wait(10)
        except KeyboardInterrupt:
            struck = True
            ended = pool.wait(10)
        assert [outcome.id for outcome in ended] == [str(number)]
        if not struck:
            break
    assert number > 10


def coordinator(mode):
    process = subprocess.Popen(
        [sys.executable, str(Path(HERE, "handlers.py")), HERE, mode],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    line = process.stderr.readline()
    pids = json.loads(line)
    assert len(pids) == 4
    workers = [child.pid for child in psutil.Process(process.pid).children()]
    assert len(workers) == 3
    return process, set(pids) | set(workers), set(pids) - set(workers)


@pytest.mark.parametrize("mode", ["locked", "free"])
def test_workers_die_with_a_killed_coordinator(mode, all_gone):
    process, pids, started = coordinator(mode)
    outside = {pid for pid in started if os.getpgid(pid) == pid}
    try:
        process.kill()
        process.communicate(timeout=10)
        assert all_gone(pids - outside, 3)
    finally:
        for pid in outside:  # a session of its own, out of a dead coordinator's reach
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("mode", ["waiting", "computing"])
def test_an_interrupt_at_the_terminal_ends_all_quietly(mode, all_gone):
    process, pids, _ = coordinator(mode)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (130, "", "")
    assert all_gone(pids, 3)
