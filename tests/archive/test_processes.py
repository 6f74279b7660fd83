"""Several processes on one archive, and processes that die."""

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from madstar.archive import Archive

WRITER = """
import sys
from madstar.archive import Archive

location, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
with Archive.open(location) as archive:
    run = archive.create_run(name, {})
    for index in range(count):
        parents = (index - 1,) if index else ()
        archive.add_candidate(run.id, index=index, genome=name * 50, architecture=f"{index:x}",
                              operator="mutation", parents=parents)
        print("candidate", index, flush=True)
        archive.add_evaluation(run.id, candidate=index, rung=0, steps=1, tokens=2, seed=0, status="ok",
                               started_at=0.0, finished_at=1.0, curve=[(s, 1 / s) for s in range(1, 60)])
        print("evaluation", index, flush=True)
"""


def start(path: Path, name: str, count: int) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", WRITER, str(path), name, str(count)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_coordinators_write_two_runs_while_a_reader_reads(path: Path) -> None:
    # Both find no archive, and both try to create it.
    writers = {name: start(path, name, 60) for name in ("one", "two")}
    seen = {"one": 0, "two": 0}
    with Archive.open(path) as reader:
        while any(writer.poll() is None for writer in writers.values()):
            for run in reader.runs():
                candidates, evaluations = reader.candidates(run.id), reader.evaluations(run.id)
                assert [row.index for row in candidates] == list(range(len(candidates)))
                assert all(row.parents == ((row.index - 1,) if row.index else ()) for row in candidates)
                assert len(candidates) >= seen[run.name]
                assert len(evaluations) >= len(candidates) - 1
                seen[run.name] = len(candidates)
        for name, writer in writers.items():
            output, _ = writer.communicate()
            assert writer.returncode == 0
            assert len(output.splitlines()) == 120
            run = reader.run(name)
            assert {row.genome for row in reader.candidates(run.id)} == {name * 50}
            assert [row.sequence for row in reader.evaluations(run.id)] == list(range(60))


@pytest.mark.parametrize("seed", range(5))
def test_a_killed_writer_loses_no_row_it_was_told_of(path: Path, seed: int) -> None:
    rng = np.random.default_rng([seed])
    told: list[str] = []
    writer = start(path, "killed", 100_000)
    assert writer.stdout is not None
    lines = int(rng.integers(1, 120))
    for line in writer.stdout:
        told.append(line)
        if len(told) == lines:
            break
    for _ in range(int(rng.integers(0, 100_000))):  # let it get to some random place in its next row
        pass
    writer.kill()
    told += [line for line in writer.stdout if line.endswith("\n")]
    assert writer.wait() == -9
    writer.stdout.close()
    assert len(told) >= lines

    with Archive.open(path, create=False) as archive:
        run = archive.run("killed")
        kept = {f"candidate {row.index}\n" for row in archive.candidates(run.id)}
        kept |= {f"evaluation {row.candidate}\n" for row in archive.evaluations(run.id)}
        assert set(told) <= kept
        assert len(kept) <= len(told) + 1  # at most the row that was committed but not yet told
        archive.update_run(run.id, status="interrupted")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_writer_killed_while_creating_leaves_nothing_in_the_way(path: Path) -> None:
    for seed in range(3):
        writer = start(path, f"run{seed}x", 1)
        rng = np.random.default_rng([seed])
        while not path.exists() and writer.poll() is None:
            pass
        for _ in range(int(rng.integers(0, 300_000))):
            pass
        writer.kill()
        writer.communicate()
        with Archive.open(path) as archive:
            archive.create_run(f"after{seed}x", {})
        path.unlink()
