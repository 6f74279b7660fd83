"""Trainings told while they go on: lines where there is no terminal, a bar where there is one."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from madstar.archive import EvaluationRow
from madstar.report.trials import LiveTrials, PlainTrials, trials_watcher
from madstar.search.trials import Trial, TrialProgress

FIRST = Trial(3, "g", "validation", 0, "8", 1000)
SECOND = Trial(4, "g", "validation", 0, "8", 1000, "a baseline")
ROW = EvaluationRow(
    *(0, 0, 3, 0, 0, 8, 0, 1000, "ok", None, {"test_bits_per_byte": 2.5}, {"test_bits_per_byte": 0.01}),
    *((), {"total": 61.0}, 0, 0.0, 0.0, "validation"),
)
FAILED = EvaluationRow(
    *(1, 0, 4, 1, 0, 0, 0, 1000, "crash", "died\x1b[2J\nof it", {}, {}, (), {}, 0, 0.0, 0.0, "validation")
)


def look(seconds: float, done: int = 1, left: float | None = 125.0) -> TrialProgress:
    return TrialProgress(4, done, 1, ((FIRST, 2, 8), (SECOND, 0, 0)), seconds, left)


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("gone")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_for_each_training_and_one_on_progress_now_and_then() -> None:
    stream = io.StringIO()
    watcher = trials_watcher(stream, "validation")
    assert isinstance(watcher, PlainTrials)
    watcher.began(4, 1)
    for seconds in (0.5, 29.0, 30.0, 31.0, 59.9):
        watcher.tick(look(seconds))
    watcher.ended(FIRST, ROW)
    watcher.ended(SECOND, FAILED)
    watcher.close()
    assert stream.getvalue().splitlines() == [
        "validation: 4 trainings, 1 done before",
        "validation: 1/4 trained, 1 failed, 0:30, 2:05 left",
        "[2/4] #3  seed 1000  8 steps  test 2.500 ± 0.010  in 1:01",
        "[3/4] a baseline  seed 1000  0 steps  crash: died [2J of it",
    ]


def test_the_share_done_counts_what_is_under_way() -> None:
    assert look(0).fraction == pytest.approx((1 + 2 / 8) / 4)
    assert TrialProgress(0, 0, 0, (), 0.0, None).fraction == 1


def test_a_bar_on_a_terminal_that_is_wiped_at_the_end() -> None:
    stream = Terminal()
    watcher = trials_watcher(stream, "validation")
    assert isinstance(watcher, LiveTrials)
    watcher = LiveTrials(Console(file=stream, force_terminal=True, width=80), "validation")
    watcher.began(4, 0)
    watcher.tick(look(3))
    watcher.ended(FIRST, ROW)
    watcher.ended(SECOND, FAILED)
    watcher.close()
    watcher.close()
    shown = stream.getvalue()
    assert "validation" in shown
    assert "0/4, starting" in shown
    assert "1/4 trained, 1 failed, 0:03, 2:05 left" in shown
    assert "crash: died" in shown
    assert "#3  seed" not in shown
    assert "\x1b[2J" not in shown  # a candidate's dying words do not move the cursor


def test_a_stream_that_is_gone_ends_no_training() -> None:
    for watcher in (PlainTrials(Broken(), "v"), LiveTrials(Console(file=Broken(), force_terminal=True), "v")):
        watcher.began(4, 0)
        watcher.tick(look(40))
        watcher.ended(FIRST, ROW)
        watcher.ended(SECOND, FAILED)
        watcher.close()
