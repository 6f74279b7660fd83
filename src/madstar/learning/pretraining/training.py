"""The training itself: every step a few graphs, each asked one of the tasks, in parts of like size.

What a step draws is a function of seed and step, and so is dropout: a training that is resumed from its
checkpoint goes on exactly as it would have. One seed gives one result on one kind of machine, number of
threads and of processes; with another number of processes it is the same up to rounding.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Protocol

import torch
from torch import nn

from ...graph.model import Graph
from ..transformer.config import TransformerConfig
from ..transformer.model import GraphTransformer
from .data import TrainingData, class_weights
from .losses import TRAINED, WEIGHTS, Sums, local_loss, sums_of_losses
from .questions import Question
from .settings import TrainingSettings
from .steps import Draws, Piece, shared_out

Losses = dict[str, tuple[float, float]]
"""By task a sum of losses, and what it is a sum over."""


class Others(Protocol):
    """Who works out the rest of a step's gradients (`sharing.py`)."""

    of: int

    def begin(self, step: int) -> None:
        """Let them begin."""

    def added(self) -> list[Losses]:
        """Wait for them and add their gradients to the model's."""


class Trainer:
    """A transformer, its optimizer and how far it is. `advance` trains; nothing else changes it."""

    def __init__(
        self,
        data: TrainingData,
        config: TransformerConfig,
        settings: TrainingSettings,
        device: torch.device | str = "cpu",
        encoder: Graph | None = None,
    ) -> None:
        self.data, self.settings, self.device = data, settings, torch.device(device)
        self.draws = Draws(data, settings)
        self.others: Others | None = None
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.model = GraphTransformer(config, data.table, data.classes, encoder).to(self.device)
        self.optimizer = optimizer_of(self.model, settings)
        self.step, self.seconds, self.nodes = 0, 0.0, 0
        self.losses: dict[str, float] = {}
        self.best: tuple[float, int] | None = None
        self._class_weights = torch.as_tensor(class_weights(data), device=self.device)

    def advance(
        self,
        until: int,
        progress: Callable[[int, int], None] | None = None,
        stop: Callable[[], bool] | None = None,
    ) -> None:
        """Train up to a step; `progress` is told steps done and in all, `stop` ends it early if true."""
        while self.step < min(until, self.settings.steps) and not (stop is not None and stop()):
            begun = time.monotonic()
            self._one()
            self.seconds += time.monotonic() - begun
            if progress is not None:
                progress(self.step, self.settings.steps)

    def _one(self) -> None:
        others = self.others
        if others is not None:
            others.begin(self.step)
        pieces = self.draws.pieces(self.step)
        losses = [self.learn(self.step, pieces, 0, 1 if others is None else others.of)]
        if others is not None:
            losses += others.added()
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.learning_rate * self._rate()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        self.step += 1
        self.nodes += sum(len(q.features) for piece in pieces if not piece.nearby for q in piece.questions)
        self._tell(losses)

    def learn(self, step: int, pieces: list[Piece], share: int, of: int) -> Losses:
        """Leave the gradients of one of `of` shares of a step in the parameters; the sums of losses.

        The sum of the gradients of all shares is that of the step.
        """
        self.model.train()
        asked = [question for piece in pieces if not piece.nearby for question in piece.questions]
        counts = {task: _weight(asked, task) for task in TRAINED}
        self.optimizer.zero_grad(set_to_none=True)
        told: Losses = {}
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            for piece in shared_out(pieces, of)[share]:
                torch.manual_seed(((self.settings.seed * 1_000_003 + step) * 4096 + piece.number) % (1 << 62))
                if piece.nearby:
                    task = piece.questions[0].task
                    (WEIGHTS[task] * local_loss(self.model, piece.questions)).backward()
                    continue
                sums = sums_of_losses(self.model, piece.questions, self._class_weights, half=bool(gpus))
                self._backward(sums, counts, told)
        return told

    @staticmethod
    def _backward(sums: Sums, counts: dict[str, float], told: Losses) -> None:
        whole = None
        for task, loss in sums.loss.items():
            part = WEIGHTS[task] * loss / max(counts[task], 1e-9)
            whole = part if whole is None else whole + part
            before = told.get(task, (0.0, 0.0))
            told[task] = before[0] + float(loss.detach()), before[1] + sums.count[task]
        if whole is not None and whole.requires_grad:
            whole.backward()

    def _tell(self, losses: list[Losses]) -> None:
        """Count a step's losses in to the running means."""
        for task in TRAINED:
            found = [each[task] for each in losses if task in each]
            if found:
                mean = sum(loss for loss, _ in found) / max(sum(count for _, count in found), 1e-9)
                self.losses[task] = 0.98 * self.losses[task] + 0.02 * mean if task in self.losses else mean

    def _rate(self) -> float:
        """Linear up, then the half of a cosine down to nothing."""
        settings = self.settings
        warm = min(1.0, (self.step + 1) / max(1, settings.warmup))
        return warm * 0.5 * (1 + math.cos(math.pi * self.step / settings.steps))


def _weight(asked: list[Question], task: str) -> float:
    """About what the sums of a task's losses are divided by, the same however a step is cut into groups."""
    found = [question for question in asked if question.task == task]
    if task == "operation":
        return float(sum(len(q.asked) ** 0.5 for q in found))
    if task == "link":
        return float(sum((q.answers >= 0).sum() for q in found))
    return float(len(found))


def optimizer_of(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW for what is trained, without decay on vectors and biases of pairs."""
    trained = [p for p in model.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim >= 2 and p.shape[-1] > 1]
    others = [p for p in trained if not (p.ndim >= 2 and p.shape[-1] > 1)]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)
