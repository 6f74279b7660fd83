"""What a job may do, and the outcome it gets."""

import math
import os
import signal
import time

import psutil
import pytest

from madstar.errors import ConfigurationError, WorkerError
from madstar.workers import Job

MIB = 1 << 20


def test_ok_carries_the_value_the_setup_and_the_times(shared):
    before = time.time()
    outcome = shared.run("echo", text="é\ud800")
    assert (outcome.status, outcome.error, outcome.worker) == ("ok", None, 0)
    assert outcome.value["payload"] == {"do": "echo", "text": "é\ud800"}
    assert outcome.value["setup"] == {"corpus": "a"}
    assert outcome.value["pid"] != os.getpid()
    assert before <= outcome.started_at <= outcome.finished_at <= time.time()
    assert 0 < outcome.seconds < 30


@pytest.mark.parametrize("kind", ["ValueError", "SystemExit", "KeyboardInterrupt", "GeneratorExit"])
def test_whatever_is_raised_is_one_line_and_the_worker_lives_on(shared, kind):
    pid = shared.run("echo").value["pid"]
    outcome = shared.run("raises", kind=kind, message="too wide" + "!" * 500 + "\nsecond line")
    assert (outcome.status, outcome.value) == ("error", None)
    assert outcome.error.startswith(f"{kind}: too wide!!!")
    assert len(outcome.error) == 300
    assert shared.run("echo").value["pid"] == pid


def test_an_exception_without_a_readable_message_is_named(shared):
    assert shared.run("raises_unspeakable").error == "UnspeakableError: (its message cannot be read)"
    assert shared.run("raises", kind="ValueError", message="").error == "ValueError"


@pytest.mark.parametrize(
    ("do", "options", "error"),
    [
        ("returns", {"what": "list"}, "TypeError: the handler returned list, not a dict"),
        ("returns", {"what": "set"}, "TypeError: Object of type set is not JSON serializable"),
        ("endless", {}, "ValueError: Circular reference detected"),
        ("report_set", {}, "TypeError: Object of type set is not JSON serializable"),
    ],
)
def test_what_json_cannot_hold_is_an_error(shared, do, options, error):
    outcome = shared.run(do, **options)
    assert (outcome.status, outcome.error) == ("error", error)


def test_numbers_that_are_not_finite_pass(shared):
    value = shared.run("returns", what="nan").value
    assert math.isnan(value["x"])
    assert value["y"] == math.inf


def test_five_megabytes_go_there_and_back(shared):
    text = "0123456789" * (MIB // 2)
    value = shared.run("big", text=text).value
    assert value["length"] == len(text)
    assert value["text"] == text[::-1]


def test_the_last_progress_is_kept_until_after_the_outcome(shared):
    job_id = shared.start("count", steps=5000)
    outcome = shared.end()
    assert outcome.status == "ok"
    assert shared.pool.progress() == {job_id: {"step": 4999}}
    shared.pool.wait(0)
    assert shared.pool.progress() == {}


def test_progress_arrives_while_the_job_runs(bench):
    job_id = bench.start("hang")
    while not bench.pool.progress():
        assert bench.pool.wait(30) == []
    assert psutil.pid_exists(bench.pool.progress()[job_id]["pid"])


def test_printing_disturbs_neither_the_protocol_nor_the_coordinator(bench, capfd):
    assert bench.run("babble").value == {"fine": True}
    assert bench.run("echo").status == "ok"
    assert bench.pool.restarts == 0
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_threads_of_an_earlier_job_cannot_speak_for_a_later_one(bench):
    assert bench.run("late").status == "ok"
    bench.start("hang")
    while not bench.pool.progress():
        bench.pool.wait(30)
    time.sleep(0.05)
    bench.pool.wait(0)
    assert [set(item) for item in bench.pool.progress().values()] == [{"pid"}]


def test_an_interrupt_does_not_reach_the_job(shared):
    assert shared.run("interrupted").value == {"fine": True}


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("abort", "killed by signal 6 (SIGABRT): Fatal Python error: Aborted"),
        ("segfault", "killed by signal 11 (SIGSEGV): Fatal Python error: Segmentation fault"),
        ("exit", "exited with status 3: last words"),
    ],
)
def test_a_crash_is_told_and_survived(bench, how, error):
    outcome = bench.run("die", how=how)
    assert (outcome.status, outcome.error, outcome.value) == ("crash", error, None)
    assert bench.run("echo").status == "ok"
    assert bench.pool.restarts == 1


def test_a_fork_left_behind_does_not_hide_a_crash(bench, all_gone):
    job_id = bench.start("forks_and_dies")
    outcome = bench.end()
    assert (outcome.status, outcome.error) == ("crash", "twice killed by signal 9 (SIGKILL)")
    assert all_gone([bench.pool.progress()[job_id]["fork"]])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_a_job_whose_worker_is_killed_from_outside_is_tried_once_more(bench, tmp_path, number):
    path = tmp_path / "tries"
    job_id = bench.start("once", path=str(path), waits=1, time_limit=60, memory_limit=1 << 30)
    os.kill(reported(bench, job_id, 1)["pid"], number)
    outcome = bench.end()
    assert (outcome.id, outcome.status, outcome.value) == (job_id, "ok", {"tries": 2})
    assert bench.pool.restarts == 1
    assert path.read_text() == "xx"


def test_a_job_whose_worker_is_killed_again_has_crashed(bench, tmp_path):
    job_id = bench.start("once", path=str(tmp_path / "tries"), waits=9, time_limit=60)
    for number in (1, 2):
        os.kill(reported(bench, job_id, number)["pid"], signal.SIGKILL)
    outcome = bench.end()
    assert (outcome.status, outcome.error) == ("crash", "twice killed by signal 9 (SIGKILL)")
    assert bench.pool.restarts == 2
    assert bench.run("echo").status == "ok"


def test_the_second_try_has_the_whole_time_limit_and_no_more(bench, tmp_path):
    job_id = bench.start("once", path=str(tmp_path / "tries"), waits=9, time_limit=2.0)
    time.sleep(1.0)
    os.kill(reported(bench, job_id, 1)["pid"], signal.SIGKILL)
    outcome = bench.end()
    assert (outcome.status, outcome.error) == ("timeout", "no result within 2 s")
    assert 2.0 <= outcome.seconds < 60
    assert outcome.finished_at == outcome.started_at + outcome.seconds


def test_a_job_between_its_tries_is_running_and_can_be_cancelled(bench, tmp_path):
    path = tmp_path / "tries"
    job_id = bench.start("once", path=str(path), waits=9, time_limit=60)
    os.kill(reported(bench, job_id, 1)["pid"], signal.SIGKILL)
    while bench.pool.restarts == 0:
        time.sleep(0.001)
    assert bench.pool.idle == 0
    with pytest.raises(WorkerError, match="is running already"):
        bench.pool.submit(Job(job_id, {"do": "echo"}))
    assert bench.pool.cancel(job_id)
    assert bench.run("echo").status == "ok"
    assert path.read_text() in ("x", "xx")


def reported(bench, job_id, number):
    """What the job has reported in that try."""
    deadline = time.monotonic() + 60
    while (told := bench.pool.progress().get(job_id, {})).get("try") != number:
        assert time.monotonic() < deadline
        assert bench.pool.wait(0.1) == []
    return told


def test_a_clock_that_is_set_back_does_not_turn_times_around(bench, monkeypatch):
    job_id = bench.start("once", path=os.devnull, waits=0)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() - 7200)
    outcome = bench.end()
    assert outcome.id == job_id
    assert outcome.started_at <= outcome.finished_at < outcome.started_at + 60
    assert 0 < outcome.seconds < 60


@pytest.mark.parametrize(
    ("close", "error"), [(True, "twice killed by"), (False, "broke the worker protocol")]
)
def test_a_job_that_attacks_the_protocol_is_a_crash(bench, close, error):
    outcome = bench.run("vandalise", close=close)
    assert outcome.status == "crash"
    assert outcome.error.startswith(error)
    assert bench.run("echo").status == "ok"


def test_a_hanging_job_is_killed_with_all_it_started(bench, all_gone):
    job_id = bench.start("family", locked=True, time_limit=1.0)
    outcome = bench.end()
    assert (outcome.status, outcome.error) == ("timeout", "no result within 1 s")
    assert outcome.seconds >= 1.0
    assert all_gone(bench.pool.progress()[job_id].values())
    assert bench.run("echo").status == "ok"


def test_a_time_limit_holds_while_the_coordinator_is_elsewhere(bench):
    bench.start("hang", time_limit=0.3)
    while bench.pool.restarts == 0:
        time.sleep(0.01)
    assert bench.end().status == "timeout"


@pytest.mark.parametrize("do", ["grow", "grow_numpy"])
def test_memory_without_end_is_stopped(bench, do):
    outcome = bench.run(do, memory_limit=150 * MIB, time_limit=60)
    assert outcome.status == "memory"
    assert bench.run("hold", bytes=300 * MIB).value == {"bytes": 300 * MIB}
    assert bench.pool.restarts == 1


def test_memory_that_torch_takes_is_stopped_and_torch_has_one_thread(bench, open_pool):
    torch_bench = type(bench)(open_pool(factory="with_torch"))
    assert torch_bench.run("threads").value == {"threads": 1}
    outcome = torch_bench.run("grow_torch", memory_limit=200 * MIB, time_limit=60)
    assert outcome.status == "memory"


def test_memory_taken_in_native_code_that_lets_no_one_else_run_is_stopped(bench):
    outcome = bench.run("grow_locked", memory_limit=200 * MIB, time_limit=60)
    assert outcome.status == "memory"


def test_memory_beyond_the_machine_s_is_refused_before_it_is_touched(bench):
    outcome = bench.run("grow_at_once", bytes=1 << 42, memory_limit=1 << 30, time_limit=60)
    assert (outcome.status, outcome.error) == ("memory", "MemoryError")
    assert bench.pool.restarts <= 1


def test_memory_of_a_job_s_children_counts_as_its_own(bench, all_gone):
    job_id = bench.start("grow_in_children", children=4, each=60 * MIB, memory_limit=100 * MIB, time_limit=60)
    outcome = bench.end()
    assert outcome.status == "memory"
    assert "its limit is 100 MiB" in outcome.error
    assert all_gone(bench.pool.progress()[job_id].values())


def test_pages_that_children_share_with_the_job_count_once(bench):
    outcome = bench.run("forks_lightly", bytes=60 * MIB, memory_limit=100 * MIB, time_limit=60)
    assert outcome.value == {"held": 60 * MIB}


def test_a_job_that_multiplies_is_stopped_with_all_of_them(bench, all_gone):
    job_id = bench.start("multiply", time_limit=60)
    outcome = bench.end()
    assert outcome.status == "error"
    assert outcome.error.endswith("processes, at most 64 may run")
    pids = bench.pool.progress()[job_id]["pids"]
    assert len(pids) > 64
    assert all_gone(pids)
    assert bench.run("echo").status == "ok"


def test_printing_without_end_is_a_matter_of_time(bench, capfd):
    outcome = bench.run("chatter", time_limit=1.0)
    assert (outcome.status, outcome.error) == ("timeout", "no result within 1 s")
    assert bench.run("echo").status == "ok"
    assert capfd.readouterr() == ("", "")


def test_shared_memory_is_stopped_by_its_size(bench):
    outcome = bench.run("grow_shared", memory_limit=100 * MIB, time_limit=60)
    assert outcome.status == "memory"
    assert "its limit is 100 MiB" in outcome.error


def test_a_memory_error_is_known_by_where_it_came_from(bench):
    assert bench.run("grow_wrapped", memory_limit=100 * MIB, hide=False).status == "memory"
    assert bench.run("grow_wrapped", memory_limit=100 * MIB, hide=True).status == "error"


def test_a_death_for_want_of_memory_counts_as_memory_where_there_is_a_limit(bench):
    reason = "killed by signal 6 (SIGABRT): what():  std::bad_alloc"
    limited = bench.run("die", how="terminate", memory_limit=1 << 30)
    assert (limited.status, limited.error) == ("memory", reason)
    free = bench.run("die", how="terminate")
    assert (free.status, free.error) == ("crash", reason)


def test_the_pool_s_memory_limit_holds_unless_the_job_has_its_own(open_pool, bench):
    small = type(bench)(open_pool(memory_limit=50 * MIB))
    assert small.run("hold", bytes=100 * MIB, memory_limit=200 * MIB).status == "ok"
    assert small.run("hold", bytes=100 * MIB).status == "memory"


def test_the_limit_is_lifted_after_the_job(shared):
    assert shared.run("limits").value == {"soft": "unlimited"}
    assert shared.run("limits", memory_limit=100 * MIB).value["soft"].isdigit()
    assert shared.run("limits").value == {"soft": "unlimited"}


def test_libraries_get_one_thread(shared):
    assert shared.run("environment").value == {"omp": "1", "mkl": "1"}


def test_a_set_of_words_has_one_order_in_every_process(shared, bench):
    words = [f"word {n}" for n in range(20)]
    orders = [each.run("order_of_words", words=words).value["words"] for each in (shared, bench)]
    assert orders[0] == orders[1] != sorted(words)


@pytest.mark.parametrize(
    "options",
    [{"id": ""}, {"time_limit": 0}, {"time_limit": math.nan}, {"time_limit": -1.0}, {"memory_limit": 0}],
)
def test_impossible_jobs_are_refused(options):
    with pytest.raises(ConfigurationError):
        Job(**{"id": "a", "payload": {}, **options})


def test_a_payload_that_is_not_json_is_refused_and_takes_no_worker(shared):
    with pytest.raises(ConfigurationError, match="job 'a': its payload is not JSON"):
        shared.pool.submit(Job("a", {"do": object()}))
    assert shared.pool.idle == 1
    assert shared.run("echo").status == "ok"


def test_a_job_for_which_no_worker_is_idle_is_refused(bench):
    bench.start("hang")
    with pytest.raises(WorkerError, match="job 'b' cannot start: no worker is idle"):
        bench.pool.submit(Job("b", {}))
