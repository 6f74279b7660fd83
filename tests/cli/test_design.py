"""`madstar design` as a user types it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from madstar.archive import Archive
from madstar.cli import design  # noqa: F401  it registers itself

from .commands import ENVIRONMENT, Result, as_process, invoke, refusal, strict_json, words_in

SMALL = (
    *("--rounds", "2", "--candidates-per-round", "2", "--steps", "2", "--graphs", "0", "--width", "16"),
    *("--pairs", "1", "--length", "32", "--batch", "2", "--workers", "1", "--minutes", "3"),
)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--minutes", "0"], ["minutes", "above 0"]),
        (["--minutes", "nan"], ["minutes"]),
        (["--workers", "0"], ["workers", "above 0"]),
        (["--max-params", "-5"], ["max-params"]),
        (["--memory-limit", "0"], ["memory-limit"]),
        (["--disk-limit", "0"], ["disk-limit"]),
        (["--time-limit", "-1"], ["time-limit"]),
        (["--resume", "nobody"], ["no archive"]),
    ],
)
def test_limits_that_are_none_are_refused(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    """Before anything is confined: these run in this process."""
    assert words_in(refusal(invoke("design", "--home", tmp_path / "home", *arguments)), words)
    assert not (tmp_path / "home").exists()


def test_settings_that_are_none_are_refused_by_the_confined_command(tmp_path: Path, text: Path) -> None:
    result = as_process("design", "--data", text, *SMALL, "--width", "18", "--home", tmp_path / "home")
    assert words_in(refusal(result), ["width 18", "heads"])


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory, text: Path) -> tuple[Path, Result]:
    """The first round of a run that waits for approval after each."""
    home = tmp_path_factory.mktemp("design") / "a home"
    return home, as_process("design", "--data", text, *SMALL, "--approve", "--name", "a", "--home", home)


def test_a_round_is_done_and_it_says_how_to_go_on(approved: tuple[Path, Result]) -> None:
    home, result = approved
    assert result.status == 0, result.stderr
    assert words_in(result.stdout, ["round", "trained", "gain", "Best: #", "waits for approval"])
    assert re.search(r"madstar design --resume a --home '.*a home' --approve", result.stdout)
    assert words_in(result.stderr, ["[round 1] training", "min left"])
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        run = archive.run("a")
        assert run.kind == "design"
        assert run.config["held"]["privileges"] is True
        assert len(archive.candidates(run.id)) == 2
    assert not list(home.glob(".tmp-*"))


def test_other_commands_know_it(approved: tuple[Path, Result]) -> None:
    home, _ = approved
    assert words_in(invoke("runs", "--home", home).stdout, ["a", "design", "1 rounds"])
    reported = invoke("report", "a", "--home", home)
    assert reported.status == 0, reported.stderr
    assert words_in(reported.stdout, ["round", "trained", "Best: #", "waits for approval", "report.html"])
    assert "madstar design" in (home / "a" / "report.html").read_text()
    assert words_in(refusal(invoke("search", "--resume", "a", "--home", home)), ["is a design"])


def test_the_next_round_comes_when_it_is_approved(approved: tuple[Path, Result]) -> None:
    home, _ = approved
    result = as_process("design", "--resume", "a", "--approve", "--home", home, "--json")
    assert result.status == 0, result.stderr
    found = strict_json(result.stdout)
    assert (found["run"], found["reason"], found["trained"]) == ("a", "rounds", 4)
    assert [record["round"] for record in found["rounds"]] == [1, 2]
    assert found["test"] is not None


def test_ctrl_c_keeps_what_was_finished_and_says_how_to_go_on(tmp_path: Path, text: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "madstar", "design", "--data", text, *SMALL, "--home", tmp_path / "home"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        start_new_session=True,
    )
    assert process.stderr is not None
    assert next((line for line in process.stderr if "workers start" in line), None) is not None
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stdout == ""
    assert words_in(stderr, ["Interrupted", "madstar design --resume"])
    assert "Traceback" not in stderr
