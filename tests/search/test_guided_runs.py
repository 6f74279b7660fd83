"""Real guided searches: with knowledge of another, killed and resumed, and what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

import madstar
from madstar.archive import Archive
from madstar.errors import ArchiveError, ConfigurationError, DataError
from madstar.learning.corpus.measured import read_archives
from madstar.objectives import processor
from madstar.search import resume
from madstar.search.knowledge import FILE_NAME
from madstar.search.run import ARCHIVE_NAME
from madstar.search.summary import RunSummary

from .killing import search_until_killed
from .test_survival import facts

FEW = {"strategy": "guided", "candidates": 7, "baselines": False, "seed": 2, "unguided": 0.4}


@pytest.fixture(scope="module")
def before(tiny: dict, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a random search of four candidates."""
    home = tmp_path_factory.mktemp("before")
    madstar.search(**tiny, strategy="random", candidates=4, baselines=False, home=home, name="before")
    return home


@pytest.fixture(scope="module")
def whole(tiny: dict, before: Path, tmp_path_factory: pytest.TempPathFactory) -> RunSummary:
    """A guided search that knows the one before, with nothing in its way."""
    home = tmp_path_factory.mktemp("whole")
    return madstar.search(**tiny, **FEW, knowledge=(str(before),), home=home, name="run").summary()


def test_a_killed_run_goes_on_as_if_nothing_had_happened(
    tiny: dict, before: Path, whole: RunSummary, tmp_path: Path
) -> None:
    """Killed twice, once when the model is at work; the archive it knew grows meanwhile."""
    settings = {**tiny, **FEW, "knowledge": (str(before),)}
    search_until_killed(tmp_path, 2, settings)
    search_until_killed(tmp_path, 5)
    known = (tmp_path / "run" / FILE_NAME).read_bytes()
    madstar.search(**tiny, strategy="random", candidates=2, baselines=False, seed=9, home=before)
    resumed = resume("run", home=tmp_path).summary()
    assert resumed.run.status == "finished"
    assert facts(resumed) == facts(whole)
    assert (tmp_path / "run" / FILE_NAME).read_bytes() == known


def test_the_run_says_what_it_knew_and_what_guiding_was_worth(whole: RunSummary) -> None:
    assert "measurements of 4 genomes" in whole.run.config["knowledge"]
    assert "2 of 2 figures the same as rungs of this run" in whole.run.config["knowledge"]
    kinds = {row.operator.partition(":")[0] for row in whole.candidates}
    assert kinds == {"guided", "unguided"}
    assert whole.guiding is not None
    assert sum(whole.guiding.counts) == 7
    assert whole.to_dict()["guiding"]["figure"] == "quality"


def test_without_what_it_knew_a_run_is_not_resumed(tiny: dict, before: Path, tmp_path: Path) -> None:
    few = {**FEW, "candidates": 2}
    run = madstar.search(**tiny, **few, knowledge=(str(before),), home=tmp_path, name="run")
    for damage in (lambda path: path.unlink(), lambda path: path.write_text("[1")):
        damage(run.directory / FILE_NAME) if (run.directory / FILE_NAME).exists() else None
        with pytest.raises(ArchiveError, match="put it back, or begin a new run"):
            resume("run", home=tmp_path)
        (run.directory / FILE_NAME).write_text("{}")
    with pytest.raises(DataError, match="schema None"):
        resume("run", home=tmp_path)


def test_knowledge_that_cannot_be_had_is_refused_before_anything_is_written(
    tiny: dict, before: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    Archive.open(empty / ARCHIVE_NAME).close()
    for error, says, wrong in (
        (DataError, "nothing was measured in .*: run madstar search --home", {"knowledge": (str(empty),)}),
        (ArchiveError, "does not exist", {"knowledge": (str(tmp_path / "nowhere"),)}),
        (ConfigurationError, "no use for", {"knowledge": (str(before),), "strategy": "nsga2"}),
        (DataError, "hold no genomes measured", {"knowledge": (str(before),), "objectives": ("cache",)}),
    ):
        home = tmp_path / "home"
        with pytest.raises(error, match=says):
            madstar.search(**{**tiny, **FEW, **wrong}, home=home)
        assert not home.exists()


def test_other_sizes_are_said(tiny: dict, before: Path, tmp_path: Path) -> None:
    wider = {**tiny, **FEW, "width": 32, "candidates": 2, "knowledge": (str(before),)}
    says = madstar.search(**wider, home=tmp_path, name="run").summary().run.config["knowledge"]
    assert "0 of 2 figures the same" in says
    assert "genomes were measured at other sizes" in says


def test_what_a_search_measured_of_untrained_models_can_be_learned(tiny: dict, tmp_path: Path) -> None:
    settings = {**tiny, "objectives": ["quality", "decode@16", "memory@16"]}
    madstar.search(**settings, strategy="random", candidates=2, baselines=False, home=tmp_path)
    candidates = read_archives([tmp_path])
    assert len(candidates) == 2
    with Archive.open(tmp_path / ARCHIVE_NAME) as archive:
        rows = archive.evaluations(archive.run("latest").id)
        assert archive.run("latest").config["processor"] == processor()
    for candidate in candidates:
        found = {figure.task: figure for figure in candidate.figures if not figure.budget}
        assert found.keys() == {f"decode@16 on {processor()}", "memory@16"}
        decode = found[f"decode@16 on {processor()}"]
        assert decode.value in {row.values["decode@16"] for row in rows}
        assert decode.seeds == 1
