"""Candidates, models and answers that try to get out of each limit: failed rows, and the loop goes on."""

from __future__ import annotations

import time

import psutil
import pytest

from madstar.archive import Archive
from madstar.design.log import LOG, read_log

from .conftest import Light, some_limits

# What is tried, the status of its row, and a word of why.
TRIED = [
    ("opens_a_socket", "error", "no network"),
    ("opens_a_socket_in_c", "error", "refused to connect"),
    ("writes_outside", "error", "may not be written"),
    ("writes_outside_in_c", "error", "refused to open"),
    ("writes_one_large_file", "error", "File too large"),
    ("forks", "error", "os.fork is not allowed"),
    ("starts_a_program", "error", "subprocess.Popen is not allowed"),
    ("takes_memory", "memory", ""),
    ("raises_its_limits", "error", "not allowed to raise maximum limit"),
    ("kills_the_loop", "error", "refused to signal"),
    ("dies", "crash", "exited with status 3"),
    ("answers_nonsense", "error", "its answer is none"),
    ("answers_nan", "error", "no finite number"),
]


def broken(light: Light, deeds: list[str], limits=None, **changes):
    """A run of one round in which the first candidates misbehave; its candidates by what they did."""
    keys = [each["key"] for each in light.pool["genomes"]]
    light.hostile(**dict(zip(keys, deeds, strict=False)))
    found = light.begin(
        limits or some_limits(), rounds=1, candidates=len(deeds) + 1, graphs=0, free=1.0, **changes
    )
    with Archive.open(light.home / "archive.sqlite", create=False) as archive:
        run = archive.run("latest")
        names = {row.index: row.architecture for row in archive.candidates(run.id)}
        rows = {names[row.candidate]: row for row in archive.evaluations(run.id) if row.stage == "search"}
    return found, {deed: rows[key] for key, deed in zip(keys, deeds, strict=False)}, run


def test_what_is_tried_ends_as_a_failed_row_and_the_loop_goes_on(light: Light) -> None:
    found, rows, _ = broken(light, [deed for deed, _, _ in TRIED])
    assert found.reason == "rounds"
    ended = {deed: (row.status, row.error) for deed, row in rows.items()}
    for deed, status, word in TRIED:
        assert ended[deed][0] == status, (deed, ended[deed])
        assert word in (ended[deed][1] or ""), (deed, ended[deed])
    # The one that behaved was trained, and is the best.
    assert found.rounds[0]["trained"] == 1
    assert found.rounds[0]["failed"] == len(TRIED)
    events = [line["event"] for line in read_log(found.directory / LOG)]
    assert events.count("trained") == len(TRIED) + 2  # with the test of the best
    assert set(found.held["workers"]) >= {"files", "network", "memory"}


@pytest.mark.parametrize("deed", ["sleeps_for_ever", "spins_for_ever"])
def test_a_training_that_does_not_end_is_ended(light: Light, deed: str) -> None:
    _, rows, _ = broken(light, [deed], some_limits(candidate_seconds=1.0))
    assert rows[deed].status == "timeout"


def test_processes_that_python_does_not_see_are_counted(light: Light) -> None:
    _, rows, _ = broken(light, ["forks_in_c"], some_limits(processes=40))
    row = rows["forks_in_c"]
    assert row.status == "error"
    assert "processes" in (row.error or "")
    deadline = time.monotonic() + 10
    while left := [
        p for p in psutil.process_iter(["cmdline"]) if "design_handlers" in str(p.info["cmdline"])
    ]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def test_memory_that_the_kernel_does_not_count_is_looked_at(light: Light) -> None:
    _, rows, _ = broken(light, ["maps_memory"])
    assert rows["maps_memory"].status == "memory"


def test_a_disk_that_fills_ends_the_job_that_fills_it(light: Light) -> None:
    found, rows, _ = broken(light, ["writes_too_much"], some_limits(disk=8 * 2**20))
    assert rows["writes_too_much"].status == "error"
    assert "MiB on disk" in (rows["writes_too_much"].error or "")
    assert found.reason == "rounds"
    assert found.rounds[0]["trained"] == 1
    used = sum(path.stat().st_size for path in found.directory.rglob("*") if path.is_file())
    assert used < 8 * 2**20


def test_a_link_in_the_place_of_weights_is_not_followed(light: Light) -> None:
    found, rows, _ = broken(light, ["leaves_a_link"])
    assert rows["leaves_a_link"].status == "ok"
    assert not list(found.directory.glob("weights/*"))
    assert next(line["event"] for line in read_log(found.directory / LOG)) == "began"


@pytest.mark.parametrize("part", ["corpus", "generator", "predictor", "graphs"])
def test_models_that_cannot_be_had_leave_a_loop_of_genomes(light: Light, part: str) -> None:
    light.hostile(**{part: "dies"})
    found = light.begin(rounds=2)
    assert found.reason == "rounds"
    assert [each["trained"] for each in found.rounds] == [4, 4]
    failed = [line for line in read_log(found.directory / LOG) if line["event"] == "failed"]
    assert failed
    assert {line["what"] for line in failed} == {part}


def test_without_proposals_it_ends_and_says_so(light: Light) -> None:
    light.hostile(graphs="dies", genomes="sleeps_for_ever", generator="opens_a_socket")
    found = light.begin(some_limits(seconds=10), rounds=2)
    assert found.reason in ("nothing", "time")
    assert found.trained == 0


def test_limits_are_not_the_workers_to_change(light: Light) -> None:
    before = some_limits()
    _, _, run = broken(light, ["raises_its_limits"], before)
    assert before == some_limits()
    assert run.config["limits"] == before.to_dict()
