"""Training that pauses and goes on: a trunk at constant rate, and a decaying copy at each rung.

A linear decay to zero over the last fifth of a budget is worth much of the final loss, but a model
whose rate has decayed cannot go on. So the trunk never decays: at each rung a copy of it does, is
measured and dropped, and a promoted candidate goes on from the trunk (warm-up, stable, decay:
Hu et al., arXiv 2404.06395, section 4). Budgets 100, 200, 400, 800 together cost 940 steps, not
1,500, and a longer budget's trunk is bit for bit the one that trains alone.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn

from ..errors import ConfigurationError, MadstarError
from ..tasks import TextTask
from .budget import Budget
from .settings import TrainingSettings

_SMOOTHING = 0.9
_GRACE = 50


class DivergedError(MadstarError):
    """Training diverged: a loss that is not finite, or far above that of guessing."""


@dataclass(frozen=True)
class Trained:
    """A model after a budget: `model` with decayed rate, and the curve of the training loss.

    `curve` holds (step, bits per byte) pairs, smoothed, about fifty of them.
    """

    model: nn.Module
    steps: int
    tokens: int
    curve: tuple[tuple[float, float], ...]
    seconds: float


class Trainer:
    """The trunk of one candidate. `advance` moves it on; `finish` decays a copy to a budget's end.

    The batches are a function of seed and step, so a trainer restored from a checkpoint goes on
    exactly as the one that made it would have.
    """

    def __init__(self, model: nn.Module, task: TextTask, settings: TrainingSettings, seed: int) -> None:
        self.model, self.task, self.settings, self.seed = model.train(), task, settings, seed
        self.optimizer = make_optimizer(model, settings)
        self.step = 0
        # Seconds the trunk has trained in all, for budgets that a clock measures.
        self.seconds = 0.0
        self.curve: list[tuple[float, float]] = []
        self._smoothed = math.nan

    def train_to(self, budget: Budget, progress: Callable[[int, int], None] | None = None) -> Trained:
        """Train to the end of a budget: the trunk to where decay begins, then a decaying copy.

        Raises DivergedError, and ConfigurationError for a budget whose decay would begin before where
        the trunk is. `progress` is told the steps done and the steps of this budget.
        """
        started = time.monotonic()
        total = budget.steps(self.settings.tokens_per_step)
        if total is None:
            total = self._trunk_by_clock(budget.amount, progress)
        else:
            self._advance(self._trunk_steps(budget, total), self.settings.learning_rate, total, progress)
        decayed = self._decayed_copy(total, progress)
        return Trained(
            model=decayed.model,
            steps=total,
            tokens=total * self.settings.tokens_per_step,
            curve=tuple(decayed.curve),
            seconds=time.monotonic() - started,
        )

    def _trunk_steps(self, budget: Budget, total: int) -> int:
        """Where the budget's decay begins; the trunk cannot go back to it."""
        end = total - self._decay_steps(total)
        if end < self.step:
            raise ConfigurationError(
                f"budget {budget} ends its constant part at step {end}, but the trunk is at step "
                f"{self.step}: give rising budgets"
            )
        return end

    def _decay_steps(self, total: int) -> int:
        return max(1, round(self.settings.decay_fraction * total))

    def _trunk_by_clock(self, seconds: float, progress: Callable[[int, int], None] | None) -> int:
        """Trunk steps until only the decay's share of the time is left; returns the steps in all.

        What the trunk trained for lower rungs counts: a budget is all the time of a candidate's trunk
        and its last decay.
        """
        fraction = self.settings.decay_fraction
        while self.step == 0 or self.seconds < (1 - fraction) * seconds:
            begun = time.monotonic()
            self._advance(self.step + 1, self.settings.learning_rate, 0, None)
            self.seconds += time.monotonic() - begun
            if progress is not None:
                progress(self.step, round(self.step * seconds / self.seconds))
        return self.step + max(1, round(fraction * seconds * self.step / self.seconds))

    def _decayed_copy(self, total: int, progress: Callable[[int, int], None] | None) -> Trainer:
        trunk_steps = self.step
        branch = Trainer(copy.deepcopy(self.model), self.task, self.settings, self.seed)
        branch.optimizer.load_state_dict(copy.deepcopy(self.optimizer.state_dict()))
        branch.step, branch.curve, branch._smoothed = self.step, list(self.curve), self._smoothed
        remaining = total - trunk_steps
        for index in range(remaining):
            # The last step still has a rate: linear to zero just beyond it.
            rate = self.settings.learning_rate * (1 - index / remaining)
            branch._advance(branch.step + 1, rate, total, progress)
        return branch

    def _advance(
        self, until: int, rate: float, total: int, progress: Callable[[int, int], None] | None
    ) -> None:
        settings = self.settings
        while self.step < until:
            warm = min(1.0, (self.step + 1) / settings.warmup) if settings.warmup else 1.0
            for group in self.optimizer.param_groups:
                group["lr"] = rate * warm
            tokens = self.task.train_batch(self.step, settings.batch, self.seed)
            logits = self.model(tokens[:, :-1])
            loss = F.cross_entropy(logits.flatten(0, 1).float(), tokens[:, 1:].flatten())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.model.parameters(), settings.clip)
            self._check(loss.item(), norm.item())
            self.optimizer.step()
            self.step += 1
            if progress is not None:
                progress(self.step, total)

    def _check(self, loss: float, norm: float) -> None:
        """Record the loss; raise where training has come apart."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise DivergedError(
                f"diverged at step {self.step + 1}: loss {loss:.3g}, gradient norm {norm:.3g}"
            )
        smoothed = (
            loss if math.isnan(self._smoothed) else _SMOOTHING * self._smoothed + (1 - _SMOOTHING) * loss
        )
        self._smoothed = smoothed
        guessing = math.log(self.task.vocabulary_size)
        if self.step >= _GRACE and smoothed > 1.5 * guessing:
            raise DivergedError(
                f"diverged at step {self.step + 1}: loss {smoothed:.3g}, guessing has {guessing:.3g}"
            )
        # Every step at first, then eight points per doubling: about fifty for a curve of any length.
        if self.step % (1 << max(0, (self.step // 8).bit_length() - 1)) == 0:
            bits = smoothed / (math.log(2) * self.task.bytes_per_token)
            self.curve.append((float(self.step + 1), bits))


def make_optimizer(model: nn.Module, settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW without weight decay on vectors: norms, biases, decays and gains are scales, not maps."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    vectors = [p for p in model.parameters() if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas, fused=True)


def first_step() -> None:
    """Import what torch imports at its first optimizer step: seconds that are no candidate's."""
    weight = nn.Parameter(torch.zeros(2, 2))
    optimizer = make_optimizer(nn.ParameterList([weight]), TrainingSettings())
    weight.square().sum().backward()
    optimizer.step()
