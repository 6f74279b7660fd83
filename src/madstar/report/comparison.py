"""Which baselines a candidate beats, at equal rungs only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..objectives import Objective
from ..search import Entry


@dataclass(frozen=True)
class Beaten:
    """A baseline that a candidate dominates: no worse in any objective, and better in one.

    `sure` where every objective with a standard error is better by at least twice the standard
    error of the difference.
    """

    baseline: Entry
    sure: bool


def beaten(entry: Entry, baselines: Sequence[Entry], objectives: Sequence[Objective]) -> tuple[Beaten, ...]:
    """The baselines at the entry's rung that it dominates."""
    return tuple(
        Beaten(baseline, _surely(entry, baseline, objectives))
        for baseline in baselines
        if baseline.rung == entry.rung and _dominates(entry, baseline, objectives)
    )


def _dominates(entry: Entry, other: Entry, objectives: Sequence[Objective]) -> bool:
    margins = [_margin(entry, other, objective) for objective in objectives]
    return all(m >= 0 for m in margins) and any(m > 0 for m in margins)


def _surely(entry: Entry, other: Entry, objectives: Sequence[Objective]) -> bool:
    for objective in objectives:
        ours, theirs = entry.errors.get(objective.name, 0.0), other.errors.get(objective.name, 0.0)
        spread = math.hypot(ours, theirs)
        if spread and not _margin(entry, other, objective) >= 2 * spread:
            return False
    return True


def _margin(entry: Entry, other: Entry, objective: Objective) -> float:
    """How much better the entry is; nan where either has no figure, which is better than nothing."""
    nan = math.nan
    return objective.cost(other.values.get(objective.name, nan)) - objective.cost(
        entry.values.get(objective.name, nan)
    )
