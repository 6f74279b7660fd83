"""Searches with real workers, training real (tiny) models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

import madstar
from madstar.archive import Archive
from madstar.errors import ArchiveError, ConfigurationError, ObjectiveError
from madstar.liv import cost
from madstar.search import Run, make_settings, resume
from madstar.search.run import ARCHIVE_NAME
from madstar.search.summary import RunSummary
from madstar.tasks import TextTask
from madstar.training import evaluate

from .killing import search_until_killed

TIMED = {"timings", "started_at", "finished_at", "id", "proposed_at", "run_id"}


def facts(summary: RunSummary) -> list[dict]:
    """Everything of a run's rows but clocks and database ids."""
    return [
        {key: value for key, value in vars(row).items() if key not in TIMED}
        for row in (*summary.candidates, *summary.evaluations)
    ]


@pytest.fixture(scope="module")
def finished(tiny: dict, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return madstar.search(
        **{**tiny, "workers": 2},
        objectives=["quality", "cache@64", "parameters"],
        constraints=("params<=20000",),
        candidates=8,
        home=tmp_path_factory.mktemp("home"),
        name="finished",
    )


def test_a_finished_run_has_what_was_asked_for(finished: Run) -> None:
    summary = finished.summary()
    assert summary.run.status == "finished"
    searched = [c for c in summary.candidates if c.role == "search" and c.status == "pending"]
    assert len(searched) == 8
    assert summary.rung == 1
    assert summary.front
    assert {e.candidate.name for e in summary.baselines} == {
        "Transformer++",
        "Transformer++ GQA",
        "recurrence-attention hybrid",
        "convolution-attention hybrid",
    }
    assert all(e.rung == 1 and e.evaluation.steps == 4 for e in (*summary.front, *summary.baselines))
    assert all(c.values["parameters"] <= 20000 for c in searched)
    assert not summary.failed
    assert len({c.architecture for c in searched}) == 8


def test_the_front_is_not_dominated_and_hypervolume_never_falls(finished: Run) -> None:
    summary = finished.summary()
    names = [o.name for o in summary.objectives]
    points = {e.index: [e.values[n] for n in names] for e in summary.entries if e.rung == summary.rung}
    for entry in summary.front:
        mine = points[entry.index]
        for index, other in points.items():
            if summary.candidates[index].role == "search":
                better = all(b <= a for a, b in zip(mine, other, strict=True)) and mine != other
                assert not better
    volumes = [volume for _, volume in summary.hypervolumes]
    assert volumes == sorted(volumes)
    assert volumes[-1] > 0


def test_the_weights_kept_are_those_that_were_scored(finished: Run) -> None:
    task = TextTask.open(finished.task_directory)
    for member in (*finished.front, *finished.baselines):
        model = member.build()
        # Of a finalist that was trained again, the weights are those of its first training.
        kept = member.entry.evaluation.values
        assert evaluate(model, task, "valid", batch=16, limit=8).bits_per_byte == pytest.approx(
            kept["bits_per_byte"], abs=1e-5
        )
        assert evaluate(model, task, "test", batch=16, limit=8).bits_per_byte == pytest.approx(
            kept["test_bits_per_byte"], abs=1e-5
        )
        assert kept["parameters"] == sum(p.numel() for p in model.parameters())
        assert kept["cache@64"] == cost(model.spec, 64).cache_bytes
        fresh = member.build(trained=False)
        assert not torch.equal(fresh.embedding.weight, model.embedding.weight)


def test_the_document_has_the_promised_keys(finished: Run) -> None:
    document = finished.summary().to_dict()
    assert {
        "run",
        "evaluations",
        "failed",
        "front",
        "baselines",
        "hypervolume",
        "offspring_validity",
    } <= document.keys()
    assert {"valid", "repaired", "rejected"} <= document["offspring_validity"].keys()


def test_entries_are_found_by_number_name_and_genome(finished: Run) -> None:
    best = finished.entry()
    assert finished.entry(str(best.entry.index)).genome == best.genome
    assert finished.entry(str(best.genome)).entry.index == best.entry.index
    assert finished.entry("Transformer++").entry.candidate.role == "baseline"
    with pytest.raises(ArchiveError, match="nobody"):
        finished.entry("nobody")


def test_generational_runs_repeat_bit_for_bit_and_resume_exactly(tiny: dict, tmp_path: Path) -> None:
    chosen = {**tiny, "mode": "generational", "generations": 3, "seed": 5, "minutes": None}
    whole = madstar.search(**chosen, home=tmp_path / "whole", name="run").summary()
    assert max(c.generation for c in whole.candidates) == 2
    assert any(row.rung == 1 for row in whole.evaluations)

    # The same run, its coordinator killed twice without warning.
    home = tmp_path / "killed"
    search_until_killed(home, 3, chosen)
    search_until_killed(home, 4)
    resumed = resume("run", home=home).summary()
    assert resumed.run.status == "finished"
    assert facts(resumed) == facts(whole)


def test_impossible_constraints_say_how_many_were_feasible(tiny: dict, tmp_path: Path) -> None:
    with pytest.raises(ObjectiveError, match=r"0 of 200 sampled genomes.*ran from"):
        madstar.search(**tiny, constraints=("params<=10",), candidates=1, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_a_run_goes_on_with_the_data_it_began_with_or_not_at_all(tiny: dict, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_text(Path(tiny["data"]).read_text())
    chosen = {**tiny, "data": str(copy), "baselines": False}
    madstar.search(**chosen, candidates=1, home=tmp_path / "home", name="run")
    copy.write_text(copy.read_text() + "More text at the end, which moves the split. " * 400)
    # What was prepared is still there, so the run goes on with the data it began with ...
    assert resume("run", home=tmp_path / "home").summary().run.status == "finished"
    # ... until another run prepares the same source anew.
    madstar.search(**chosen, candidates=1, home=tmp_path / "home", name="other")
    with pytest.raises(ArchiveError, match="changed"):
        resume("run", home=tmp_path / "home")


def test_settings_refuse_before_anything_is_written(tiny: dict, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        madstar.search(**tiny, minutes=0, home=tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_workers_die_with_a_killed_coordinator(tiny: dict, tmp_path: Path) -> None:
    settings = make_settings(**{**tiny, "rungs": ("5000",), "minutes": 5.0})
    script = (
        "import sys, json; from madstar.search import begin, make_settings; "
        "begin(make_settings(**json.loads(sys.argv[1])), home=sys.argv[2])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, settings.model_dump_json(), str(tmp_path / "home")]
    )
    try:
        process, workers = psutil.Process(child.pid), []
        while not workers or not _training(tmp_path / "home"):
            time.sleep(0.2)
            workers = process.children(recursive=True)
            assert child.poll() is None
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        gone, alive = psutil.wait_procs(workers, timeout=10)
        assert not alive
        assert gone
    finally:
        child.kill()


def _training(home: Path) -> bool:
    if not (home / ARCHIVE_NAME).exists():
        return False
    with Archive.open(home / ARCHIVE_NAME) as archive:
        return bool(archive.runs()) and bool(archive.candidates(1))
