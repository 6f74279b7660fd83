"""MAD accuracy as an objective: what a genome learns of a few synthetic tasks in a short training.

Much cheaper than the protocol (arXiv 2403.17844): one easy setting of each task, short sequences, one
learning rate, a few hundred steps. What these scores predict is measured by
`python -m benchmarks.proxy`; docs/benchmarks.md says which tasks earn their cost.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

import torch
from torch import nn

from ..genome import Genome, Sizes, compile_genome
from ..liv import Backbone
from ..liv.compressed import CompressedBackbone
from ..tasks.mechanistic import AUTO_ENCODER, Setting, find_task, generate
from ..training import DivergedError, ExampleSettings, ExampleTrainer
from .objective import MEASURED, Measurement, Objective, Subject

DEFAULT_STEPS = 200
TASKS = ("in-context-recall", "selective-copying", "compression", "memorization")
_LENGTH, _VOCABULARY, _EXAMPLES, _SCORED, _BATCH = 64, 16, 3200, 256, 32
_RATE, _WARMUP, _SEED = 3e-3, 20, 0


@dataclass(frozen=True)
class _Task:
    """One task's part of the score."""

    accuracy: float
    error: float


def mad(steps: int | None) -> Objective:
    """Mean accuracy on four synthetic tasks, after `steps` training steps on each."""
    at = steps or DEFAULT_STEPS
    return Objective(
        "mad" if steps is None else f"mad@{steps}",
        "max",
        "accuracy",
        MEASURED,
        f"mean accuracy on {', '.join(TASKS)} at length {_LENGTH}, after {at} training steps on each",
        lambda subject: measure(subject, at),
    )


def measure(subject: Subject, steps: int) -> Measurement:
    """The score, a function of genome and sizes alone. A training that diverges scores 0 on its task."""
    found = [_trained(subject.genome, subject.sizes, task, steps) for task in TASKS]
    error = math.sqrt(sum(each.error**2 for each in found)) / len(found)
    return Measurement(statistics.fmean(each.accuracy for each in found), error)


def setting(task: str) -> Setting:
    """The setting of a task that is trained on."""
    counts = {
        "train_examples": _EXAMPLES,
        "test_examples": _SCORED,
        "validation_examples": _SCORED,
        "vocabulary_size": _VOCABULARY,
        "length": _LENGTH,
    }
    if task == "memorization":
        counts |= {"vocabulary_size": 128, "train_examples": 256}
    if task == "selective-copying":
        return find_task(task).setting(**counts, tokens_to_copy=8)
    return find_task(task).setting(**counts)


def _trained(genome: Genome, sizes: Sizes, task: str, steps: int) -> _Task:
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
        return _Task(0.0, 0.0)
    return _Task(found.micro, found.standard_error)


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
