"""One evaluation in a worker process: measure, train to a rung, and score.

The worker holds no state between jobs but the data; a candidate's trunk waits on disk from rung to
rung. If it is missing the candidate trains from the start, to the same result.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..genome import Genome, Sizes
from ..liv import Backbone
from ..objectives import (
    MEASURED,
    STATIC,
    TRAINED,
    Constraint,
    Measurement,
    Objective,
    Subject,
    find_objective,
    parse_constraint,
)
from ..tasks import TextTask
from ..training import (
    DivergedError,
    Trainer,
    TrainingSettings,
    evaluate,
    load_trunk,
    make_optimizer,
    save_trunk,
    save_weights,
)
from ..training.budget import Budget

Report = Callable[[dict[str, Any]], None]
TARGET = f"{__name__}:make_handler"
TEST = "test_bits_per_byte"
_REPORT_SECONDS = 0.5


def worker_setup(
    *,
    task: Path,
    checkpoints: Path,
    sizes: Sizes,
    training: TrainingSettings,
    rungs: tuple[str, ...],
    objectives: tuple[str, ...],
    constraints: tuple[str, ...],
) -> dict[str, Any]:
    """What every worker of a run is told once, as JSON data."""
    return {
        "task": str(task),
        "checkpoints": str(checkpoints),
        "sizes": vars(sizes),
        "training": training.model_dump(mode="json"),
        "rungs": list(rungs),
        "objectives": list(objectives),
        "constraints": list(constraints),
    }


def make_handler(setup: dict[str, Any]) -> Callable[[dict[str, Any], Report], dict[str, Any]]:
    """The handler of a fresh worker process."""
    _warm_up()
    evaluator = Evaluator(
        task=TextTask.open(setup["task"]),
        checkpoints=Path(setup["checkpoints"]),
        sizes=Sizes(**setup["sizes"]),
        training=TrainingSettings(**setup["training"]),
        budgets=tuple(Budget.parse(rung) for rung in setup["rungs"]),
        objectives=tuple(find_objective(name) for name in setup["objectives"]),
        constraints=tuple(parse_constraint(text) for text in setup["constraints"]),
    )
    return evaluator.evaluate


def _warm_up() -> None:
    """Import what torch imports at its first optimizer step: seconds that are no candidate's."""
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = make_optimizer(nn.ParameterList([weight]), TrainingSettings())
    weight.square().sum().backward()
    optimizer.step()


class Evaluator:
    """Evaluates candidates of one run; its payloads are {index, genome, rung, seed, constrained}."""

    def __init__(
        self,
        *,
        task: TextTask,
        checkpoints: Path,
        sizes: Sizes,
        training: TrainingSettings,
        budgets: tuple[Budget, ...],
        objectives: tuple[Objective, ...],
        constraints: tuple[Constraint, ...],
    ) -> None:
        self.task, self.checkpoints, self.sizes = task, checkpoints, sizes
        self.training, self.budgets = training, budgets
        self.objectives, self.constraints = objectives, constraints

    def evaluate(self, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        """One evaluation: {"status": "ok", "values", "errors", "steps", "tokens", "curve", "timings"},

        or {"status": "diverged" or "infeasible", "error"}.
        """
        started = time.monotonic()
        subject = Subject(Genome.parse(payload["genome"]), self.sizes, self.training.length)
        measured = self._measure(subject, payload)
        broken = self._broken(measured) if payload["constrained"] else None
        if broken is not None:
            return {"status": "infeasible", "error": broken, **_no_training(time.monotonic() - started)}
        measuring = time.monotonic() - started
        try:
            result = self._train(subject, payload, report)
        except DivergedError as error:
            return {"status": "diverged", "error": str(error), **_no_training(measuring)}
        result["timings"]["measure"] += measuring
        values = {**measured, **self._score(subject)}
        for name, measurement in values.items():
            # One nan would take part in no comparison and so survive all of them.
            if not math.isfinite(measurement.value):
                wrong = f"objective {name} is {measurement.value}: return a finite number"
                return {"status": "error", "error": wrong, **_no_training(time.monotonic() - started)}
        result["values"] |= {name: measurement.value for name, measurement in values.items()}
        result["errors"] |= {name: m.error for name, m in values.items() if m.error}
        return result

    def _measure(self, subject: Subject, payload: dict[str, Any]) -> dict[str, Measurement]:
        """What needs no training; measured figures once, at the first rung, and kept from there on."""
        known = {name: Measurement(*pair) for name, pair in payload.get("known", {}).items()}
        wanted = {o.name: o for o in self.objectives if o.kind in (STATIC, MEASURED)}
        if payload["constrained"]:
            wanted |= {c.objective.name: c.objective for c in self.constraints}
        return known | {name: o.measure(subject) for name, o in wanted.items() if name not in known}

    def _broken(self, measured: dict[str, Measurement]) -> str | None:
        for constraint in self.constraints:
            value = measured[constraint.objective.name].value
            if not constraint.holds(value):
                return constraint.broken_by(value)
        return None

    def _train(self, subject: Subject, payload: dict[str, Any], report: Report) -> dict[str, Any]:
        begun = time.monotonic()
        seed, index = payload["seed"], payload["index"]
        trainer = Trainer(Backbone(subject.spec, seed), self.task, self.training, seed)
        trunk = self.checkpoints / f"{index}-trunk.safetensors"
        resumed = payload["rung"] > 0 and load_trunk(trainer, trunk)
        built = time.monotonic()
        trained = trainer.train_to(self.budgets[payload["rung"]], _progress(report))
        finished = time.monotonic()
        values, errors, metrics = self._qualities(trained.model, payload["rung"])
        evaluated = time.monotonic()
        if payload["rung"] + 1 < len(self.budgets):
            save_trunk(trainer, trunk)
        else:
            trunk.unlink(missing_ok=True)
        save_weights(trained.model, weights_path(self.checkpoints, index))
        assert isinstance(trained.model, Backbone)
        subject.trained = trained.model
        subject.metrics = metrics
        return {
            "status": "ok",
            "values": values,
            "errors": errors,
            "steps": trained.steps,
            "tokens": trained.tokens,
            "curve": [list(point) for point in trained.curve],
            "timings": {
                "build": built - begun,
                "train": finished - built,
                "measure": 0.0,
                "evaluate": evaluated - finished,
                "save": time.monotonic() - evaluated,
                "resumed": float(resumed),
            },
        }

    def _qualities(
        self, model: nn.Module, rung: int
    ) -> tuple[dict[str, float], dict[str, float], dict[str, Measurement]]:
        """Values and errors to keep, and the metrics that objectives may use.

        At the highest rung the test split is scored too, for the report alone: it is kept beside the
        others, and no objective and no strategy ever sees it.
        """
        settings = self.training
        measured = [("valid", "bits_per_byte")]
        if rung + 1 == len(self.budgets):
            measured.append(("test", TEST))
        values, errors, metrics = {}, {}, {}
        for split, name in measured:
            quality = evaluate(
                model, self.task, split, batch=settings.evaluation_batch, limit=settings.validation_windows
            )
            values[name], errors[name] = quality.bits_per_byte, quality.standard_error
            if split == "valid":
                values["perplexity"] = quality.perplexity
                metrics = {
                    "bits_per_byte": Measurement(quality.bits_per_byte, quality.standard_error),
                    "perplexity": Measurement(quality.perplexity),
                }
        return values, errors, metrics

    def _score(self, subject: Subject) -> dict[str, Measurement]:
        return {o.name: o.measure(subject) for o in self.objectives if o.kind == TRAINED}


def weights_path(checkpoints: Path, index: int) -> Path:
    """Where a candidate's weights lie, those of the highest rung it has reached."""
    return checkpoints / f"{index}.safetensors"


def _no_training(seconds: float) -> dict[str, Any]:
    return {
        "values": {},
        "errors": {},
        "steps": 0,
        "tokens": 0,
        "curve": [],
        "timings": {"measure": seconds},
    }


def _progress(report: Report) -> Callable[[int, int], None]:
    """Report steps at most twice a second: messages cost time that training could use."""
    last = 0.0

    def tell(step: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_SECONDS:
            last = now
            report({"step": step, "total": total})

    return tell
