"""One training in a worker process: of an architecture on a setting, at a sweep point, to a rung.

A training that is to be judged beside its rivals stops at each rung and leaves its trunk on disk. If the
trunk is missing it trains from the start, to the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..tasks.mechanistic import Setting, find_task
from ..training import (
    DivergedError,
    ExampleSettings,
    ExampleTrainer,
    evaluations,
    load_example_trunk,
    save_example_trunk,
)
from ..training.example_settings import Accuracy
from .architecture import Architecture, from_dict
from .data import Source

Report = Callable[[dict[str, Any]], None]
TARGET = f"{__name__}:make_handler"
ACCURACIES: tuple[Accuracy, ...] = ("micro", "macro", "batch_macro")
_REPORT_SECONDS = 0.5
_KEEP_SECONDS = 60.0
_KEPT = 3


@dataclass(frozen=True)
class Training:
    """What a worker is asked for.

    Training goes to step `stop`, the rung's. `training` are the `ExampleSettings`. On the way the first
    `looked` examples of the split `selection` are scored, at the end (where `last` says that no rung
    follows, or the setting is solved) the first `scored` of it and of the test split. `best_epoch` says
    that the best of the looks is the score. `trunk` is where the training is kept.
    """

    architecture: dict[str, Any]
    setting: dict[str, Any]
    training: dict[str, Any]
    seed: int
    stop: int
    selection: str
    looked: int
    scored: int
    best_epoch: bool
    compatible: bool
    trunk: str
    last: bool
    data: str | None = None
    device: str = "cpu"

    def to_dict(self) -> dict[str, Any]:
        """JSON data."""
        return asdict(self)


def make_handler(setup: dict[str, Any]) -> Callable[[dict[str, Any], Report], dict[str, Any]]:
    """The handler of a fresh worker process."""
    torch.set_num_threads(int(setup.get("threads", 1)))

    def handle(payload: dict[str, Any], report: Report) -> dict[str, Any]:
        return train(Training(**payload), report)

    return handle


def train(asked: Training, report: Report, architecture: Architecture | None = None) -> dict[str, Any]:
    """Train, score, keep: {"status": "ok", "values", "errors", "steps", "tokens", "curve", "timings"},

    or {"status": "diverged", "error"}. `architecture` stands in for one that JSON cannot say.
    """
    began = time.monotonic()
    setting = Setting.from_dict(asked.setting)
    settings = ExampleSettings(**asked.training)
    source = Source(setting, asked.compatible, asked.selection == "valid", asked.data)
    model = (architecture or from_dict(asked.architecture)).build(
        setting.task, find_task(setting.task).backbone, setting.vocabulary_size, setting.length, asked.seed
    )
    inputs, targets = _tensors(source, "train", asked.seed)
    identity = f"{asked.architecture} {setting.key}"
    trainer = ExampleTrainer(
        model, inputs, targets, settings, asked.seed, device=asked.device, identity=identity
    )
    trunk = Path(asked.trunk)
    resumed = load_example_trunk(trainer, trunk)
    built = time.monotonic()
    try:
        _advance(trainer, asked, source, report)
        trained = time.monotonic()
        values, errors = _scores(trainer, source, asked)
    except DivergedError as error:
        trunk.unlink(missing_ok=True)
        return {"status": "diverged", "error": str(error), "steps": trainer.step, "timings": {"build": 0.0}}
    scored = time.monotonic()
    if asked.last or _solved(trainer):
        trunk.unlink(missing_ok=True)
    else:
        save_example_trunk(trainer, trunk)
    return {
        "status": "ok",
        "values": values,
        "errors": errors,
        "steps": trainer.step,
        "tokens": trainer.step * settings.batch * setting.length,
        "curve": [[float(past.step), past.accuracy] for past in trainer.evaluations],
        "timings": {
            "build": built - began,
            "train": trained - built,
            "evaluate": scored - trained,
            "save": time.monotonic() - scored,
            "resumed": float(resumed),
        },
    }


def _advance(trainer: ExampleTrainer, asked: Training, source: Source, report: Report) -> None:
    """Train to the stop with looks on the way; what took minutes is kept on disk meanwhile."""
    inputs, targets = _tensors(source, asked.selection, asked.seed)
    kept = time.monotonic()
    looks = evaluations(
        trainer, inputs[: asked.looked], targets[: asked.looked], until=asked.stop, progress=_progress(report)
    )
    for _ in looks:
        if time.monotonic() - kept > _KEEP_SECONDS:
            save_example_trunk(trainer, Path(asked.trunk))
            kept = time.monotonic()


def _scores(
    trainer: ExampleTrainer, source: Source, asked: Training
) -> tuple[dict[str, float], dict[str, float]]:
    """Accuracies and losses by split now; the metric of the best look where the protocol keeps that."""
    over = asked.last or _solved(trainer)
    splits = dict.fromkeys((asked.selection, "test")) if over else (asked.selection,)
    values: dict[str, float] = {}
    errors: dict[str, float] = {}
    for split in splits:
        examples = asked.scored if over else asked.looked
        inputs, targets = _tensors(source, split, asked.seed)
        found = trainer.score(inputs[:examples], targets[:examples])
        for name in ACCURACIES:
            values[f"{split}_{name}"] = found.accuracy(name)
        values[f"{split}_loss"] = found.loss
        errors[f"{split}_micro"] = found.standard_error
        errors[f"{split}_loss"] = found.loss_standard_error
    if asked.best_epoch:
        best = max(past.accuracy for past in trainer.evaluations)
        metric = f"{asked.selection}_{trainer.settings.accuracy}"
        values[metric] = max(values[metric], best)
    return values, errors


def _solved(trainer: ExampleTrainer) -> bool:
    return any(past.accuracy >= trainer.settings.stop_at for past in trainer.evaluations)


@lru_cache(maxsize=_KEPT)
def _tensors(source: Source, split: str, seed: int) -> tuple[Tensor, Tensor]:
    """A split as tensors; the last few are kept, for rivals train on the same."""
    examples = source.examples(split, seed)
    # Copies: arrays mapped from a file cannot be written to, which tensors do not know.
    return torch.from_numpy(np.array(examples.inputs)), torch.from_numpy(np.array(examples.targets))


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
