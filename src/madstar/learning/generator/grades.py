"""In which third of what was measured a graph stands, or a block that measured graphs share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from scipy.stats import rankdata

from ..datasets.examples import Example, Measured, unit_of
from .decisions import GRADES

_LEAST = 3
"""Fewer have no thirds."""


def ranks_of(examples: Iterable[Example]) -> dict[str, float]:
    """By entry: what share of the others it is behind, 0 for the best; the mean over its figures.

    Of quality, in bits per byte, less is better; of MAD's scores more; latency and memory do not count. Equal
    scores share their ranks, and a figure that fewer than three have says nothing.
    """
    figures: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for each in examples:
        if not isinstance(each, Measured):
            continue
        if unit_of(each.task):
            continue
        less = each.task.partition("/")[0] == "quality"
        figures[each.task, each.budget][each.entry] = each.value if less else -each.value
    ranks: dict[str, list[float]] = defaultdict(list)
    for costs in figures.values():
        if len(costs) < _LEAST:
            continue
        for entry, rank in zip(costs, rankdata(list(costs.values())), strict=True):
            ranks[entry].append((float(rank) - 1) / (len(costs) - 1))
    return {entry: fmean(each) for entry, each in ranks.items()}


def grade_of(behind: float) -> str:
    """The grade of what is behind this share of the others."""
    return GRADES[1 + min(2, int(3 * behind))]


def graded(ranks: Sequence[Sequence[float]]) -> list[str]:
    """The grade of each block by the mean rank of the measured graphs that it stands in; none: unmeasured.

    Thirds are those of the blocks, not of the graphs: a block that many share is never far from the middle.
    """
    means: Mapping[int, float] = {number: fmean(each) for number, each in enumerate(ranks) if each}
    order = sorted(means, key=lambda number: (means[number], number))
    found = [GRADES[0]] * len(ranks)
    if len(order) >= _LEAST:
        for place, number in enumerate(order):
            found[number] = GRADES[1 + 3 * place // len(order)]
    return found
