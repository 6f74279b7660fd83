"""A model's figures as people read them: value, standard error, unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

from ..errors import ConfigurationError


@dataclass(frozen=True)
class Figure:
    """One measured number; the error is a standard error in the same unit."""

    name: str
    value: float
    error: float | None = None
    unit: str = ""

    def __str__(self) -> str:
        text = f"{self.value:,}" if isinstance(self.value, int) else f"{self.value:.4g}"
        if self.error:
            # Two digits of the error, and the value as far as they reach.
            places = min(12, max(0, 1 - math.floor(math.log10(self.error))))
            text = f"{self.value:,.{places}f} ± {self.error:,.{places}f}"
        return f"{text} {self.unit}".rstrip()


def read_figures(figures: Mapping[str, Any]) -> tuple[Figure, ...]:
    """Figures from `{name: value}`, `{name: (value, error)}` or `{name: {"value", "error", "unit"}}`.

    Raises ConfigurationError naming a figure that is none of these, or not finite.
    """
    return tuple(_figure(name, given) for name, given in figures.items())


def _figure(name: str, given: Any) -> Figure:
    unit, error = "", None
    if isinstance(given, Mapping):
        unknown = sorted(map(str, set(given) - {"value", "error", "unit"}))
        if unknown or "value" not in given:
            wrong = f"has an entry '{unknown[0]}'" if unknown else "has no value"
            raise ConfigurationError(f"figure '{name}' {wrong}: give value, and perhaps error and unit")
        value, error, unit = given["value"], given.get("error"), str(given.get("unit") or "")
    elif isinstance(given, tuple | list):
        if len(given) != 2:
            raise ConfigurationError(
                f"figure '{name}' has {len(given)} numbers: give value and standard error"
            )
        value, error = given
    else:
        value = given
    number = _number(name, value)
    deviation = None if error is None else abs(float(_number(name, error)))
    return Figure(name, number, deviation, unit)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ConfigurationError(f"figure '{name}' is {value!r}: give a finite number, or leave it out")
    return int(value) if isinstance(value, int) else float(value)
