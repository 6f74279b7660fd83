"""A loop that is killed at any moment goes on where it was."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import NoReturn

import pytest

from madstar.archive import Archive
from madstar.design.log import LOG

from .conftest import Light, rows_of


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_any_moment_it_goes_on_to_the_same_archive(light: Light, seed: int) -> None:
    """No row twice, none lost: a run that is killed again and again ends as one that is not."""
    light.patch.setenv("MADSTAR_TEST_SECONDS", "0.05")
    chance = random.Random(seed)
    for _ in range(4):
        child = os.fork()
        if child == 0:
            _go_on(light)
        log = light.home / "a" / LOG
        wanted = _lines(log) + chance.randrange(1, 9)
        deadline = time.monotonic() + 30
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if _lines(log) >= wanted or time.monotonic() > deadline:
                time.sleep(chance.random() * 0.05)
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                break
            time.sleep(0.002)
    assert light.resume("a").reason == "rounds"
    _, candidates, evaluations = rows_of(light.home, "a")
    assert [row.index for row in candidates] == list(range(8))
    assert len({row.architecture for row in candidates}) == 8
    searched = [row.candidate for row in evaluations if row.stage == "search"]
    assert sorted(searched) == list(range(8))
    assert [row.stage for row in evaluations].count("validation") == 1
    assert len(list((light.home / "a" / "rounds").glob("*.json"))) == 4


def _go_on(light: Light) -> NoReturn:
    """In a process of its own: begin the run, or take it up."""
    status = 1
    try:
        if (light.home / "archive.sqlite").exists() and _has_run(light.home):
            light.resume("a")
        else:
            light.begin(name="a", patience=0)
        status = 0
    finally:
        os._exit(status)


def _lines(log: Path) -> int:
    return log.read_bytes().count(b"\n") if log.exists() else 0


def _has_run(home: Path) -> bool:
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        return bool(archive.runs())
