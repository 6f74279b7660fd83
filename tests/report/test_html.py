import errno
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import pytest
from plotly.offline import get_plotlyjs

from madstar.errors import OutputError
from madstar.objectives import find_objective
from madstar.report import write_html
from madstar.report.plots import pairs
from madstar.search import RunSummary

from .runs import EVIL, OWN, SHARING, Book, genomes, odd

PLOTLY = get_plotlyjs()


class Page(HTMLParser):
    """What a browser would see: elements with their attributes, and the text outside of scripts.

    In `words` a single space stands between elements.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts, self._inside, self._parts = "", [], "", []
        self.feed(text.replace(PLOTLY, ""))
        self.words = " ".join(" ".join(self._parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif self._inside != "style":
            self.text += data
            self._parts.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    @property
    def figures(self) -> dict[str, Any]:
        return json.loads(self.scripts[0])

    def count(self, tag: str, style: str | None = None) -> int:
        return sum(t == tag and (style is None or a.get("class") == style) for t, a in self.elements)


def written(summary: RunSummary, path: Path) -> Page:
    return Page(write_html(summary, path / "report.html").read_text(encoding="utf-8"))


def check_figures(page: Page) -> None:
    """Plotly knows every attribute, and each plot has its place in the page."""
    ids = {attributes.get("id") for _, attributes in page.elements}
    for key, figure in page.figures.items():
        assert key in ids
        known = json.loads(re.sub(r'"--[a-z0-9-]+"', '"#123456"', json.dumps(figure)))
        go.Figure(known["data"], known["layout"])


def test_every_candidate_is_there(book: Book, tmp_path: Path) -> None:
    summary = book.summary()
    page = written(summary, tmp_path)
    for genome in genomes(summary):
        assert page.text.count(genome) >= 2
    for row in summary.candidates:
        assert row.genome in page.text
    assert page.count("svg", "architecture") == len(summary.front) + len(summary.baselines)
    table = page.text[page.text.index("All candidates") :]
    for word in ("duplicate", "rejected", "already tried", "operator sparsity", "#4, #5", "diverged"):
        assert word in table
    check_figures(page)


def test_sharing_is_drawn_once_for_each_relation(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.ok(book.candidate(SHARING), 0, quality=2.0, cache=1024.0)
    page = written(book.summary(), tmp_path)
    assert page.count("path", "arc weights") == 2
    assert page.count("path", "arc features") == 3


def test_nothing_is_loaded(book: Book, tmp_path: Path) -> None:
    page = written(book.summary(), tmp_path)
    for tag, attributes in page.elements:
        assert tag not in ("link", "iframe", "img", "object", "embed", "base")
        assert not {"src", "href", "srcset", "action"} & set(attributes)
    text = (tmp_path / "report.html").read_text(encoding="utf-8").replace(PLOTLY, "")
    assert PLOTLY in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest", text)
    policy = next(a for t, a in page.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in str(policy["content"])


def test_what_users_write_is_text(tmp_path: Path) -> None:
    own = tmp_path / "<b>bold.py"
    own.write_text("def score(subject):\n    '''Marks <i>high</i>.'''\n\nscore.direction = 'max'\n")
    name = f"{own}:score"
    book = Book(tmp_path, task=EVIL, objectives=("quality", name))
    book.ok(book.candidate(OWN, reason=EVIL), 2, quality=1.0, cache=1.0, **{name: 3.0})
    book.failed(book.candidate(SHARING), "error", EVIL)
    page = written(book.summary(), tmp_path)
    assert page.count("script") == 3
    assert page.count("b") == page.count("i") == 0
    assert page.text.count(EVIL) >= 3
    assert "<b>bold.py:score" in page.text
    assert "Marks <i>high</i>." in page.text
    assert "&lt;b&gt;bold.py:score" in json.dumps(page.figures)
    assert "<b>bold" not in json.dumps(page.figures)
    check_figures(page)


@pytest.mark.parametrize(
    ("objectives", "plots"),
    [
        (("quality",), 2),
        (("parameters",), 3),
        (("quality", "cache"), 2),
        (("quality", "parameters"), 2),
        (("cache", "parameters"), 3),
        (("quality", "cache", "parameters"), 3),
        (("quality", "cache", "flops"), 4),
    ],
)
def test_any_number_of_objectives(tmp_path: Path, objectives: tuple[str, ...], plots: int) -> None:
    book = Book(tmp_path, objectives=objectives)
    book.baselines(rung=0, parameters=1e5, flops=2e9)
    for place in range(3):
        values = {"parameters": 1000.0 + place, "flops": 1e9 - place}
        book.ok(book.candidate(values=values), 2, quality=2.0 + place, cache=2.0 ** (20 - place), **values)
    page = written(book.summary(), tmp_path)
    fronts = [key for key in page.figures if key.startswith("front-")]
    assert len(fronts) == plots
    check_figures(page)


def test_pairs_have_quality_upright_and_none_twice() -> None:
    for names in [("quality",), ("cache", "quality", "flops"), ("parameters",), ("decode", "prefill")]:
        found = pairs([find_objective(name) for name in names])
        assert len({frozenset((y.name, x.name)) for y, x in found}) == len(found)
        assert all(x.name != "quality" for _, x in found)
        shown = {(y.name, x.name) for y, x in found}
        assert {("quality", "parameters"), ("quality", "cache@4096")} <= shown


def test_front_plot_shows_everything_that_is_compared(book: Book, tmp_path: Path) -> None:
    page = written(book.summary(), tmp_path)
    figure = page.figures["front-0"]
    low, high = figure["layout"]["yaxis"]["range"]
    shown = [y for trace in figure["data"] if trace["name"] != "lower rungs" for y in trace["y"]]
    assert len(shown) == 3 + 4 + 1
    assert all(low < y < high for y in shown)
    front = next(trace for trace in figure["data"] if trace["name"] == "front")
    assert front["error_y"]["array"] == [0.02] * 3
    assert all(SHARING in hover or "#4" not in hover for hover in front["hovertext"])


def test_failures_and_offspring(book: Book, tmp_path: Path) -> None:
    page = written(book.summary(), tmp_path)
    assert f"stopped after 600 s\n{EVIL}" in page.text
    words = " ".join(page.text.split())
    assert re.search(r"repaired\s*1\s*\d+%", words)
    assert re.search(r"operator sparsity\s*1\s*\d+%", words)


def test_an_empty_run(tmp_path: Path) -> None:
    page = written(Book(tmp_path).summary("running"), tmp_path)
    assert "No front yet" in page.text
    assert "None has been proposed yet." in page.text
    assert page.figures == {}
    assert (tmp_path / "report.html").stat().st_size < 100_000


def test_only_failures(tmp_path: Path) -> None:
    book = Book(tmp_path)
    book.failed(book.candidate(), "crash")
    page = written(book.summary(), tmp_path)
    assert "1 evaluation of candidates failed" in page.text
    assert page.figures == {}


def test_figures_that_are_not_finite(tmp_path: Path) -> None:
    page = written(odd(tmp_path).summary(), tmp_path)
    assert "not a number" in page.text
    assert "infinite" in page.text
    assert "NaN" not in page.scripts[0]
    assert "Infinity" not in page.scripts[0]
    check_figures(page)


def test_a_page_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "new" / "report.html"
    assert write_html(Book(tmp_path).summary(), path) == path
    path.write_text("old")
    write_html(Book(tmp_path / "again").summary(), str(path))
    assert path.read_text() != "old"
    assert [file.name for file in path.parent.iterdir()] == ["report.html"]


def test_places_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = Book(tmp_path).summary()
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for place in ("file/report.html", "folder", "a\x00b"):
        with pytest.raises(OutputError, match="choose another place"):
            write_html(summary, tmp_path / place)
    old = tmp_path / "folder" / "report.html"
    old.write_text("old")

    def full_disk(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OutputError, match="the disk is full"):
        write_html(summary, old)
    assert old.read_text() == "old"
    assert [file.name for file in old.parent.iterdir()] == ["report.html"]
