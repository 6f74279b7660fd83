"""A benchmark told while it goes on: lines where there is no terminal, a picture where there is one."""

from __future__ import annotations

import dataclasses
import io

import pytest
from rich.console import Console

from madstar.protocol import BenchmarkProgress, Scores
from madstar.protocol.race import Wanted
from madstar.report.benchmark_live import LiveBenchmark, PlainBenchmark, benchmark_watcher, fraction

from .benchmark_runs import plan, write


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Scores:
    return write(tmp_path_factory.mktemp("live"), plan(tasks=("memorization",)), name="mine")


def training(scores: Scores) -> Wanted:
    row = scores.rows[0]
    return Wanted(row.setting, row.point, row.seed, row.rung)


def look(scores: Scores, seconds: float, left: float | None = 125.0) -> BenchmarkProgress:
    return BenchmarkProgress(
        3, 1, 4, 1, ((training(scores), 50, 800), (training(scores), 0, 0)), seconds, left
    )


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError("gone")


def test_a_line_for_each_training_and_one_on_progress_now_and_then(scores: Scores) -> None:
    stream = io.StringIO()
    watcher = benchmark_watcher(stream)
    assert isinstance(watcher, PlainBenchmark)
    row = scores.rows[0]
    watcher.began(scores.plan, scores.run, 2)
    for seconds in (0.5, 29.0, 30.0, 31.0, 59.9):
        watcher.tick(look(scores, seconds))
    watcher.ended(training(scores), row)
    failed = dataclasses.replace(row, status="crash", error="died\x1b[2J\nof it", values={})
    watcher.ended(training(scores)._replace(seed=1), failed)
    watcher.close()
    setting = next(each for each in scores.plan.settings if each.key == row.setting)
    assert stream.getvalue().splitlines() == [
        "mine: 3 settings, 2 sweep points each, 2 trainings done before",
        "benchmark: 1/3 settings, 4 trainings, 1 failed, 0:30, at most 2:05 left",
        f"memorization {setting.name}  {row.point}  {row.steps} steps  "
        f"valid {row.values['valid_micro']:.3f} ± 0.012  in 0:10",
        f"memorization {setting.name}  {row.point}  seed 1  {row.steps} steps  crash: died [2J of it",
    ]


@pytest.mark.parametrize("width", [50, 80, 120])
def test_a_picture_on_a_terminal_that_is_wiped_at_the_end(scores: Scores, width: int) -> None:
    stream = io.StringIO()
    watcher = LiveBenchmark(Console(file=stream, force_terminal=True, width=width))
    watcher.began(scores.plan, scores.run, 0)
    watcher.tick(look(scores, 3))
    watcher.ended(training(scores), scores.rows[0])
    watcher.ended(training(scores), dataclasses.replace(scores.rows[0], status="crash", error="died\x1b[2J"))
    watcher.close()
    watcher.close()
    shown = stream.getvalue()
    assert "1/3 settings, 4 trainings, 1 failed" in shown
    assert "step 50/800    memorization" in shown
    assert "preparing      memorization" in shown
    assert "crash: died" in shown or width == 50
    assert "\x1b[2J" not in shown


def test_the_share_done_is_of_time_where_a_pace_is_known(scores: Scores) -> None:
    assert fraction(look(scores, 25.0, 75.0)) == pytest.approx(0.25)
    assert fraction(look(scores, 25.0, None)) == pytest.approx(1 / 3)
    assert fraction(look(scores, 0.0, 0.0)) == 1


def test_a_stream_that_is_gone_ends_no_training(scores: Scores) -> None:
    for watcher in (PlainBenchmark(Broken()), LiveBenchmark(Console(file=Broken(), force_terminal=True))):
        watcher.began(scores.plan, scores.run, 0)
        watcher.tick(look(scores, 40))
        watcher.ended(training(scores), scores.rows[0])
        watcher.close()
