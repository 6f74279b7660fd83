"""Budgets: how long a candidate trains, in steps, tokens or seconds."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import ConfigurationError

_UNITS = {
    "": "steps",
    "step": "steps",
    "steps": "steps",
    "tokens": "tokens",
    "s": "seconds",
    "seconds": "seconds",
}
_FACTORS = {"": 1, "k": 10**3, "M": 10**6}


@dataclass(frozen=True)
class Budget:
    """An amount of training. Steps and tokens give the same model on every run; seconds do not."""

    amount: float
    unit: str = "steps"

    @classmethod
    def parse(cls, text: str | int) -> Budget:
        """A budget from "400", "400 steps", "1M tokens" or "30s". Raises ConfigurationError."""
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kM]?)\s*([a-z]*)\s*", str(text))
        if match is None or match[3] not in _UNITS:
            raise ConfigurationError(f"budget '{text}': write it as 400, 400 steps, 1M tokens or 30s")
        amount = float(match[1]) * _FACTORS[match[2]]
        if amount <= 0:
            raise ConfigurationError(f"budget '{text}' is zero: give a positive amount")
        return cls(amount, _UNITS[match[3]])

    def __str__(self) -> str:
        amount = int(self.amount) if self.amount == int(self.amount) else self.amount
        return f"{amount} {self.unit}"

    def steps(self, tokens_per_step: int) -> int | None:
        """Optimizer steps of this budget, at least 1; None where only a clock can tell."""
        if self.unit == "seconds":
            return None
        steps = self.amount if self.unit == "steps" else self.amount / tokens_per_step
        return max(1, round(steps))
