"""A benchmark's tables and pages, from rows written by hand."""

from __future__ import annotations

import io
import json
import math
import re
from pathlib import Path

import pytest
from plotly.offline import get_plotlyjs
from rich.console import Console

from madstar.errors import OutputError
from madstar.protocol import Scores
from madstar.protocol.compare import compare
from madstar.report.benchmark_figures import by_key, curve_plots, difficulty_plots
from madstar.report.benchmark_page import render_benchmark, render_comparison, write_benchmark
from madstar.report.benchmark_terminal import failures, print_comparison, print_scores
from madstar.tasks.mechanistic import PROTOCOL_TASKS, Setting

from .benchmark_runs import plan, steady, write


def top(setting: Setting) -> float | None:
    return None if setting.name == "train_examples=3200" else steady(setting)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="module")
def scores(home: Path) -> Scores:
    tasks = ("in-context-recall", "compression", "memorization")
    return write(home, plan(("mamba", "swiglu"), tasks=tasks, seeds=2), top=top)


def printed(show: object, width: int) -> str:
    stream = io.StringIO()
    assert callable(show)
    show(Console(file=stream, width=width, markup=False, highlight=False))
    return stream.getvalue()


def figures(page: str) -> dict[str, dict[str, list[dict[str, object]]]]:
    found = re.search(r'id="figures">(.*?)</script>', page, re.DOTALL)
    assert found
    data = json.loads(found[1])
    assert isinstance(data, dict)
    return data


@pytest.fixture(scope="module")
def wide(home: Path) -> Scores:
    """All six tasks, with failures, and as many steps as tables must have room for."""
    return write(home, plan(("mamba", "mlp"), tasks=PROTOCOL_TASKS), top=top, name="wide")


@pytest.mark.parametrize("width", [80, 120])
def test_scores_fit_the_terminal_whole(wide: Scores, width: int) -> None:
    text = printed(lambda console: print_scores(wide, console), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    for task in wide.tasks:
        assert re.search(rf"{task.task} +{task.value:.3f} ± {task.error:.3f}", text)
    assert re.search(rf"MAD score +{wide.mean:.3f} ± {wide.error:.3f}", text)


def test_failures_are_lines_without_control_characters(scores: Scores) -> None:
    told = list(failures(scores))
    failed = [s.setting.task for task in scores.tasks for s in task.settings if top(s.setting) is None]
    assert failed
    assert told == [f"{task} train_examples=3200: crash: died [2J of it" for task in failed]


def test_a_comparison_in_parts_where_runs_are_many(home: Path) -> None:
    runs = [
        write(home, plan(("mamba", "mlp"), tasks=("memorization",)), name=f"run-{n}", top=lambda s: 0.5)
        for n in range(5)
    ]
    text = printed(lambda console: print_comparison(compare(runs), console), 60)
    assert max(map(len, text.splitlines())) <= 60
    assert "…" not in text
    assert text.count("MAD score") == 3
    assert "*" not in text.replace("* in bold", "")


def test_a_page_holds_everything_and_loads_nothing(scores: Scores) -> None:
    page = render_benchmark(scores)
    assert not re.search(r"<(script|img|iframe)[^>]* src|<link|@import", page.replace(get_plotlyjs(), ""))
    for words in ("By difficulty", "Learning curves", "What was spent", "Failures", "Race", "sound"):
        assert words in page
    assert "died\x1b" not in page
    drawn = figures(page)
    places = set(re.findall(r'class="plot[^"]*" id="([^"]+)"', page))
    assert places == set(drawn)
    assert drawn["scores"]["data"][0]["x"] == pytest.approx(
        [task.value for task in scores.tasks if task.scored]
    )


def test_accuracy_by_difficulty_is_over_settings_that_differ_in_one_field(scores: Scores) -> None:
    [by_vocabulary] = difficulty_plots(
        [("score", {k: s for k, s in by_key(scores).items() if s.setting.task == "memorization"})]
    )
    line = by_vocabulary.data[0]
    known = {s.setting.vocabulary_size: s.value for s in scores.tasks[-1].settings}
    assert line["x"] == sorted(known)
    assert line["y"] == [known[int(size)] for size in sorted(known)]


def test_curves_say_why_each_point_stopped(scores: Scores) -> None:
    plots = dict(curve_plots(scores))["memorization"]
    assert len(plots) == len(scores.tasks[-1].settings)
    names = [trace["name"] for trace in plots[0].data]
    assert any("at step" in name and re.search("complete|solved|beaten|flat", name) for name in names)
    assert any("seed 1" in name for name in names)
    assert all(len(trace["x"]) == len(trace["y"]) > 1 for trace in plots[0].data)


def test_an_unfinished_benchmark_has_a_page(home: Path) -> None:
    for most in (0, 1):
        found = write(home, plan(("mlp",)), name=f"begun-{most}", most=most)
        assert "not complete" in render_benchmark(found)
        assert "Not finished" in printed(lambda console, found=found: print_scores(found, console), 80)
    assert math.isnan(found.mean)


def test_a_comparison_page(home: Path, scores: Scores) -> None:
    other = write(home, plan(("hyena", "swiglu"), seeds=2), top=lambda s: 0.3)
    page = render_comparison(compare([scores, other]))
    assert 'class="number best"' in page
    assert "higher" in page
    assert set(re.findall(r'class="plot[^"]*" id="([^"]+)"', page)) == set(figures(page))


def test_a_page_that_cannot_be_written(scores: Scores, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot write"):
        write_benchmark(scores, tmp_path / "file" / "page.html")
