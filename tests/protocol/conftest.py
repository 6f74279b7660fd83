"""Small plans, and rows as a benchmark writes them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from madstar.archive import EvaluationRow
from madstar.protocol import BUDGETS, PROTOCOLS, LayerStack, Plan
from madstar.tasks.mechanistic import Setting, find_task

TINY = replace(
    BUDGETS["quick"], steps=16, batch=8, rungs=(0.25, 0.5, 1), evaluations=4, looked=16, scored=32, warmup=2
)
LAYERS = ("mh-attention", "swiglu")


def setting(task: str = "in-context-recall", **changes: Any) -> Setting:
    """A setting that trains in no time."""
    counts = {"vocabulary_size": 16, "length": 16, "train_examples": 64}
    sizes = counts | {"test_examples": 32, "validation_examples": 32}
    return find_task(task).setting(**sizes).changed(**changes)


def plan(**changes: Any) -> Plan:
    """A plan on one setting with a sweep of two points."""
    wanted = {
        "architecture": LayerStack.of(LAYERS, 32),
        "protocol": PROTOCOLS["sound"],
        "budget": TINY,
        "settings": (setting(),),
        "seeds": 1,
        "own_settings": True,
    }
    return Plan(**(wanted | changes))


def row(
    of: Plan,
    point: int,
    rung: int,
    accuracy: float,
    *,
    seed: int = 0,
    loss: float = 1.0,
    status: str = "ok",
    test: float | None = None,
    chosen: Setting | None = None,
    steps: int | None = None,
    curve: tuple[tuple[float, float], ...] = (),
) -> EvaluationRow:
    """A training's row; with `test`, the last of its training."""
    where = chosen or of.settings[0]
    split, metric = of.protocol.selection, of.protocol.metric
    values = {f"{split}_{metric}": accuracy, f"{split}_micro": accuracy, f"{split}_loss": loss}
    if test is not None:
        values[of.protocol.test_metric] = test
    return EvaluationRow(
        id=0,
        run_id=1,
        candidate=0,
        sequence=0,
        rung=rung,
        steps=of.rungs(where)[rung] if steps is None else steps,
        tokens=0,
        seed=seed,
        status=status,
        error=None if status == "ok" else "what it said",
        values=values if status == "ok" else {},
        errors={f"{split}_micro": 0.01, "test_micro": 0.02} if status == "ok" else {},
        curve=curve,
        timings={"total": 2.0},
        worker=0,
        started_at=0.0,
        finished_at=1.0,
        stage="benchmark",
        setting=where.key,
        point=str(of.points[point]),
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A fresh home for runs."""
    return tmp_path / "runs"
