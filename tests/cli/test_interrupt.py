"""Ctrl-C keeps what was finished, leaves no process behind, and says how to go on."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from madstar.archive import Archive, EvaluationRow

from .commands import ENVIRONMENT, TINY, Result, invoke, strict_json, words_in
from .test_search import BASELINES

CANDIDATES = 3
# With the baselines seven evaluations at the least, so that the search is under way when the signal comes.
LONGER = ("--minutes", "5", "--candidates", str(CANDIDATES), "--rungs", "4,12")


def start(arguments: Sequence[object], directory: Path) -> "subprocess.Popen[str]":
    """The command as a shell starts it: leader of a process group of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "madstar", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    watchdog = threading.Timer(120, process.kill)
    watchdog.daemon = True
    watchdog.start()
    return process


def interrupt(process: "subprocess.Popen[str]") -> Result:
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate()
    return Result(process.returncode, stdout, stderr)


@dataclass(frozen=True)
class Interrupted:
    home: Path
    result: Result
    workers: list[psutil.Process]
    evaluations: tuple[EvaluationRow, ...]


@pytest.fixture(scope="module")
def interrupted(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    directory = tmp_path_factory.mktemp("interrupted")
    home = directory / "a home"
    process = start(["search", "--data", text, *TINY, *LONGER, "--home", home], directory)
    assert process.stderr is not None
    first = next((line for line in process.stderr if "rung 1/2" in line), None)
    assert first is not None, "the search ended before its first evaluation"
    workers = psutil.Process(process.pid).children(recursive=True)
    result = interrupt(process)
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        evaluations = archive.evaluations(archive.run("latest").id)
    return Interrupted(home, result, workers, evaluations)


def test_an_interrupt_ends_it_and_says_how_to_go_on(interrupted: Interrupted) -> None:
    result = interrupted.result
    assert result.status == 130
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert words_in(
        result.stderr.splitlines()[-1], ["Interrupted", "everything finished is kept", "--resume"]
    )
    listed = strict_json(invoke("runs", "--home", interrupted.home, "--json").stdout)
    assert [row["status"] for row in listed] == ["interrupted"]


def test_an_interrupt_leaves_no_process_behind(interrupted: Interrupted) -> None:
    assert interrupted.workers
    _, alive = psutil.wait_procs(interrupted.workers, timeout=10)
    assert alive == []


def test_an_interrupted_run_has_a_report(interrupted: Interrupted) -> None:
    document = strict_json(invoke("report", "--home", interrupted.home, "--json").stdout)
    assert document["status"] == "interrupted"
    assert document["evaluations"] == len(interrupted.evaluations) >= 1
    assert document["candidates"] <= CANDIDATES


def test_an_interrupted_run_is_resumed_as_it_says(interrupted: Interrupted) -> None:
    told = re.search(r"Go on with: madstar (.*)", interrupted.result.stderr)
    assert told is not None
    command = shlex.split(told[1])
    name = command[command.index("--resume") + 1]
    assert command == ["search", "--resume", name, "--home", str(interrupted.home)]

    result = invoke(*command, "--minutes", "4")

    assert result.status == 0, result.stderr
    assert words_in(result.stdout, [name, "finished", "Front at rung 2 of 2", *BASELINES])
    assert f"madstar export {name} --home {shlex.quote(str(interrupted.home))}" in result.stdout
    with Archive.open(interrupted.home / "archive.sqlite", create=False) as archive:
        run = archive.run("latest")
        candidates, evaluations = archive.candidates(run.id), archive.evaluations(run.id)
    assert (run.name, run.status) == (name, "finished")
    assert run.config["settings"]["minutes"] == 4
    kept = len(interrupted.evaluations)
    assert evaluations[:kept] == interrupted.evaluations
    assert len(evaluations) > kept
    tried = [(row.candidate, row.rung, row.seed) for row in evaluations]
    assert len(set(tried)) == len(tried), "an evaluation was done twice"
    assert {row.status for row in evaluations} == {"ok"}
    proposed = {row.index for row in candidates if row.status == "pending"}
    assert len(proposed) == CANDIDATES + len(BASELINES)
    assert {row.candidate for row in evaluations if row.rung == 0} == proposed


def test_an_interrupt_before_the_search_begins(text: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import pathlib, time\npathlib.Path('loading').touch()\ntime.sleep(60)\ndef score(s): return 1\n"
    )
    arguments = ["search", "--data", text, *TINY, "--objective", "slow.py:score", "--home", "home"]
    process = start(arguments, tmp_path)
    while not (tmp_path / "loading").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    assert interrupt(process) == Result(130, "", "madstar: interrupted\n")
    assert not (tmp_path / "home").exists()
