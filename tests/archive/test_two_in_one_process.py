"""A second archive in a process must not cost the first its locks.

POSIX drops all of a process's locks on a file when it closes any descriptor of it. Without locks, another
process that closes the archive takes itself for the last, and removes the write-ahead log under the first.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from madstar.archive import Archive
from madstar.errors import ArchiveError

READER = """
import sys
from madstar.archive import Archive
with Archive.open(sys.argv[1], create=False) as archive:
    run = archive.run("run")
    print(len(archive.evaluations(run.id)))
"""


def read_elsewhere(path: Path) -> int:
    """How many evaluations another process sees."""
    told = subprocess.run(
        [sys.executable, "-c", READER, str(path)], check=True, capture_output=True, text=True
    )
    return int(told.stdout)


def add(archive: Archive, run: int, rung: int) -> None:
    archive.add_evaluation(
        run, candidate=0, rung=rung, steps=1, tokens=1, seed=0, status="ok", started_at=0.0, finished_at=1.0
    )


def test_what_is_written_after_another_process_has_looked_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    with Archive.open(path) as first:
        run = first.create_run("run", {}).id
        first.add_candidate(run, index=0, genome="11111", architecture="a", operator="random")
        add(first, run, 0)
        with Archive.open(path, create=False) as second:
            assert len(second.evaluations(run)) == 1
        assert read_elsewhere(path) == 1
        add(first, run, 1)
        add(first, run, 2)
        assert read_elsewhere(path) == 3
    assert read_elsewhere(path) == 3


def test_a_closed_archive_may_be_replaced_and_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    Archive.open(path).close()
    path.write_bytes(b"something else")
    with pytest.raises(ArchiveError, match="not an SQLite file"):
        Archive.open(path)
