"""Axes of the report's scatter plots: scale, unit, and the range that is shown at first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ..objectives import Objective
from ..search import Entry
from .measures import heading, value
from .quantities import scale

_LOGARITHMIC_FROM = 20.0
_MARGIN, _EMPTY = 0.07, 0.1


@dataclass(frozen=True)
class Axis:
    """One axis: values are divided by `factor`; `low` and `high` are powers of ten where `logarithmic`.

    Beyond `low` and `high` there may be points of lower rungs.
    """

    measure: Objective
    factor: float
    unit: str
    logarithmic: bool
    low: float
    high: float

    @classmethod
    def of(cls, measure: Objective, compared: Sequence[Entry], aside: Sequence[Entry]) -> Axis:
        """An axis that shows all entries `compared`, and those `aside` if that squeezes the others little."""
        main, rest = _finite(measure, compared), _finite(measure, aside)
        main, rest = main or rest, rest if main else []
        factor, suffix = 1.0, measure.unit
        if measure.unit in ("bytes", "s"):
            factor, suffix = scale(sorted(map(abs, main))[len(main) // 2], measure.unit)
        logarithmic = min(main) > 0 and max(main) / min(main) >= _LOGARITHMIC_FROM
        rest = [v for v in rest if v > 0] if logarithmic else rest
        places = [_place(v / factor, logarithmic) for v in main]
        others = [_place(v / factor, logarithmic) for v in rest]
        low, high = min(places), max(places)
        span = (high - low) or _EMPTY * (abs(high) or 1.0)
        first, last = min([low, *others]), max([high, *others])
        first, last = (first if first >= low - span else low), (last if last <= high + span else high)
        margin = _MARGIN * max(last - first, span)
        return cls(measure, factor, suffix.strip(), logarithmic, first - margin, last + margin)

    def share(self, entry: Entry) -> float:
        """Where an entry lies, as a share of the axis from its beginning."""
        number = (value(entry, self.measure) or 0.0) / self.factor
        if self.logarithmic and number <= 0:
            return -1.0
        return (_place(number, self.logarithmic) - self.low) / (self.high - self.low)

    def has(self, entry: Entry) -> bool:
        """Whether an entry has a place on this axis."""
        number = value(entry, self.measure)
        return number is not None and math.isfinite(number) and (number > 0 or not self.logarithmic)

    def layout(self) -> dict[str, Any]:
        """The axis as plotly takes it."""
        title = escape(heading(self.measure)) + (f" ({escape(self.unit)})" if self.unit else "")
        axis: dict[str, Any] = {"title": {"text": title}, "range": [self.low, self.high]}
        if self.logarithmic:
            axis |= {"type": "log", "dtick": 1 if self.high - self.low > 2 else "D2"}
        if not self.measure.unit:
            axis["tickformat"] = "~s"
        return axis


def _finite(measure: Objective, entries: Sequence[Entry]) -> list[float]:
    numbers = (value(entry, measure) for entry in entries)
    return [number for number in numbers if number is not None and math.isfinite(number)]


def _place(number: float, logarithmic: bool) -> float:
    return math.log10(number) if logarithmic else number
