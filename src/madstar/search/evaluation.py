"""One evaluation in a worker process: measure, train to a rung, and score.

The worker holds no state between jobs but the data; a candidate's trunk waits on disk from rung to
rung. If it is missing the candidate trains from the start, to the same result. Repeats and validations
always train from the start, and neither read nor write a trunk.
"""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
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
    first_step,
    load_trunk,
    save_trunk,
    save_weights,
)
from ..training.budget import Budget
from ..workers import Report, steps_told

TARGET = f"{__name__}:make_handler"
TEST = "test_bits_per_byte"
SEARCH, REPEAT, VALIDATION = "search", "repeat", "validation"
FULL = "full"
"""The status of an evaluation that could not write its files: the disk's fault, not the candidate's."""
# Test windows that a validation scores: so many that only another seed moves the figure.
_VALIDATION_TEST_WINDOWS = 2048
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


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
    first_step()
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


class Evaluator:
    """Evaluates candidates of one run.

    A payload is {index, genome, rung, seed, constrained}, and may have `known` figures. `stage` is
    "search" where it is missing; a "repeat" or "validation" trains from scratch. `budget` is a budget's
    text, the rung's where it is missing. A validation with `save` keeps its weights, in the file that
    `validated_weights_path` names.
    """

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

        or {"status": "diverged", "infeasible" or "error", "error"}; {"status": "full"} where the disk is.
        """
        started = time.monotonic()
        try:
            return self._evaluate(payload, report, started)
        except (OSError, SafetensorError) as error:
            if not is_disk_full(error):
                raise
            told = f"{self.checkpoints} cannot be written to (the disk is full)"
            return {"status": FULL, "error": told, **_no_training(time.monotonic() - started)}

    def _evaluate(self, payload: dict[str, Any], report: Report, started: float) -> dict[str, Any]:
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
        seed, stage = payload["seed"], payload.get("stage", SEARCH)
        trainer = Trainer(Backbone(subject.spec, seed), self.task, self.training, seed)
        resumed = stage == SEARCH and payload["rung"] > 0 and load_trunk(trainer, self._trunk(payload))
        built = time.monotonic()
        trained = trainer.train_to(self._budget(payload), steps_told(report))
        finished = time.monotonic()
        values, errors, metrics = self._qualities(trained.model, payload["rung"], stage)
        evaluated = time.monotonic()
        self._save(trainer, trained.model, payload, stage)
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

    def _trunk(self, payload: dict[str, Any]) -> Path:
        return self.checkpoints / f"{payload['index']}-trunk.safetensors"

    def _budget(self, payload: dict[str, Any]) -> Budget:
        text = payload.get("budget")
        return self.budgets[payload["rung"]] if text is None else Budget.parse(text)

    def _save(self, trainer: Trainer, model: nn.Module, payload: dict[str, Any], stage: str) -> None:
        """Keep the trunk for the next rung, and the decayed weights; of other stages those asked for."""
        index, rung = payload["index"], payload["rung"]
        if stage == SEARCH:
            if rung + 1 < len(self.budgets):
                save_trunk(trainer, self._trunk(payload))
            else:
                self._trunk(payload).unlink(missing_ok=True)
            save_weights(model, weights_path(self.checkpoints, index))
        elif stage == VALIDATION and payload.get("save"):
            save_weights(model, validated_weights_path(self.checkpoints, index, rung))

    def _qualities(
        self, model: nn.Module, rung: int, stage: str
    ) -> tuple[dict[str, float], dict[str, float], dict[str, Measurement]]:
        """Values and errors to keep, and the metrics that objectives may use.

        At the highest rung, in a repeat and in a validation the test split is scored too, for the report
        alone: it is kept beside the others, and no objective and no strategy ever sees it.
        """
        settings = self.training
        limits = {"valid": settings.validation_windows}
        if stage != SEARCH or rung + 1 == len(self.budgets):
            limits["test"] = settings.validation_windows
        if stage == VALIDATION:
            limits["test"] = max(settings.validation_windows, _VALIDATION_TEST_WINDOWS)
        values, errors, metrics = {}, {}, {}
        for split, limit in limits.items():
            name = TEST if split == "test" else "bits_per_byte"
            quality = evaluate(model, self.task, split, batch=settings.evaluation_batch, limit=limit)
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


def validated_weights_path(checkpoints: Path, index: int, number: int) -> Path:
    """Where a candidate's weights lie after the first seed of a run's validation of that number."""
    return checkpoints / f"{index}-validation-{number}.safetensors"


def is_disk_full(error: BaseException) -> bool:
    """Whether an error says that there is no room left, or no more of it for this user."""
    if isinstance(error, OSError):
        return error.errno in _NO_ROOM
    # safetensors writes in Rust, and says the number in words.
    return isinstance(error, SafetensorError) and any(
        f"os error {number})" in str(error) or f"code: {number}," in str(error) for number in _NO_ROOM
    )


def _no_training(seconds: float) -> dict[str, Any]:
    return {
        "values": {},
        "errors": {},
        "steps": 0,
        "tokens": 0,
        "curve": [],
        "timings": {"measure": seconds},
    }
