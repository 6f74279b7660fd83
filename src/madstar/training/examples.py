"""A model trained on a fixed set of examples, in pieces that give what training in one go gives.

The batch of a step is a function of seed and step: each epoch visits the examples in an order drawn from
(seed, epoch). What random numbers a model draws itself (dropout) are drawn from (seed, step) as well. So
a trainer can pause anywhere, be written to disk and go on, to the same weights bit for bit.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor, nn

from ..errors import ConfigurationError, TaskError
from .example_settings import ExampleSettings
from .metrics import ExampleScore, as_examples, autocast, check_logits, probed_loss, score
from .racing import Evaluation
from .trainer import DivergedError

Progress = Callable[[int, int], None]

_SMOOTHING = 0.9
_GRACE = 50
# Far above guessing: a rate that is merely too high hovers around it, and may still come down.
_APART = 10.0
# Reading a loss makes a GPU wait, so there it is read for many steps together.
_READ_EVERY = {"cpu": 1}
_READ_EVERY_ELSEWHERE = 50


class Order:
    """Which examples make which step: a permutation an epoch, a function of seed and epoch."""

    def __init__(self, examples: int, batch: int, seed: int) -> None:
        self.examples, self.batch, self.seed = examples, batch, seed
        self._epoch, self._permutation = -1, np.empty(0, dtype=np.int64)

    def at(self, step: int) -> Int64[Tensor, " batch"]:
        """The examples of step `step`, from 0; the last batch of an epoch may be smaller."""
        epoch, index = divmod(step, -(-self.examples // self.batch))
        return self.of_epoch(epoch)[index * self.batch : (index + 1) * self.batch]

    def of_epoch(self, epoch: int) -> Int64[Tensor, " examples"]:
        """All examples in the order of an epoch, from 0."""
        if epoch != self._epoch:
            self._permutation = np.random.default_rng((self.seed, epoch)).permutation(self.examples)
            self._epoch = epoch
        return torch.from_numpy(self._permutation)


class LossCurve:
    """A smoothed training loss: about fifty points however long it is, and the check that it is sane."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float]] = []
        self.smoothed = math.nan

    def add(self, step: int, loss: float, classes: int) -> None:
        """Take the loss of step `step` (from 0). Raises DivergedError."""
        if not math.isfinite(loss):
            raise DivergedError(f"diverged at step {step + 1}: loss {loss:.3g}")
        old = self.smoothed
        self.smoothed = loss if math.isnan(old) else _SMOOTHING * old + (1 - _SMOOTHING) * loss
        guessing = math.log(max(2, classes))
        if step >= _GRACE and self.smoothed > _APART * guessing:
            raise DivergedError(
                f"diverged at step {step + 1}: loss {self.smoothed:.3g}, guessing has {guessing:.3g}"
            )
        # Every step at first, then eight points per doubling.
        if step % (1 << max(0, (step // 8).bit_length() - 1)) == 0:
            self.points.append((float(step + 1), self.smoothed))


class ExampleTrainer:
    """One training of any module that maps (batch, length) tokens to (batch, length, classes) logits.

    `identity` names what cannot be seen in the module, such as its initialisation: a checkpoint is taken
    back only by a trainer with the same. `evaluations` is kept with the trunk, for who races it.
    Raises TaskError for examples that cannot be trained on.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Int64[Tensor, "examples ..."] | np.ndarray,
        targets: Int64[Tensor, "examples length"] | np.ndarray,
        settings: ExampleSettings,
        seed: int,
        *,
        device: str | torch.device = "cpu",
        identity: str = "",
    ) -> None:
        self.device = torch.device(device)
        self.model = model.to(self.device)
        self.inputs, self.targets = (x.to(self.device) for x in as_examples(inputs, targets))
        self.settings, self.seed, self.identity = settings, seed, identity
        self.optimizer = make_example_optimizer(self.model, settings)
        self.step, self.seconds = 0, 0.0
        self.total_steps = settings.total_steps(len(self.targets))
        self.losses = LossCurve()
        self.evaluations: list[Evaluation] = []
        self.order = Order(len(self.targets), settings.batch, seed)
        self._largest = int(self.targets.max())
        self._unread: list[Tensor] = []
        self.classes = 0

    @property
    def curve(self) -> list[tuple[float, float]]:
        """(step, smoothed training loss in nats a probed token) pairs."""
        return self.losses.points

    def advance_to(self, step: int, progress: Progress | None = None) -> None:
        """Train until `step` steps are done; nothing where they are already.

        `progress` is told the steps done and the steps in all. Raises DivergedError, LayerError for a
        model whose output does not fit, ConfigurationError for a step beyond the end of the settings.
        """
        if step > self.total_steps:
            raise ConfigurationError(f"step {step} is beyond the end of training at {self.total_steps}")
        begun = time.monotonic()
        self.model.train()
        devices = [self.device] if self.device.type == "cuda" else []
        read_every = _READ_EVERY.get(self.device.type, _READ_EVERY_ELSEWHERE)
        with torch.random.fork_rng(devices):
            while self.step < step:
                self._unread.append(self._one_step())
                self.step += 1
                if len(self._unread) >= read_every:
                    self._read()
                if progress is not None:
                    progress(self.step, self.total_steps)
        self._read()
        self.seconds += time.monotonic() - begun

    def score(self, inputs: Tensor, targets: Tensor) -> ExampleScore:
        """The score now, in this training's batch and precision. Raises DivergedError."""
        return score(
            self.model, inputs, targets, batch=self.settings.batch, precision=self.settings.precision
        )

    def _one_step(self) -> Tensor:
        settings = self.settings
        rate = settings.learning_rate * settings.rate_at(self.step, self.total_steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        torch.manual_seed(step_seed(self.seed, self.step))
        chosen = self.order.at(self.step).to(self.device)
        targets = self.targets[chosen]
        with autocast(self.device, settings.precision):
            logits = self.model(self.inputs[chosen])
        if not self.classes:
            self._check_output(logits, targets)
        loss = probed_loss(logits, targets)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if settings.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
        self.optimizer.step()
        return loss.detach()

    def _check_output(self, logits: Tensor, targets: Tensor) -> None:
        check_logits(logits, targets)
        if self._largest >= logits.shape[-1]:
            raise TaskError(
                f"a target is {self._largest}, but the model has {logits.shape[-1]} classes: "
                "build it with a larger vocabulary"
            )
        self.classes = logits.shape[-1]

    def _read(self) -> None:
        """Read the losses not yet read; raise where training has come apart."""
        if not self._unread:
            return
        losses = torch.stack(self._unread).tolist()
        first = self.step - len(losses)
        self._unread.clear()
        for index, loss in enumerate(losses):
            self.losses.add(first + index, loss, self.classes)


def evaluations(
    trainer: ExampleTrainer,
    inputs: Tensor,
    targets: Tensor,
    *,
    until: int | None = None,
    progress: Progress | None = None,
) -> Iterator[tuple[int, ExampleScore]]:
    """Train and score in turn: (step, score) whenever one is due, until the end or an accuracy of `stop_at`.

    What is compared with `stop_at` is the accuracy that the settings name; the standard error noted with it
    is that of micro accuracy. Each score is also noted in
    `trainer.evaluations`; a trainer that has been solved before yields nothing.
    """
    end = trainer.total_steps if until is None else min(until, trainer.total_steps)
    solved = any(past.accuracy >= trainer.settings.stop_at for past in trainer.evaluations)
    while not solved and trainer.step < end:
        due = trainer.settings.next_evaluation(trainer.step, len(trainer.targets))
        trainer.advance_to(min(due, end), progress)
        result = trainer.score(inputs, targets)
        accuracy = result.accuracy(trainer.settings.accuracy)
        trainer.evaluations.append(Evaluation(trainer.step, accuracy, result.standard_error, result.loss))
        solved = accuracy >= trainer.settings.stop_at
        yield trainer.step, result


def make_example_optimizer(model: nn.Module, settings: ExampleSettings) -> torch.optim.AdamW:
    """AdamW over what the model trains, shared weights once; see `ExampleSettings.decayed`."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in parameters if decays(p.ndim, settings)]},
        {"params": [p for p in parameters if not decays(p.ndim, settings)], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def decays(dimensions: int, settings: ExampleSettings) -> bool:
    """Whether weight decay acts on a parameter of so many dimensions."""
    return settings.decayed == "all" or dimensions >= 2


def step_seed(seed: int, step: int) -> int:
    """The seed of what a model draws itself in one step."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)[0] >> np.uint64(1))
