"""A training from start to end: validated as it goes, the best kept, resumable at any moment."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...errors import ConfigurationError
from ...graph.model import Graph
from ..transformer.config import TransformerConfig
from .checkpoint import (
    TRAINING,
    load_training,
    save_model,
    save_training,
    saved_settings,
)
from .data import TrainingData
from .settings import TrainingSettings
from .sharing import sharing
from .training import Trainer
from .validation import validate

_VALIDATIONS = 8
_TRIAL = 8
_OVERHEAD = 1.12
"""Share of the time that validation and saving add, about."""


@dataclass(frozen=True, slots=True)
class Told:
    """How far a training is: losses are running means by task, `scores` those of the last validation."""

    step: int
    steps: int
    seconds: float
    nodes: int
    losses: dict[str, float]
    scores: dict[str, float]


def train(
    data: TrainingData,
    out: Path,
    config: TransformerConfig,
    settings: TrainingSettings,
    *,
    minutes: float | None = None,
    resume: bool = False,
    told: Mapping[str, Any] | None = None,
    device: str | torch.device = "cpu",
    watcher: Callable[[Told], None] | None = None,
    save_seconds: float = 60.0,
    processes: int = 1,
    encoder: Graph | None = None,
) -> dict[str, Any]:
    """Train a transformer into a folder; returns the facts written beside the model.

    Args:
        data: What to learn from.
        out: Where the model goes, and the state of the training.
        config: The sizes.
        settings: Steps, rates and seed.
        minutes: Instead of the settings' steps as many as fit, by the time of the first few. How many they
            were is kept: a resumed training, or one with those steps, gives the same model.
        resume: Go on from where the training in `out` is; sizes, settings, minutes and encoder are those it
            has.
        told: What else is to stand beside the model, such as the split it was trained on.
        device: Where to compute; on a GPU in bfloat16.
        watcher: Told after every step.
        save_seconds: How often the state is saved.
        processes: How many share each step. The model is the same up to rounding.
        encoder: A graph to be trained in the place of the package's own encoder (`transformer.of_graph`).

    Raises:
        ConfigurationError: no minutes or processes at all, several processes where they cannot be had, or a
            graph that is no encoder of these sizes.
        DataError: nothing to resume, or another training than this.
        WorkerError: a process that shares the training has ended; it can be resumed.
    """
    if minutes is not None and not minutes > 0:
        raise ConfigurationError(f"minutes is {minutes:g}: give more than 0")
    if resume:
        config, settings, encoder = saved_settings(out)
    elif minutes is not None:
        trial = Trainer(data, config, replace(settings, steps=10_000), device, encoder)
        settings = replace(settings, steps=_steps_in(minutes, trial, processes))
    trainer = Trainer(data, config, settings, device, encoder)
    if resume:
        load_training(trainer, out)
    facts: dict[str, Any] = {}
    scores: dict[str, float] = {}
    saved = time.monotonic()

    def progress(step: int, steps: int) -> None:
        nonlocal saved
        if watcher is not None:
            watcher(Told(step, steps, trainer.seconds, trainer.nodes, trainer.losses, scores))
        if time.monotonic() - saved > save_seconds and step < steps:
            save_training(trainer, out)
            saved = time.monotonic()

    with sharing(trainer, processes):
        for until in stops(trainer.step, settings.steps):
            trainer.advance(until, progress)
            scores = validate(trainer.model, data.valid, data.views)
            # With nothing to choose by, the last is the best.
            figure = scores.get("mean", float(trainer.step))
            if trainer.best is None or figure >= trainer.best[0]:
                trainer.best = (figure, trainer.step)
                facts = _facts(trainer, scores) | dict(told or {})
                save_model(trainer.model, out, facts)
            save_training(trainer, out)
            saved = time.monotonic()
    (out / TRAINING).unlink(missing_ok=True)
    return facts or _read_facts(out)


def stops(step: int, steps: int) -> Iterable[int]:
    """The steps after this one at which is validated: the end, and eighths of the way."""
    every = max(1, -(-steps // _VALIDATIONS))
    return [at for at in (*range(every, steps, every), steps) if at > step]


def _facts(trainer: Trainer, scores: dict[str, float]) -> dict[str, Any]:
    return {
        "dataset": trainer.data.hash,
        "step": trainer.step,
        "settings": trainer.settings.to_dict(),
        "validation": {name: round(value, 6) for name, value in scores.items()},
        "parameters": trainer.model.parameter_count,
    }


def _read_facts(out: Path) -> dict[str, Any]:
    from .checkpoint import load_model

    return load_model(out)[1]


def _steps_in(minutes: float, trial: Trainer, processes: int) -> int:
    """How many steps fit, by a trial of a few; the trainer is of no other use."""
    with sharing(trial, processes):
        trial.advance(1)  # the first takes longer
        before = trial.seconds
        trial.advance(2)
        trial.advance(2 + _TRIAL, stop=lambda: trial.seconds > 6 * minutes)
    each = max(1e-4, (trial.seconds - before) / (trial.step - 1))
    return max(1, int((minutes * 60 - trial.seconds) / (each * _OVERHEAD)))
