"""A full disk, a clock that jumps: nothing finished is lost."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

import madstar
from madstar.archive import Archive
from madstar.errors import OutputError
from madstar.search import resume
from madstar.search.run import ARCHIVE_NAME
from madstar.search.summary import RunSummary
from madstar.workers import Outcome, WorkerPool

CLOCKS = {"timings", "started_at", "finished_at", "proposed_at", "id", "run_id"}
COMMAND = (
    *("--length", "32", "--batch", "2", "--width", "16", "--heads", "4", "--depth", "2"),
    *("--rungs", "2,4", "--population", "3", "--elitism", "1", "--candidates", "4", "--workers", "1"),
)

SHORT: dict[str, Any] = {
    "mode": "generational",
    "generations": 1,
    "seed": 3,
    "baselines": False,
    "minutes": 60.0,
}


def facts(summary: RunSummary) -> list[dict[str, Any]]:
    """All of a run's rows but what clocks and the database decide."""
    return [
        {name: value for name, value in vars(row).items() if name not in CLOCKS}
        for row in (*summary.candidates, *summary.evaluations)
    ]


@pytest.fixture(scope="module")
def whole(tiny: dict, tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    """The short run with nothing in its way."""
    return madstar.search(**tiny, **SHORT, home=tmp_path_factory.mktemp("whole"), name="run").summary()


def evaluated(home: Path, name: str) -> list[tuple[int, int, str]]:
    """Candidate, rung and status of each evaluation."""
    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        return [(row.candidate, row.rung, row.status) for row in archive.evaluations(archive.run(name).id)]


def command(text: Path, home: Path, name: str, *more: str) -> list[str]:
    place = ("--data", str(text), "--home", str(home), "--name", name)
    return [sys.executable, "-m", "madstar", "search", *place, *COMMAND, *more]


# A full disk --------------------------------------------------------------------------------------


@contextmanager
def full_after(evaluations: int) -> Iterator[None]:
    """In the block SQLite finds the disk full when one more evaluation than this is to be written."""
    seen = 0

    def fill(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        nonlocal seen
        if statement.startswith("INSERT INTO evaluations"):
            seen += 1
        if seen > evaluations:
            cursor.execute("PRAGMA max_page_count = 1").fetchall()  # no fewer than there are
            cursor.execute("CREATE TABLE filler AS SELECT zeroblob(1000000)")

    event.listen(Engine, "before_cursor_execute", fill)
    try:
        yield
    finally:
        event.remove(Engine, "before_cursor_execute", fill)


def test_an_archive_that_cannot_grow_ends_the_session_and_not_the_run(
    tiny: dict, whole: RunSummary, tmp_path: Path
) -> None:
    home = tmp_path / "full"
    full = "cannot grow: free some disk space, then resume"
    with full_after(2), pytest.raises(OutputError, match=full):
        madstar.search(**tiny, **SHORT, home=home, name="run")
    before = evaluated(home, "run")
    assert len(before) == 2
    resumed = resume("run", home=home).summary()
    assert resumed.run.status == "finished"
    assert facts(resumed) == facts(whole)
    assert evaluated(home, "run")[:2] == before


def test_a_worker_that_finds_the_disk_full_ends_the_session_without_a_row(
    tiny: dict, whole: RunSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait, ended = WorkerPool.wait, []

    def full(pool: WorkerPool, timeout: float | None = None) -> list[Outcome]:
        outcomes = wait(pool, timeout)
        ended.extend(outcomes)
        told = {"status": "full", "error": "no room there"}
        return outcomes if len(ended) < 3 else [replace(outcome, value=told) for outcome in outcomes]

    with monkeypatch.context() as patch:
        patch.setattr(WorkerPool, "wait", full)
        with pytest.raises(OutputError, match="no room there"):
            madstar.search(**tiny, **SHORT, home=tmp_path, name="run")
    before = evaluated(tmp_path, "run")
    assert len(before) == 2
    resumed = resume("run", home=tmp_path).summary()
    assert evaluated(tmp_path, "run")[:2] == before
    assert facts(resumed) == facts(whole)


ON_A_SMALL_DISK = """
mount -t tmpfs -o size="$1" tmpfs "$2" || exit 77
home="$2"; shift 2
"$@" > "$home.said" 2>&1
echo $? > "$home.status"
mount -o remount,size=64m "$home"
"$1" -m madstar search --resume run --home "$home" --json > "$home.json" || exit 1
cp "$home/archive.sqlite" "$home.sqlite"
"""


def _own_disks() -> bool:
    """Whether this process may mount a file system of its own."""
    asked = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(asked, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.mark.skipif(not _own_disks(), reason="the kernel lets no one mount a disk of their own")
def test_a_disk_that_is_really_full_ends_the_session_and_not_the_run(text: Path, tmp_path: Path) -> None:
    home = tmp_path / "small"
    home.mkdir()
    script = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh", "2m"]
    subprocess.run(
        [*script, str(home), *command(text, home, "run", "--width", "64")], check=True, timeout=180
    )
    assert home.with_suffix(".status").read_text() == "2\n"
    *told, last = home.with_suffix(".said").read_text().splitlines()
    assert last.startswith("madstar: ")
    assert "full" in last or "cannot grow" in last
    assert len(told) < 8
    document = json.loads(home.with_suffix(".json").read_text())
    assert document["status"] == "finished"
    assert document["failed"] == 0
    with Archive.open(home.with_suffix(".sqlite"), create=False) as archive:
        row = archive.run("run")
        wanted = {c.index for c in archive.candidates(row.id) if c.status == "pending"}
        rows = archive.evaluations(row.id)
    assert len(wanted) == 4 + 4
    assert {row.candidate for row in rows if row.rung == 0} == wanted
    assert len(rows) > len([line for line in told if " rung " in line])


# The clock ----------------------------------------------------------------------------------------


def test_a_clock_that_jumps_changes_no_figure_and_no_deadline(
    tiny: dict, whole: RunSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = time.time, itertools.count()
    # Eleven days fast, then set back by an hour at each look.
    monkeypatch.setattr(time, "time", lambda: now() + 1e6 - 3600 * next(looks))
    jumped = madstar.search(**tiny, **SHORT, home=tmp_path, name="run").summary()
    monkeypatch.undo()
    assert facts(jumped) == facts(whole)
    assert jumped.run.status == "finished"
    assert 0 < jumped.run.seconds < 3600
    for row in jumped.evaluations:
        assert row.started_at <= row.finished_at < row.started_at + 3600
    begun = [row.started_at for row in jumped.evaluations]
    assert begun == sorted(begun, reverse=True), "the clock has not jumped"
