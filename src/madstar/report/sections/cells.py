"""Cells and counts, of which the page's tables are made."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...objectives import Objective
from ...search import Entry
from ..measures import error, value
from ..quantities import amount


@dataclass(frozen=True)
class Cell:
    """A table's cell: what it says, the number it is sorted by ("" for the end of the list), a small note."""

    text: str
    order: str = ""
    note: str = ""


@dataclass(frozen=True)
class Share:
    """A count beside others, and its share of them in percent."""

    name: str
    count: int
    percent: float
    note: str = ""


def cell(number: float | None, text: str, note: str = "") -> Cell:
    """A cell that is sorted by a number, where there is one."""
    return Cell(text, repr(number) if number is not None and math.isfinite(number) else "", note)


def figure_cells(entry: Entry, measures: Sequence[Objective]) -> list[Cell]:
    """An entry's figures with their standard errors."""
    return [cell(value(entry, m), amount(value(entry, m), m.unit, error(entry, m))) for m in measures]


def shares(counts: Mapping[str, int], total: int) -> list[Share]:
    """Counts as shares of a total."""
    return [Share(name, count, 100 * count / total if total else 0.0) for name, count in counts.items()]
