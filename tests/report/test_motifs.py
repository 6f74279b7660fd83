"""Motifs on a page and in a terminal: everything is there, drawn, escaped, and told with its doubts."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from madstar.errors import OutputError
from madstar.genome import SearchSpace, sample
from madstar.genome.variation import settle
from madstar.report.motifs import motif_plots, motif_section, print_motifs, write_motifs
from madstar.report.strips import strip
from madstar.studies.motifs import MotifStudy, motifs
from madstar.studies.patterns import patterns

from .runs import EVIL, Book
from .test_html import Page, check_figures

KNOBS = {"min_depth": 6, "max_depth": 6, "sharing": 0.6, "groups": 2, "classes": (1, 7, 9, 16)}
SPACE = SearchSpace(**KNOBS)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> MotifStudy:
    """A run of thirty random genomes, in which more memoryless layers cost less."""
    book = Book(
        tmp_path_factory.mktemp("motifs"),
        objectives=("quality",),
        settings={"strategy": "random", **KNOBS},
    )
    rng = np.random.default_rng(8)
    for _ in range(30):
        genome = settle(sample(SPACE, rng), "random", SPACE, rng).genome
        lacking = sum(liv.operator.token_mixing != 1 for liv in genome.livs)
        row = book.candidate(str(genome), operator="random")
        book.ok(row, 0, quality=lacking + rng.random(), cache=1.0)
    return motifs([book.summary()], winners="best-quarter", background=400)


def found_in(study: MotifStudy) -> MotifStudy:
    """The same study with its first motif found, and its last depleted and found."""
    first, last = replace(study.motifs[0], q=0.01), replace(study.motifs[1], q=0.02, ratio=0.2, held=0)
    rest = tuple(replace(motif, q=0.5) for motif in study.motifs[2:])
    return replace(study, motifs=(first, last, *rest))


def text_of(study: MotifStudy, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, markup=False)
    print_motifs(study, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_page_has_all_motifs_and_their_plots(study: MotifStudy, tmp_path: Path) -> None:
    given = found_in(study)
    page = Page(write_motifs(given, tmp_path / "deep" / "motifs.html").read_text(encoding="utf-8"))
    assert set(page.figures) == {"motif-places", "motif-enrichment"}
    check_figures(page)
    assert page.count("svg", "strip") == page.count("tr", "found") + page.count("tr", "other") == 20
    assert page.count("tr", "found") == 2
    for motif in given.motifs[:20]:
        assert motif.pattern.name in page.text
    assert f"2 motifs of {study.tested} patterns tested stand out" in page.text
    assert "by random, seeds none" in page.text


def test_a_study_that_finds_nothing_says_so(study: MotifStudy) -> None:
    nothing = replace(study, motifs=tuple(replace(motif, q=1.0) for motif in study.motifs))
    page = Page(motif_section(nothing))
    assert f"None of {study.tested} patterns tested stands out" in page.text
    assert "none of them stands out" in page.text
    assert page.count("tr", "found") == 0


def test_colours_tell_found_from_not_and_more_from_less(study: MotifStudy) -> None:
    bars = motif_plots(found_in(study))[1].data[0]
    assert bars["marker"]["color"][-2:] == ["--baseline", "--front"]
    assert set(bars["marker"]["color"][:-2]) == {"--lower"}
    assert bars["x"][-2] < 0


def test_the_map_shows_the_difference_to_random_genomes(study: MotifStudy) -> None:
    trace = motif_plots(study)[0].data[0]
    assert trace["x"] == [str(layer) for layer in range(1, 7)]
    assert sorted(trace["y"]) == ["DiffGConv-1", "GConv-1", "GMemless", "SA-1"]
    np.testing.assert_allclose(np.sum(trace["z"], axis=0), 0, atol=0.05)
    memoryless = trace["z"][trace["y"].index("GMemless")]
    assert np.mean(memoryless) > 5


def test_what_users_write_is_text(study: MotifStudy, tmp_path: Path) -> None:
    evil = replace(study, runs=(replace(study.runs[0], run=EVIL),), notes=(EVIL,))
    page = Page(write_motifs(evil, tmp_path / "motifs.html").read_text(encoding="utf-8"))
    assert page.count("script") == 3
    assert page.text.count(EVIL) >= 3
    assert "<script" not in motif_section(evil)


def test_every_kind_of_pattern_can_be_drawn() -> None:
    rng = np.random.default_rng(3)
    drawn = set()
    for _ in range(12):
        genome = settle(sample(SPACE, rng), "random", SPACE, rng).genome
        for pattern in patterns(genome):
            picture = ElementTree.fromstring(strip(pattern, 40))
            assert picture[0].text == pattern.name
            assert float(picture.attrib["width"]) < 700
            drawn.add(pattern.kind)
    assert drawn == {"run", "weights", "features", "place", "count"}


def test_the_terminal_tells_the_same(study: MotifStudy) -> None:
    told = text_of(found_in(study))
    assert "2 motifs of" in told
    assert "by-hand" in told
    assert study.motifs[0].pattern.name.split(" → ")[0] in told
    assert all(len(line.rstrip()) <= 60 for line in text_of(study, 60).splitlines())
    assert "keep in mind" in text_of(replace(study, notes=("keep in mind",)))


def test_a_place_that_cannot_be_written(study: MotifStudy, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another place"):
        write_motifs(study, tmp_path / "file" / "motifs.html")
