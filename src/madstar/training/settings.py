"""Training settings: everything beside the architecture and the data that a score depends on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class TrainingSettings(BaseModel):
    """AdamW with warm-up, a constant trunk and a decaying end (see `trainer`).

    Defaults follow STAR (arXiv 2411.17800, section 5) where it says, and measurements at width 64
    where it does not (docs/benchmarks.md). `batch` sequences of `length` tokens make a step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    length: int = Field(256, ge=8)
    batch: int = Field(8, ge=1)
    learning_rate: float = Field(5e-3, gt=0)
    warmup: int = Field(20, ge=0)
    decay_fraction: float = Field(0.2, gt=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.1, ge=0)
    clip: float = Field(1.0, gt=0)
    validation_windows: int = Field(128, ge=8)
    evaluation_batch: int = Field(16, ge=1)

    @property
    def tokens_per_step(self) -> int:
        """Tokens whose loss makes one gradient."""
        return self.batch * self.length
