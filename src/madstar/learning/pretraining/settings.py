"""How long a graph transformer is trained, and how fast."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from ...errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """How long and how fast.

    `graphs` are asked in a step. Of more graphs the local parts alone are asked: of `nearby` what comes next,
    of `gaps`, each beside its whole, what is missing. `part` is the most nodes of a graph's part.
    """

    steps: int = 1500
    graphs: int = 16
    nearby: int = 12
    gaps: int = 6
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
        for name in ("nearby", "gaps"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: give 0 or more")
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
