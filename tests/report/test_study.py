"""Studies on paper: of runs that are written by hand, see tests/studies/written.py."""

import io
import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from rich.console import Console

from madstar.errors import OutputError
from madstar.report.study import print_study, write_study
from madstar.report.study_figures import bounds_words, curve_plots, difference_words, mean_words
from madstar.studies.comparison import compare
from madstar.studies.statistics import Interval, mean_interval
from madstar.studies.study import Study

from ..studies.written import write

GAINS = (0.30, 0.31, 0.29)


class Page(HTMLParser):
    """A page's elements and its text without scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.data, self._inside = "", "", ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = "figures" if ("id", "figures") in attrs else tag

    def handle_data(self, data: str) -> None:
        if self._inside == "figures":
            self.data += data
        elif self._inside not in ("script", "style"):
            self.text += data

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """Three seeds of two strategies, one surely better, with a bound on parameters."""
    home = tmp_path_factory.mktemp("study")
    runs = []
    for seed, gain in enumerate(GAINS):
        common: dict[str, Any] = {"seed": seed, "constraints": ("parameters<=300k",)}
        ends = {"nsga2": 3.0 - gain, "random": 3.0}
        for strategy, end in ends.items():
            points = [(4.0, 2.0**20), (end, 2.0**18), (3.5, 2.0**14)]
            runs.append(
                write(
                    home,
                    f"{strategy}-{seed}",
                    points,
                    strategy=strategy,
                    tests=[quality + 0.05 for quality, _ in points],
                    parameters=[100e3, 290e3, 150e3],
                    validations=[("80 steps", [(1, end - 0.5, end - 0.4)])],
                    **common,
                )
            )
    return compare(runs)


def printed(study: Study, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    print_study(study, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_page_holds_figures_differences_and_settings(study: Study, tmp_path: Path) -> None:
    source = write_study(study, tmp_path / "deep" / "study.html").read_text(encoding="utf-8")
    page = Page(source)
    for words in (
        *("nsga2 against random", "No search was seeded with motifs.", "−0.300 better", "−0.325 to −0.275"),
        *("80 steps", "paired by seed", "the bound on parameters is 300k", "training.length", "nsga2-2"),
    ):
        assert words in page.text, words
    ids = {attributes.get("id") for _, attributes in page.elements}
    figures = json.loads(page.data)
    assert set(figures) == {f"{m}-{a}" for m in ("hypervolume", "quality") for a in ("workers", "clock")}
    assert set(figures) <= ids
    for figure in figures.values():
        known = json.loads(re.sub(r'"--[a-z0-9-]+"', '"#123456"', json.dumps(figure)))
        go.Figure(known["data"], known["layout"])
    assert "http:" not in re.sub(r"<script>.*?</script>", "", source, flags=re.DOTALL)
    assert "default-src 'none'" in source


def test_text_of_runs_is_no_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    run = write(tmp_path, "run <b>", [(2.0, 1.0)], config={"task": {"description": evil}})
    source = write_study(compare([run]), tmp_path / "study.html").read_text(encoding="utf-8")
    assert evil not in source
    assert evil in Page(source).text
    assert "run <b>" in Page(source).text


def test_a_page_that_cannot_be_written(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another place"):
        write_study(study, tmp_path / "file" / "study.html")


def test_bands_hold_the_means(study: Study) -> None:
    plots = {plot.key: plot for plot in curve_plots(study)}
    quality = plots["quality-workers"]
    bands = [trace for trace in quality.data if trace.get("fill")]
    lines = {trace["name"]: trace for trace in quality.data if not trace.get("fill")}
    assert set(lines) == {"nsga2", "random"}
    assert lines["nsga2"]["y"][-1] == pytest.approx(2.7)
    assert lines["random"]["y"][-1] == 3.0
    assert len(bands) == 2
    interval = mean_interval([3 - gain for gain in GAINS])
    at_end = [y for x, y in zip(bands[0]["x"], bands[0]["y"], strict=True) if x == max(bands[0]["x"])]
    assert {round(y, 9) for y in at_end} >= {round(interval.low, 9), round(interval.high, 9)}


def test_one_seed_has_no_bands(tmp_path: Path) -> None:
    study = compare([write(tmp_path, "run", [(2.0, 1.0), (1.5, 1.0)])])
    assert all(not trace.get("fill") for plot in curve_plots(study) for trace in plot.data)
    assert "Differences" not in Page(write_study(study, tmp_path / "x.html").read_text(encoding="utf-8")).text
    assert "compares nothing" in " ".join(printed(study).split())


@pytest.mark.parametrize("width", [80, 120])
def test_the_terminal_says_the_same(study: Study, width: int) -> None:
    text = printed(study, width)
    assert max(map(len, text.splitlines())) <= width
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "nsga2 − random −0.300 [−0.325 to −0.275] better" in lines
    assert "nsga2 2.700 [2.675 to 2.725] rank 1" in lines
    assert "by size alone +0.0000" in lines
    assert "parameters of the best 290k 290k" in lines
    assert "Parameters may be 300k at most." in lines


def test_figures_in_words() -> None:
    nan = math.nan
    assert mean_words(mean_interval([2.0, 2.1])) == "2.050"
    assert mean_words(mean_interval([268_000.0, 269_500.0])) == "268,750"
    assert mean_words(mean_interval([24.0, 24.0])) == "24"
    assert mean_words(mean_interval([])) == "–"
    assert bounds_words(mean_interval([2.0])) == bounds_words(mean_interval([2.0, 2.0])) == ""
    assert bounds_words(Interval(0.0, -0.00004, 0.00004, 1e-5, 3, 0.95)) == "−0.000040 to 0.000040"
    assert difference_words(Interval(-0.5, -0.6, -0.4, 0.01, 3, 0.95)) == "−0.500"
    assert difference_words(Interval(0.5, 0.4, 0.6, 0.01, 3, 0.95)) == "+0.500"
    assert difference_words(Interval(nan, nan, nan, nan, 0, 0.95)) == "–"
