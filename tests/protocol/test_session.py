"""Benchmarks from beginning to end: rows, resuming, failures, users' own code and data."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import madstar
from madstar.archive import Archive
from madstar.errors import ArchiveError, LayerError
from madstar.protocol import BUDGETS, LayerStack, ModelFunction, Resources, read_scores, run_plan
from madstar.protocol.api import find_architecture, make_plan
from madstar.protocol.protocols import PROTOCOLS
from madstar.protocol.worker import Training, train_group
from madstar.tasks.mechanistic import task_settings
from madstar.tasks.mechanistic.layout import write_layout

from .conftest import TINY, plan, setting
from .test_checks import own

HERE = Resources(workers=0)


def facts(home: Path, name: str) -> list[tuple[object, ...]]:
    """All of a benchmark's rows but what clocks and workers decide."""
    with Archive.open(home / "archive.sqlite", create=False) as archive:
        rows = archive.evaluations(archive.run(name).id)
    return sorted(
        (r.setting, r.point, r.seed, r.rung, r.steps, r.status, sorted(r.values.items()), r.curve)
        for r in rows
    )


def test_a_benchmark_is_trained_once_and_grows(home: Path) -> None:
    of = plan(settings=(setting(), setting("compression", length=8)))
    scores = run_plan(of, home, resources=HERE)
    assert scores.complete
    assert set(scores) == {"in-context-recall", "compression"}
    assert scores.mean == sum(scores.values()) / 2
    before = facts(home, of.run_name)
    assert run_plan(of, home, resources=HERE).rows == scores.rows
    more = run_plan(replace(of, seeds=2), home, resources=HERE)
    grown = facts(home, of.run_name)
    assert [row for row in grown if row[2] == 0] == before
    assert len(grown) == len(before) + 2
    assert all(each.seeds == 2 for task in more.tasks for each in task.settings)
    assert read_scores(of.run_name, home).to_dict() == more.to_dict()


def test_a_training_in_this_process_has_one_thread_and_gives_the_others_back(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def trained(*arguments: object) -> list[object]:
        seen.append(torch.get_num_threads())
        return train_group(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("madstar.protocol.inline.train_group", trained)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run_plan(plan(), home, resources=HERE)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert set(seen) == {1}


def test_racing_in_pieces_gives_what_training_in_one_go_gives(home: Path) -> None:
    raced, whole = plan(), plan(budget=replace(TINY, rungs=(1,)))
    ends = []
    for of in (raced, whole):
        run_plan(of, home, resources=HERE)
        rows = facts(home, of.run_name)
        ends.append({row[1]: row[6] for row in rows if row[4] == 16})
    assert ends[0].keys() <= ends[1].keys()
    assert all(ends[1][point] == values for point, values in ends[0].items())


def test_killed_at_any_moment_nothing_finished_is_lost_or_trained_twice(home: Path, tmp_path: Path) -> None:
    of = plan(budget=replace(TINY, steps=48, evaluations=3), seeds=2)
    expected = run_plan(of, tmp_path / "whole", resources=HERE)
    script = tmp_path / "go.py"
    script.write_text(
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "from pathlib import Path\nfrom dataclasses import replace\n"
        "from protocol.conftest import TINY, plan\n"
        "from madstar.protocol import Resources, run_plan\n"
        "of = plan(budget=replace(TINY, steps=48, evaluations=3), seeds=2)\n"
        "run_plan(of, Path(sys.argv[1]), resources=Resources(workers=1))\n"
    )
    tests = str(Path(__file__).parents[1])
    for rows in (1, 3):
        child = subprocess.Popen([sys.executable, str(script), str(home), tests], start_new_session=True)
        deadline = time.monotonic() + 120
        while child.poll() is None and time.monotonic() < deadline:
            if (home / "archive.sqlite").exists() and _rows(home, of.run_name) >= rows:
                break
            time.sleep(0.02)
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
    assert _rows(home, of.run_name) >= 3
    scores = run_plan(of, home, resources=HERE)
    assert scores.complete
    assert facts(home, of.run_name) == facts(tmp_path / "whole", of.run_name)
    assert dict(scores) == dict(expected)


def _rows(home: Path, name: str) -> int:
    try:
        return len(facts(home, name))
    except ArchiveError:
        return 0


@pytest.mark.parametrize(("name", "status"), [("ShortOnly", "error"), ("Sleeper", "timeout")])
def test_what_fails_in_one_setting_is_told_and_the_rest_goes_on(home: Path, name: str, status: str) -> None:
    # One worker meets what fails first; where both points hang, they do so at the same time and last.
    lengths, workers, seconds = ((32, 16), 1, 20) if status == "error" else ((16, 32), 2, 8)
    of = plan(
        architecture=LayerStack.of([own(name)], 16),
        settings=tuple(setting(length=length) for length in lengths),
        budget=replace(TINY, rungs=(1,)),
    )
    scores = run_plan(of, home, resources=Resources(workers=workers, time_limit=seconds))
    found = dict(zip(lengths, scores.tasks[0].settings, strict=True))
    good, bad = found[16], found[32]
    assert (good.failure, bad.value != bad.value) == (None, True)
    assert bad.failure is not None
    assert bad.failure.startswith(status)
    assert scores["in-context-recall"] == good.value
    assert scores.complete


def test_a_bad_architecture_leaves_nothing_behind(home: Path) -> None:
    with pytest.raises(LayerError, match="looks into the future"):
        run_plan(plan(architecture=LayerStack.of([own("Future")], 16)), home)
    assert not home.exists()


def test_a_name_that_is_taken_by_something_else(home: Path) -> None:
    run_plan(plan(budget=replace(TINY, steps=4, rungs=(1,))), home, resources=HERE, name="mine")
    with pytest.raises(ArchiveError, match="'mine' is there already and trains something else"):
        run_plan(plan(architecture=LayerStack.of(["mlp"], 32)), home, name="mine")


def test_a_model_function_by_reference_and_by_closure_score_alike(home: Path) -> None:
    from .own_layers import make_model_fn

    def closure(task: str, vocab_size: int, max_length: int) -> nn.Module:
        return make_model_fn(task, vocab_size, max_length)

    found = find_architecture(make_model_fn=own("make_model_fn"), model_id="mine")
    assert isinstance(found, ModelFunction)
    tiny = replace(TINY, steps=8, rungs=(1,))
    there = run_plan(plan(architecture=found, budget=tiny), home, resources=HERE)
    here = find_architecture(make_model_fn=closure, model_id="closure")
    assert isinstance(here, ModelFunction)
    assert here.reference == ""
    assert dict(run_plan(plan(architecture=here, budget=tiny), home)) == dict(there)


def test_the_call_that_users_of_mad_lab_know(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(BUDGETS, "quick", replace(TINY, name="quick"))
    scores = madstar.benchmark(
        make_model_fn=own("make_model_fn"),
        model_id="mine",
        settings=(setting(train_examples=16),),
        home=home,
        workers=0,
        budget="quick",
    )
    assert list(scores) == ["in-context-recall"]
    assert 0 <= scores["in-context-recall"] <= 1
    assert "mine" in repr(scores)


def test_data_in_mad_labs_layout_train_as_they_are(home: Path, tmp_path: Path) -> None:
    chosen = replace(
        task_settings("memorization")[0], vocabulary_size=32, train_examples=32, test_examples=20
    )
    write_layout(tmp_path / "data", [chosen], seed=7)
    for protocol, sequences in (("mad-lab", 20), ("sound", 10)):
        of = make_plan(
            LayerStack.of(["mlp"], 32),
            PROTOCOLS[protocol],
            replace(TINY, steps=4, rungs=(1,)),
            data=tmp_path / "data",
            seeds=1,
        )
        assert of.settings[0].vocabulary_size == 32
        assert run_plan(of, home, resources=HERE).complete
        assert of.protocol.name == protocol
        del sequences


def test_points_trained_as_one_program_score_as_they_do_alone(tmp_path: Path) -> None:
    of = plan(architecture=LayerStack.of(["mlp"], 16), budget=replace(TINY, rungs=(1,)))

    def trained(folder: str, stacked: bool) -> list[dict[str, object]]:
        asked = [
            Training(
                architecture=of.architecture.to_dict(),
                setting=of.settings[0].to_dict(),
                training=of.training(of.settings[0], point).model_dump(mode="json"),
                seed=0,
                stop=16,
                selection="valid",
                looked=16,
                scored=32,
                best_epoch=False,
                compatible=False,
                trunk=str(tmp_path / folder / f"{point}.safetensors"),
                last=True,
            )
            for point in of.points
        ]
        return train_group(asked, lambda told: None, stacked=stacked)

    for one, other in zip(trained("a", True), trained("b", False), strict=True):
        assert (one["status"], one["steps"]) == (other["status"], other["steps"]) == ("ok", 16)
        assert one["values"] == pytest.approx(other["values"], abs=1e-4)
        assert one["curve"] == other["curve"]
