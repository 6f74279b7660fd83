"""The training itself: every step a few graphs, each asked one of the tasks, in parts of like size.

What a step draws is a function of seed and step, and so is dropout: a training that is resumed from its
checkpoint goes on exactly as it would have. One seed gives one result on one kind of machine and number of
threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
from torch import nn

from ...errors import ConfigurationError
from ..datasets.examples import Classified, Incomplete
from ..transformer.batch import in_batches
from ..transformer.config import TransformerConfig
from ..transformer.model import GraphTransformer
from .data import TrainingData, class_weights
from .drawing import draw_incomplete, draw_links, draw_operations
from .losses import SHARES, TRAINED, WEIGHTS, Sums, local_loss, sums_of_losses
from .questions import Question, completion, questions, word


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How long and how fast.

    `graphs` are asked in a step, and `nearby` more of which the local context alone is asked what comes next;
    `part` is the most nodes of a graph's part.
    """

    steps: int = 1500
    graphs: int = 16
    nearby: int = 12
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 50
    clip: float = 1.0
    part: int = 192
    tokens: int = 1024
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "graphs", "tokens"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: give at least 1")
        if self.part < 16:
            raise ConfigurationError(f"part is {self.part}: give at least 16 nodes")
        if not self.learning_rate > 0:
            raise ConfigurationError(f"learning rate {self.learning_rate:g}: give more than 0")

    def to_dict(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TrainingSettings:
        """From JSON data. Raises ConfigurationError for unknown fields."""
        if unknown := set(data) - {each.name for each in fields(cls)}:
            raise ConfigurationError(f"the training has no setting {', '.join(sorted(unknown))}")
        return cls(**data)


class Trainer:
    """A transformer, its optimizer and how far it is. `advance` trains; nothing else changes it."""

    def __init__(
        self,
        data: TrainingData,
        config: TransformerConfig,
        settings: TrainingSettings,
        device: torch.device | str = "cpu",
    ) -> None:
        self.data, self.settings, self.device = data, settings, torch.device(device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(settings.seed)
            self.model = GraphTransformer(config, data.table, data.classes).to(self.device)
        self.optimizer = _optimizer(self.model, settings)
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
        self.model.train()
        asked = self.drawn(self.step)
        groups = [
            [asked[i] for i in group]
            for group in in_batches([question.tokens for question in asked], self.settings.tokens)
        ]
        counts = {task: _weight(asked, task) for task in TRAINED}
        self.optimizer.zero_grad(set_to_none=True)
        told: dict[str, list[float]] = {}
        gpus = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            torch.manual_seed((self.settings.seed * 1_000_003 + self.step) % (1 << 62))
            for group in groups:
                sums = sums_of_losses(self.model, group, self._class_weights, half=bool(gpus))
                self._backward(sums, counts, told)
            if nearby := self.drawn_nearby(self.step):
                (WEIGHTS["completion"] * local_loss(self.model, nearby)).backward()
        for group_ in self.optimizer.param_groups:
            group_["lr"] = self.settings.learning_rate * self._rate()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip)
        self.optimizer.step()
        self.step += 1
        self.nodes += sum(len(question.features) for question in asked)
        for task, (loss, count) in told.items():
            mean = loss / max(count, 1e-9)
            self.losses[task] = 0.98 * self.losses[task] + 0.02 * mean if task in self.losses else mean

    @staticmethod
    def _backward(sums: Sums, counts: dict[str, float], told: dict[str, list[float]]) -> None:
        whole = None
        for task, loss in sums.loss.items():
            part = WEIGHTS[task] * loss / max(counts[task], 1e-9)
            whole = part if whole is None else whole + part
            row = told.setdefault(task, [0.0, 0.0])
            row[0] += float(loss.detach())
            row[1] += sums.count[task]
        if whole is not None and whole.requires_grad:
            whole.backward()

    def _rate(self) -> float:
        """Linear up, then the half of a cosine down to nothing."""
        settings = self.settings
        warm = min(1.0, (self.step + 1) / max(1, settings.warmup))
        return warm * 0.5 * (1 + math.cos(math.pi * self.step / settings.steps))

    def drawn(self, step: int) -> list[Question]:
        """The questions of a step."""
        rng = np.random.default_rng([self.settings.seed, step])
        tasks = rng.choice(len(SHARES), self.settings.graphs, p=list(SHARES.values()))
        entries = rng.choice(len(self.data.train), self.settings.graphs, p=self.data.shares)
        found: list[Question] = []
        for number, entry in zip(tasks, entries, strict=True):
            found += self._asked(TRAINED[number], self.data.train[entry], rng)
        return found

    def drawn_nearby(self, step: int) -> list[Question]:
        """The completions of a step that the local context alone is asked."""
        rng = np.random.default_rng([self.settings.seed, step, 1])
        entries = rng.choice(len(self.data.train), self.settings.nearby, p=self.data.shares)
        return [q for entry in entries for q in self._asked("completion", self.data.train[entry], rng)]

    def _asked(self, task: str, entry: str, rng: np.random.Generator) -> list[Question]:
        """Questions about one graph, one part of it where it is large."""
        data, view, most = self.data, self.data.views[entry], self.settings.part

        def some(example: Any) -> list[Question]:
            parts = questions(example, view, data.table, data.classes, most)
            return [parts[int(rng.integers(len(parts)))]] if parts else []

        if task == "link" and (links := draw_links(entry, view, rng)) is not None:
            return some(links)
        if task == "incomplete":
            missing = draw_incomplete(entry, data.deletable[entry], rng)
            if missing is not None:
                gaps = questions(missing, view, data.table, data.classes, most)
                whole = questions(Incomplete(entry, -1), view, data.table, data.classes, most)
                at = next((i for i, q in enumerate(gaps) if q.answers[0] >= 0), 0)
                return [gaps[at], whole[min(at, len(whole) - 1)]]
        if task == "completion":
            # Anywhere: what comes next is asked of later nodes too, which are not like the first.
            stop = int(rng.integers(most, len(view) + 1)) if len(view) > most else None
            return [completion(view, data.table, most, stop=stop)]
        if task == "classification" and data.labels.get(entry):
            label = data.labels[entry][int(rng.integers(len(data.labels[entry])))]
            return some(Classified(entry, word(label), label.partition(":")[0]))
        masked = draw_operations(entry, view, rng)
        return some(masked) if masked is not None else []


def _weight(asked: list[Question], task: str) -> float:
    """About what the sums of a task's losses are divided by, the same however a step is cut into groups."""
    found = [question for question in asked if question.task == task]
    if task == "operation":
        return float(sum(len(q.asked) ** 0.5 for q in found))
    if task == "link":
        return float(sum((q.answers >= 0).sum() for q in found))
    return float(len(found))


def _optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW, without decay on vectors and biases of pairs."""
    decayed = [p for p in model.parameters() if p.ndim >= 2 and p.shape[-1] > 1]
    others = [p for p in model.parameters() if not (p.ndim >= 2 and p.shape[-1] > 1)]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=(0.9, 0.98), fused=True)
