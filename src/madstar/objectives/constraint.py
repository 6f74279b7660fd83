"""Constraints: bounds that a candidate must keep to be trained at all."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import ObjectiveError
from .objective import TRAINED, Objective
from .registry import find_objective

_PATTERN = re.compile(
    r"\s*(?P<name>.+?)\s*(?P<sign><=|>=)\s*(?P<amount>[0-9.eE+-]+)\s*(?P<unit>[A-Za-z]*)\s*"
)
_UNITS = {
    "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9,
    "B": 1.0, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
    "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30,
    "s": 1.0, "ms": 1e-3, "us": 1e-6,
}  # fmt: skip


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


def parse_constraint(text: str) -> Constraint:
    """Read a constraint. MB are 10^6 bytes, MiB 2^20.

    Raises ObjectiveError for one that cannot be read, or on an objective that only training can
    tell, for constraints are checked before any training.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ObjectiveError(f"constraint '{text}': write it as params<=300000 or cache@4096<=1MB")
    if match["unit"] not in _UNITS:
        known = ", ".join(filter(None, _UNITS))
        raise ObjectiveError(f"constraint '{text}': '{match['unit']}' is no unit; use {known}")
    try:
        amount = float(match["amount"])
    except ValueError:
        raise ObjectiveError(f"constraint '{text}': '{match['amount']}' is no number") from None
    objective = find_objective(match["name"])
    if objective.kind == TRAINED:
        raise ObjectiveError(
            f"constraint '{text}': {objective.name} is known only after training; make it an objective"
        )
    return Constraint(text.strip(), objective, match["sign"], amount * _UNITS[match["unit"]])
