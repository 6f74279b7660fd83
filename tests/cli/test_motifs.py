"""`madstar motifs` on runs written by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from madstar.archive import Archive
from madstar.cli import motifs  # noqa: F401  it registers itself
from madstar.genome import SearchSpace, sample
from madstar.genome.variation import settle
from madstar.search import make_settings

from .commands import contents, invoke, refusal, strict_json, words_in

SPACE = SearchSpace(min_depth=3, max_depth=3)
FAST = ("--background", "100")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of twelve random genomes with figures, and one without any."""
    path = tmp_path_factory.mktemp("motifs") / "home"
    settings = make_settings(minutes=1, min_depth=3, max_depth=3, objectives=("quality",), strategy="random")
    task = {"description": "made up", "vocabulary_size": 256}
    config = {"settings": settings.model_dump(mode="json"), "task": task}
    rng = np.random.default_rng(0)
    with Archive.open(path / "archive.sqlite") as archive:
        for name, count in (("empty", 0), ("first", 12), ("second", 12)):
            run = archive.create_run(name, config)
            for index in range(count):
                genome = settle(sample(SPACE, rng), "random", SPACE, rng).genome
                given = {"genome": str(genome), "architecture": genome.architecture, "operator": "random"}
                archive.add_candidate(run.id, index=index, **given)
                figures = {"values": {"quality": float(rng.normal())}, "steps": 10, "tokens": 10}
                when = {"started_at": 0.0, "finished_at": 1.0}
                archive.add_evaluation(
                    run.id, candidate=index, rung=0, seed=0, status="ok", **figures, **when
                )
    return path


def test_motifs_of_pooled_runs(home: Path, tmp_path: Path) -> None:
    page = tmp_path / "deep" / "page.html"
    before = contents(home)
    result = invoke("motifs", "first", "second", "first", "--home", home, *FAST, "--out", page, "--json")
    assert (result.status, result.stderr) == (0, "")
    document = strict_json(result.stdout)
    assert [run["run"] for run in document["runs"]] == ["first", "second"]
    assert document["winners"] == document["effective_winners"] == 12
    assert document["tested"] > document["found"] == 0
    assert document["page"] == str(page)
    assert "Motifs of first, second" in page.read_text()
    assert contents(home) == before


def test_motifs_in_a_terminal(home: Path) -> None:
    result = invoke("motifs", "latest", "--home", home, *FAST, "--winners", "top-rung")
    assert (result.status, result.stderr) == (0, "")
    assert words_in(result.stdout, ["Motifs of second", "12 winners", "all candidates at the top rung"])
    assert words_in(result.stdout, ["chance", "others", "q", "/12", "100 random genomes"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("empty",), "run empty has no front"),
        (("first", "empty"), "run empty has no front"),
        (("nowhere",), "nowhere"),
        (("first", "--winners", "all"), "winners 'all': choose from better-half"),
        (("first", "--out", "/dev/null/page.html"), "choose another place"),
    ],
)
def test_refusals(home: Path, arguments: tuple[str, ...], said: str) -> None:
    assert said in refusal(invoke("motifs", *arguments, "--home", home, *FAST))
