"""Constraints: bounds that a candidate must keep to be trained at all."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from ..errors import ObjectiveError
from ..plugins import absolute
from .objective import TRAINED, Objective
from .registry import find_objective

_PATTERN = re.compile(
    r"\s*(?P<name>.+?)\s*(?P<sign><=|>=)\s*(?P<amount>[0-9.eE+-]+)\s*(?P<unit>[A-Za-z]*)\s*"
)
_PREFIXES = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
# Units by what they measure, which an objective's own unit must be.
_MEASURES = {
    "bytes": {
        "B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
    },
    "s": {"s": 1.0, "ms": 1e-3, "us": 1e-6},
}  # fmt: skip
_UNITS = _PREFIXES | _MEASURES["bytes"] | _MEASURES["s"]


@dataclass(frozen=True)
class Constraint:
    """A bound on a static or measured objective, such as `params<=300000` or `cache@4096<=1MB`."""

    text: str
    objective: Objective
    sign: str
    limit: float

    def holds(self, value: float) -> bool:
        """Whether a value keeps the bound; nan never does."""
        return value <= self.limit if self.sign == "<=" else value >= self.limit

    def broken_by(self, value: float) -> str:
        """One line that says how a value breaks the bound."""
        return f"{self.objective.name} is {value:,.6g}, but must be {self.sign} {self.limit:,.6g}"


def absolute_constraint(text: str) -> str:
    """A constraint whose objective is named by its file's whole path; the same text for all others."""
    match = _PATTERN.fullmatch(text)
    if match is None or ":" not in match["name"]:
        return text
    return text.replace(match["name"], absolute(match["name"]), 1)


def parse_constraint(text: str) -> Constraint:
    """Read a constraint. MB are 10^6 bytes, MiB 2^20.

    Raises ObjectiveError for one that cannot be read, whose unit is not the objective's, or on an
    objective that only training can tell, for constraints are checked before any training.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ObjectiveError(f"constraint {text!r}: write it as params<=300000 or cache@4096<=1MB")
    unit = match["unit"]
    if unit not in _UNITS:
        known = ", ".join(filter(None, _UNITS))
        raise ObjectiveError(f"constraint {text!r}: '{unit}' is no unit; use {known}")
    limit = _number(text, match["amount"]) * _UNITS[unit]
    objective = find_objective(match["name"])
    if objective.kind == TRAINED:
        raise ObjectiveError(
            f"constraint {text!r}: {objective.name} is known only after training; make it an objective"
        )
    if unit not in _PREFIXES and unit not in _MEASURES.get(objective.unit, ()):
        measured = f"in {objective.unit}" if objective.unit else "a number"
        raise ObjectiveError(
            f"constraint {text!r}: {objective.name} is {measured}, which '{unit}' does not measure; "
            "write k, M, G or no unit"
        )
    return Constraint(text.strip(), objective, match["sign"], limit)


def _number(text: str, amount: str) -> float:
    try:
        number = float(amount)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ObjectiveError(f"constraint {text!r}: '{amount}' is no number")
    return number
