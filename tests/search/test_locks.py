"""One process at a time works on a run, several may share an archive."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from madstar.archive import Archive
from madstar.archive.lock import RunLock
from madstar.errors import ArchiveError, OutputError
from madstar.search import resume
from madstar.search.run import ARCHIVE_NAME

from .test_survival import command


def test_a_run_that_is_being_worked_on_is_not_taken_up_again(tmp_path: Path) -> None:
    with Archive.open(tmp_path / ARCHIVE_NAME) as archive:
        row = archive.create_run("one", {})
        archive.update_run(row.id, status="interrupted")
    told = rf"run one is being worked on by process {os.getpid()} since \d.*: wait for it, or stop it$"
    with RunLock(tmp_path / "one", "one"), pytest.raises(ArchiveError, match=told):
        resume("one", home=tmp_path)
    with Archive.open(tmp_path / ARCHIVE_NAME) as archive:
        assert archive.run("one").status == "interrupted"


def test_a_lock_can_be_taken_again_once_it_is_let_go_of(tmp_path: Path) -> None:
    for _ in range(2):
        with RunLock(tmp_path / "one", "one"), RunLock(tmp_path / "two", "two"):
            assert (tmp_path / "one" / ".lock").read_text().startswith(f"process {os.getpid()} since ")
    with pytest.raises(ValueError, match="mine"), RunLock(tmp_path / "one", "one"):
        raise ValueError("mine")
    with RunLock(tmp_path / "one", "one"):
        pass


def test_a_lock_goes_with_its_holder_and_not_with_what_that_has_started(tmp_path: Path) -> None:
    script = textwrap.dedent(
        """
        import subprocess, sys, time
        from pathlib import Path
        from madstar.archive.lock import RunLock
        with RunLock(Path(sys.argv[1]), "one"):
            child = subprocess.Popen(["sleep", "600"], close_fds=False)
            print(child.pid, flush=True)
            time.sleep(600)
        """
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    child = int(holder.stdout.readline())
    try:
        with pytest.raises(ArchiveError, match=f"by process {holder.pid} since"), RunLock(tmp_path, "one"):
            pass
        holder.kill()
        holder.wait()
        with RunLock(tmp_path, "one"):
            os.kill(child, 0)  # it lives, and does not hold the lock
    finally:
        holder.kill()
        os.kill(child, signal.SIGKILL)
        holder.stdout.close()


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_place_that_cannot_be_locked_is_named(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"\.lock cannot be locked"), RunLock(tmp_path / place, "one"):
        pass


def test_two_searches_share_an_archive(text: Path, tmp_path: Path) -> None:
    searches = [
        subprocess.Popen(
            command(text, tmp_path, name, "--seed", seed),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name, seed in (("one", "1"), ("two", "1"))
    ]
    for process in searches:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    for name in ("one", "two"):
        with Archive.open(tmp_path / ARCHIVE_NAME, create=False) as archive:
            row = archive.run(name)
            assert row.status == "finished"
            wanted = {c.index for c in archive.candidates(row.id) if c.status == "pending"}
            rows = archive.evaluations(row.id)
        assert len(wanted) == 4 + 4
        assert {row.candidate for row in rows if row.rung == 0} == wanted
        assert {row.status for row in rows} == {"ok"}
        assert [row.sequence for row in rows] == list(range(len(rows)))
