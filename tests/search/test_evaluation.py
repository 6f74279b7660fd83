"""One evaluation: what each stage trains, scores, reads and writes, and a disk that is full."""

from __future__ import annotations

import errno
import math
from pathlib import Path
from typing import Any

import pytest
from safetensors import SafetensorError

from madstar.genome import Genome, Sizes
from madstar.liv import Backbone
from madstar.objectives import find_objective, parse_constraint
from madstar.search import evaluation
from madstar.search.evaluation import TEST, Evaluator, validated_weights_path, weights_path
from madstar.tasks import TextTask, prepare_text
from madstar.training import Budget, Trainer, TrainingSettings, evaluate, load_weights

GENOME = "71111-91111"
TRAINING = TrainingSettings(length=32, batch=2, warmup=2, validation_windows=8)
FRESH = {"index": 4, "genome": GENOME, "rung": 1, "seed": 5, "constrained": False}


@pytest.fixture(scope="module")
def task(text: Path, tmp_path_factory: pytest.TempPathFactory) -> TextTask:
    return prepare_text(str(text), directory=tmp_path_factory.mktemp("task") / "data", length=TRAINING.length)


@pytest.fixture
def evaluator(task: TextTask, tmp_path: Path) -> Evaluator:
    return Evaluator(
        task=task,
        checkpoints=tmp_path,
        sizes=Sizes(vocabulary_size=task.vocabulary_size, width=16, heads=4, window=8),
        training=TRAINING,
        budgets=(Budget.parse("3"), Budget.parse("6"), Budget.parse("9")),
        objectives=(find_objective("quality"), find_objective("cache@64")),
        constraints=(parse_constraint("params<=10"),),
    )


def run(evaluator: Evaluator, **changes: Any) -> dict[str, Any]:
    return evaluator.evaluate({**FRESH, **changes}, lambda report: None)


def alone(evaluator: Evaluator, budget: str, seed: int) -> Backbone:
    """The model that training from scratch gives, without any of the evaluator's ways."""
    spec_model = Genome.parse(GENOME).build(evaluator.sizes, seed)
    trained = Trainer(spec_model, evaluator.task, TRAINING, seed).train_to(Budget.parse(budget))
    assert isinstance(trained.model, Backbone)
    return trained.model


def files(evaluator: Evaluator) -> set[str]:
    return {path.name for path in evaluator.checkpoints.iterdir()}


def test_a_search_climbs_on_its_trunk_as_before(evaluator: Evaluator) -> None:
    first = run(evaluator, rung=0)
    assert (first["status"], first["steps"], TEST in first["values"]) == ("ok", 3, False)
    assert files(evaluator) == {"4-trunk.safetensors", "4.safetensors"}
    second = run(evaluator, rung=1)
    assert second["timings"]["resumed"] == 1
    top = run(evaluator, rung=2)
    assert (top["steps"], top["timings"]["resumed"], TEST in top["values"]) == (9, 1, True)
    assert files(evaluator) == {"4.safetensors"}


@pytest.mark.parametrize("stage", ["repeat", "validation"])
def test_a_fresh_stage_neither_reads_nor_writes_what_the_search_keeps(
    evaluator: Evaluator, stage: str
) -> None:
    run(evaluator, rung=0)
    before = {path: path.read_bytes() for path in evaluator.checkpoints.iterdir()}
    result = run(evaluator, stage=stage)
    assert (result["status"], result["steps"], result["timings"]["resumed"]) == ("ok", 6, 0)
    assert {path: path.read_bytes() for path in evaluator.checkpoints.iterdir()} == before


@pytest.mark.parametrize(("stage", "limit"), [("repeat", 8), ("validation", None)])
def test_a_fresh_stage_is_training_alone_to_its_budget(
    evaluator: Evaluator, stage: str, limit: int | None
) -> None:
    result = run(evaluator, stage=stage, budget="11", seed=1003)
    assert (result["steps"], result["tokens"]) == (11, 11 * 64)
    model = alone(evaluator, "11", 1003)
    assert evaluator.task.window_count("test") > 8
    for split, name, most in (("valid", "bits_per_byte", 8), ("test", TEST, limit)):
        expected = evaluate(model, evaluator.task, split, batch=4, limit=most)
        assert result["values"][name] == pytest.approx(expected.bits_per_byte, abs=1e-6)
        assert result["errors"][name] == pytest.approx(expected.standard_error, abs=1e-6)
        assert math.isfinite(expected.standard_error)
    assert result["values"]["quality"] == result["values"]["bits_per_byte"]
    assert result["values"]["cache@64"] > 0


def test_a_validation_scores_more_test_windows_than_validation_windows(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: dict[str, int] = {}

    def watched(model: Any, task: Any, split: str, *, batch: int, limit: int) -> Any:
        limits[split] = limit
        return evaluate(model, task, split, batch=batch, limit=limit)

    monkeypatch.setattr(evaluation, "evaluate", watched)
    run(evaluator, stage="validation")
    assert limits["valid"] == 8
    assert limits["test"] >= 1000
    run(evaluator, stage="repeat")
    assert limits == {"valid": 8, "test": 8}


def test_a_validation_keeps_the_weights_it_is_asked_to(evaluator: Evaluator) -> None:
    run(evaluator, stage="validation", budget="7", seed=1001)
    run(evaluator, stage="repeat", save=True)
    assert files(evaluator) == set()
    result = run(evaluator, stage="validation", budget="7", seed=1000, save=True)
    path = validated_weights_path(evaluator.checkpoints, 4, 1)
    assert files(evaluator) == {path.name} == {"4-validation-1.safetensors"}
    model = Genome.parse(GENOME).build(evaluator.sizes, 0)
    load_weights(model, path)
    quality = evaluate(model, evaluator.task, "test", batch=4)
    assert quality.bits_per_byte == pytest.approx(result["values"][TEST], abs=1e-6)


def test_only_a_search_is_held_to_constraints(evaluator: Evaluator) -> None:
    assert run(evaluator, rung=0, constrained=True)["status"] == "infeasible"
    assert run(evaluator, stage="validation")["status"] == "ok"


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, "No space left on device"),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
        SafetensorError('IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })'),
    ],
)
@pytest.mark.parametrize("stage", ["search", "validation"])
def test_a_full_disk_is_not_the_candidates_failure(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, error: Exception, stage: str
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(evaluation, "save_weights", fail)
    result = run(evaluator, rung=2, stage=stage, save=True)
    assert result["status"] == "full"
    assert result["error"] == f"{evaluator.checkpoints} cannot be written to (the disk is full)"


@pytest.mark.parametrize("error", [PermissionError(errno.EACCES, "no"), SafetensorError("bad (os error 13)")])
def test_other_errors_of_writing_are_raised_on(
    evaluator: Evaluator, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*arguments: Any) -> None:
        raise error

    monkeypatch.setattr(evaluation, "save_weights", fail)
    with pytest.raises(type(error)):
        run(evaluator, rung=2)


def test_weights_of_stages_have_names_of_their_own(tmp_path: Path) -> None:
    assert weights_path(tmp_path, 4) != validated_weights_path(tmp_path, 4, 0)
    assert validated_weights_path(tmp_path, 4, 0) != validated_weights_path(tmp_path, 4, 1)
