"""Settings of training on a fixed set of examples: all that a score depends on beside model and data."""

from __future__ import annotations

import math
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Schedule = Literal["constant", "cosine"]
Precision = Literal["fp32", "bf16"]
Accuracy = Literal["micro", "macro", "batch_macro"]


class ExampleSettings(BaseModel):
    """AdamW on batches of whole examples, each example once an epoch.

    Defaults are those of the MAD protocol (Poli et al., arXiv 2403.17844, appendix B): batches of 128,
    200 epochs, torch's betas, weight decay on every parameter, a constant rate, an end at an accuracy of
    0.999. Training ends after `epochs` or `max_steps`, whichever comes first. `decayed` says whether
    weight decay acts on all parameters or on those with two or more dimensions only. `final_rate` is
    the rate of a cosine's last step, as a share of `learning_rate`; `warmup` counts steps. `accuracy` is
    the one that is compared with `stop_at` (above 1: never stop) and raced by. Evaluations are due every
    `evaluate_every` epochs or steps, and at the end.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    batch: int = Field(128, ge=1)
    epochs: int | None = Field(200, ge=1)
    max_steps: int | None = Field(None, ge=1)
    learning_rate: float = Field(5e-4, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    decayed: Literal["all", "matrices"] = "all"
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)
    schedule: Schedule = "constant"
    warmup: int = Field(0, ge=0)
    final_rate: float = Field(0.01, ge=0, le=1)
    clip: float | None = Field(None, gt=0)
    accuracy: Accuracy = "micro"
    stop_at: float = Field(0.999, gt=0)
    evaluate_every: int = Field(1, ge=1)
    evaluate_unit: Literal["epochs", "steps"] = "epochs"
    precision: Precision = "fp32"

    @model_validator(mode="after")
    def _has_an_end(self) -> ExampleSettings:
        if self.epochs is None and self.max_steps is None:
            raise ValueError("neither epochs nor max_steps is given: training needs an end")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"betas {self.betas}: give two numbers from 0 to below 1")
        return self

    def steps_per_epoch(self, examples: int) -> int:
        """Steps that see each of `examples` once; the last may be a smaller batch."""
        return -(-examples // self.batch)

    def total_steps(self, examples: int) -> int:
        """Steps of a whole training on `examples` examples."""
        ends = [] if self.max_steps is None else [self.max_steps]
        if self.epochs is not None:
            ends.append(self.epochs * self.steps_per_epoch(examples))
        return min(ends)

    def rate_at(self, step: int, total: int) -> float:
        """The share of the learning rate that step `step` (from 0) of `total` has.

        Warm-up is linear: its first step has 1/warmup, its last the whole rate. A cosine falls from the
        step after it to `final_rate`, which the very last step has.
        """
        if step < self.warmup:
            return (step + 1) / self.warmup
        if self.schedule == "constant":
            return 1.0
        falling = total - 1 - self.warmup
        done = min(1.0, (step - self.warmup) / falling) if falling > 0 else 1.0
        return self.final_rate + (1 - self.final_rate) * 0.5 * (1 + math.cos(math.pi * done))

    def next_evaluation(self, step: int, examples: int) -> int:
        """The first step count after `step` at which an evaluation is due."""
        every = self.evaluate_every
        if self.evaluate_unit == "epochs":
            every *= self.steps_per_epoch(examples)
        return min((step // every + 1) * every, self.total_steps(examples))
