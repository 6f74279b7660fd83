"""MAD accuracy as an objective: what a genome learns of a few synthetic tasks in a short training.

Much cheaper than the protocol (arXiv 2403.17844): one easy setting of each task, short sequences, one
learning rate, a few hundred steps. Each task is an objective by its own name, and `mad` is the mean of those
that earn their cost: docs/benchmarks.md has what they predict (`python -m benchmarks.screens --scores ...`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping

import torch
from torch import nn

from ..genome import Genome, Sizes, compile_genome
from ..liv import Backbone
from ..liv.compressed import CompressedBackbone
from ..tasks.mechanistic import AUTO_ENCODER, Setting, find_task, generate
from ..training import DivergedError, ExampleSettings, ExampleTrainer
from .objective import MEASURED, Measurement, Objective, Subject

DEFAULT_STEPS = 200
SETTINGS: Mapping[str, Mapping[str, int]] = {
    "in-context-recall": {"length": 64, "vocabulary_size": 16},
    "fuzzy-in-context-recall": {"length": 64, "vocabulary_size": 8, "key_motif": 2, "value_motif": 2},
    "noisy-in-context-recall": {"length": 64, "vocabulary_size": 32, "noise_vocabulary": 16},
    "selective-copying": {"length": 64, "vocabulary_size": 16, "tokens_to_copy": 8},
    "compression": {"length": 16, "vocabulary_size": 16},
    "memorization": {"length": 32, "vocabulary_size": 4096, "train_examples": 256},
}
"""Of each task the setting that is trained on: one that some learn in 200 steps and others do not."""
TASKS = ("compression", "memorization", "in-context-recall")
_EXAMPLES, _SCORED, _BATCH = 3200, 256, 32
_RATE, _WARMUP, _SEED = 3e-3, 20, 0


def mad(steps: int | None) -> Objective:
    """Mean accuracy on three synthetic tasks, after `steps` training steps on each."""
    return _objective("mad", f"mean accuracy on {', '.join(TASKS)}", TASKS, steps)


def task_objective(task: str) -> Callable[[int | None], Objective]:
    """What makes one task's accuracy an objective, for a number of training steps."""
    return lambda steps: _objective(task, f"accuracy on {task}", (task,), steps)


def _objective(name: str, says: str, tasks: tuple[str, ...], steps: int | None) -> Objective:
    at = steps or DEFAULT_STEPS
    return Objective(
        name if steps is None else f"{name}@{steps}",
        "max",
        "accuracy",
        MEASURED,
        f"{says} after {at} training steps{' on each' if len(tasks) > 1 else ''}, one short setting",
        lambda subject: measure(subject, tasks, at),
    )


def measure(subject: Subject, tasks: tuple[str, ...], steps: int) -> Measurement:
    """The mean score, a function of genome and sizes alone. A training that diverges scores 0 on its task."""
    found = [_trained(subject.genome, subject.sizes, task, steps) for task in tasks]
    error = math.sqrt(sum(each.error**2 for each in found)) / len(found)
    return Measurement(statistics.fmean(each.value for each in found), error)


def setting(task: str) -> Setting:
    """The setting of a task that is trained on."""
    counts = {"train_examples": _EXAMPLES, "test_examples": _SCORED, "validation_examples": _SCORED}
    return find_task(task).setting(**{**counts, **SETTINGS[task]})


def _trained(genome: Genome, sizes: Sizes, task: str, steps: int) -> Measurement:
    chosen = setting(task)
    model = _model(genome, sizes, chosen)
    train, valid = (generate(chosen, split, _SEED) for split in ("train", "valid"))
    settings = ExampleSettings(
        batch=_BATCH,
        epochs=None,
        max_steps=steps,
        learning_rate=_RATE,
        weight_decay=0.1,
        schedule="cosine",
        warmup=min(_WARMUP, steps // 4),
        clip=1.0,
    )
    trainer = ExampleTrainer(model, *train, settings, _SEED)
    try:
        trainer.advance_to(steps)
        found = trainer.score(*(torch.as_tensor(part) for part in valid))
    except DivergedError:
        return Measurement(0.0, 0.0)
    return Measurement(found.micro, found.standard_error)


def _model(genome: Genome, sizes: Sizes, chosen: Setting) -> nn.Module:
    own = Sizes(
        vocabulary_size=chosen.vocabulary_size,
        width=sizes.width,
        heads=sizes.heads,
        window=sizes.window,
        embedding_std=sizes.embedding_std,
        residual_scale=sizes.residual_scale,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(_SEED)
        backbone = Backbone(compile_genome(genome, own), _SEED)
        if find_task(chosen.task).backbone == AUTO_ENCODER:
            return CompressedBackbone(backbone, chosen.length)
    return backbone
