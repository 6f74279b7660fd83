"""Trainings in a worker process: of an architecture on a setting, at sweep points, to a rung.

A training that is to be judged beside its rivals stops at each rung and leaves its trunk on disk. If the
trunk is missing it trains from the start, to the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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
    Evaluation,
    ExampleSettings,
    ExampleTrainer,
    load_example_trunk,
    save_example_trunk,
    together,
)
from ..training.example_settings import Accuracy
from ..workers import Report, steps_told
from .architecture import Architecture, from_dict
from .data import Source

TARGET = f"{__name__}:make_handler"
ACCURACIES: tuple[Accuracy, ...] = ("micro", "macro", "batch_macro")
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
    """The handler of a fresh worker process: {"group": [trainings]} to {"results": [outcomes]}."""
    torch.set_num_threads(int(setup.get("threads", 1)))

    def handle(payload: dict[str, Any], report: Report) -> dict[str, Any]:
        return {"results": train_group([Training(**each) for each in payload["group"]], report)}

    return handle


def train_group(
    asked: Sequence[Training],
    report: Report,
    architecture: Architecture | None = None,
    *,
    stacked: bool | None = None,
) -> list[dict[str, Any]]:
    """Train, score and keep trainings of one setting side by side: as one program on a GPU.

    Each gives {"status": "ok", "values", "errors", "steps", "tokens", "curve", "timings"}, or
    {"status": "diverged", "error", ...}. Once one of them has solved the setting all stop. `architecture`
    stands in for one that JSON cannot say; `stacked` overrides what the device decides.
    """
    began = time.monotonic()
    runs = [_prepared(each, architecture) for each in asked]
    built = time.monotonic()
    first = runs[0]
    stack = together([run.trainer for run in runs], stacked=stacked)
    look = [run.examples(run.asked.selection, run.asked.looked) for run in runs]
    kept, tell = time.monotonic(), steps_told(report)
    solved = any(_solved(run.trainer) for run in runs)
    while not solved and stack.step < first.asked.stop and len(stack.diverged) < len(runs):
        settings, examples = first.trainer.settings, len(first.trainer.targets)
        due = settings.next_evaluation(stack.step, examples)
        stack.advance_to(min(due, first.asked.stop), tell)
        for place, found in enumerate(stack.scores(look)):
            if isinstance(found, DivergedError):
                stack.diverged.setdefault(place, found)
                continue
            accuracy = found.accuracy(settings.accuracy)
            past = Evaluation(stack.step, accuracy, found.standard_error, found.loss)
            runs[place].trainer.evaluations.append(past)
            solved |= accuracy >= settings.stop_at
        if time.monotonic() - kept > _KEEP_SECONDS:
            for run, trainer in zip(runs, stack.unstack(), strict=True):
                save_example_trunk(trainer, run.trunk)
            kept = time.monotonic()
    stack.unstack()
    train_seconds = (time.monotonic() - built) / len(runs)
    timings = {"build": (built - began) / len(runs), "train": train_seconds}
    return [_finished(run, stack.diverged.get(place), timings) for place, run in enumerate(runs)]


@dataclass
class _Run:
    """One training on its way."""

    asked: Training
    source: Source
    trainer: ExampleTrainer
    resumed: bool

    @property
    def trunk(self) -> Path:
        return Path(self.asked.trunk)

    def examples(self, split: str, count: int) -> tuple[Tensor, Tensor]:
        inputs, targets = _tensors(self.source, split, self.asked.seed, self.asked.device)
        return inputs[:count], targets[:count]


def _prepared(asked: Training, architecture: Architecture | None) -> _Run:
    """The model, its data, and what was trained before."""
    setting = Setting.from_dict(asked.setting)
    source = Source(setting, asked.compatible, asked.selection == "valid", asked.data)
    model = (architecture or from_dict(asked.architecture)).build(
        setting.task, find_task(setting.task).backbone, setting.vocabulary_size, setting.length, asked.seed
    )
    trainer = ExampleTrainer(
        model,
        *_tensors(source, "train", asked.seed, asked.device),
        ExampleSettings(**asked.training),
        asked.seed,
        device=asked.device,
        identity=f"{asked.architecture} {setting.key}",
    )
    return _Run(asked, source, trainer, load_example_trunk(trainer, Path(asked.trunk)))


def _finished(run: _Run, failure: DivergedError | None, timings: dict[str, float]) -> dict[str, Any]:
    """Score a training where it stands, and keep it if it may go on."""
    began, trainer = time.monotonic(), run.trainer
    try:
        if failure is not None:
            raise failure
        values, errors = _scores(run)
    except DivergedError as error:
        run.trunk.unlink(missing_ok=True)
        return {"status": "diverged", "error": str(error), "steps": trainer.step, "timings": timings}
    scored = time.monotonic()
    if run.asked.last or _solved(trainer):
        run.trunk.unlink(missing_ok=True)
    else:
        save_example_trunk(trainer, run.trunk)
    return {
        "status": "ok",
        "values": values,
        "errors": errors,
        "steps": trainer.step,
        "tokens": trainer.step * trainer.settings.batch * run.source.setting.length,
        "curve": [[float(past.step), past.accuracy] for past in trainer.evaluations],
        "timings": timings
        | {
            "evaluate": scored - began,
            "save": time.monotonic() - scored,
            "resumed": float(run.resumed),
        },
    }


def _scores(run: _Run) -> tuple[dict[str, float], dict[str, float]]:
    """Accuracies and losses by split now; the metric of the best look where the protocol keeps that."""
    asked, trainer = run.asked, run.trainer
    over = asked.last or _solved(trainer)
    splits = dict.fromkeys((asked.selection, "test")) if over else (asked.selection,)
    values: dict[str, float] = {}
    errors: dict[str, float] = {}
    for split in splits:
        found = trainer.score(*run.examples(split, asked.scored if over else asked.looked))
        for name in ACCURACIES:
            values[f"{split}_{name}"] = found.accuracy(name)
        values[f"{split}_loss"] = found.loss
        errors[f"{split}_micro"] = found.standard_error
        errors[f"{split}_loss"] = found.loss_standard_error
    if asked.best_epoch:
        metric = f"{asked.selection}_{trainer.settings.accuracy}"
        values[metric] = max([values[metric], *(past.accuracy for past in trainer.evaluations)])
    return values, errors


def _solved(trainer: ExampleTrainer) -> bool:
    return any(past.accuracy >= trainer.settings.stop_at for past in trainer.evaluations)


@lru_cache(maxsize=_KEPT)
def _tensors(source: Source, split: str, seed: int, device: str) -> tuple[Tensor, Tensor]:
    """A split as tensors on the device; the last few are kept, for rivals train on the same."""
    examples = source.examples(split, seed)
    # Copies: arrays mapped from a file cannot be written to, which tensors do not know.
    inputs, targets = (torch.from_numpy(np.array(part)).to(device) for part in examples)
    return inputs, targets
