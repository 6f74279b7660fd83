"""Where boxes and lines of a drawing stand: in layers from top to bottom, lines led round the boxes.

The steps are those of Sugiyama, Tagawa and Toda, "Methods for visual understanding of hierarchical system
structures" (1981): a layer for each box, below all that it needs; a place in each layer that a line passes,
one for all lines from the same box; an order within layers by the mean place of what is joined; and places
near that mean that keep the order and the distance.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

_GAP, _BETWEEN, _LANE, _SWEEPS, _MOST_LANES = 22, 30, 10, 8, 20_000


class Plan(NamedTuple):
    """Left upper corners of the boxes; the points of each line, in pairs that a straight or curve joins.

    A line is a list of points: the first leaves a box, then each pair enters and leaves a layer it passes,
    the last enters a box.
    """

    corners: list[tuple[int, int]]
    lines: list[list[tuple[int, int]]]
    width: int
    height: int


def plan(sizes: Sequence[tuple[int, int]], edges: Sequence[tuple[int, int]]) -> Plan:
    """Place boxes of given width and height. Edges go from earlier boxes to later ones."""
    level = _levels(len(sizes), edges)
    wide = [float(width) for width, _ in sizes]
    level, wide, steps, chains = _lanes(level, wide, edges)
    rows: list[list[int]] = [[] for _ in range(max(level, default=-1) + 1)]
    for place, row in enumerate(level):
        rows[row].append(place)
    above: list[list[int]] = [[] for _ in level]
    below: list[list[int]] = [[] for _ in level]
    for start, end in steps:
        above[end].append(start)
        below[start].append(end)
    _order(rows, above, below)
    middle = _spread(rows, above, below, wide)
    high = [max((sizes[place][1] for place in row if place < len(sizes)), default=0) for row in rows]
    tops = [sum(high[:row]) + row * _BETWEEN for row in range(len(rows))]
    left = min((middle[place] - wide[place] / 2 for place in range(len(level))), default=0)
    corners = [
        (round(middle[box] - width / 2 - left), tops[level[box]]) for box, (width, _) in enumerate(sizes)
    ]
    lines = []
    for (start, end), chain in zip(edges, chains, strict=True):
        points = [(round(middle[start] - left), tops[level[start]] + sizes[start][1])]
        for lane in chain:
            x = round(middle[lane] - left)
            points += [(x, tops[level[lane]]), (x, tops[level[lane]] + high[level[lane]])]
        lines.append([*points, (round(middle[end] - left), tops[level[end]])])
    right = max((middle[place] + wide[place] / 2 - left for place in range(len(level))), default=0)
    return Plan(corners, lines, round(right), tops[-1] + high[-1] if rows else 0)


def _levels(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """Below all that a box needs; what needs nothing just above the first that takes it."""
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for start, end in edges:
        before[end].append(start)
        after[start].append(end)
    level = [0] * count
    for box in range(count):
        level[box] = max((level[start] + 1 for start in before[box]), default=0)
    for box in range(count):
        if not before[box] and after[box]:
            level[box] = max(0, min(level[end] for end in after[box]) - 1)
    return level


def _lanes(
    level: list[int], wide: list[float], edges: Sequence[tuple[int, int]]
) -> tuple[list[int], list[float], list[tuple[int, int]], list[list[int]]]:
    """Places for lines in the layers that they pass; the steps between layers; each line's places."""
    level, wide = list(level), list(wide)
    steps: dict[tuple[int, int], None] = {}
    chains: list[list[int]] = []
    lanes: dict[tuple[int, int], int] = {}
    for start, end in edges:
        chain: list[int] = []
        for row in range(level[start] + 1, level[end]):
            if (start, row) not in lanes:
                if len(lanes) > _MOST_LANES:
                    break
                lanes[start, row] = len(level)
                level.append(row)
                wide.append(_LANE)
            chain.append(lanes[start, row])
        whole = [start, *chain, end]
        steps |= dict.fromkeys(itertools.pairwise(whole))
        chains.append(chain)
    return level, wide, list(steps), chains


def _order(rows: list[list[int]], above: list[list[int]], below: list[list[int]]) -> None:
    """Sort each layer by the mean place of what is joined, downwards and upwards in turn."""
    rank = {place: float(number) for row in rows for number, place in enumerate(row)}
    for sweep in range(_SWEEPS):
        joined = below if sweep % 2 else above
        for row in reversed(rows) if sweep % 2 else rows:
            wanted = {place: _mean([rank[other] for other in joined[place]], rank[place]) for place in row}
            row.sort(key=lambda place: wanted[place])
            for number, place in enumerate(row):
                rank[place] = number - (len(row) - 1) / 2


def _spread(
    rows: list[list[int]], above: list[list[int]], below: list[list[int]], wide: list[float]
) -> list[float]:
    """The middle of each place from left to right, near what it is joined to."""
    middle = [0.0] * len(wide)
    for row in rows:
        x = 0.0
        for place in row:
            middle[place] = x + wide[place] / 2
            x += wide[place] + _GAP
        for place in row:
            middle[place] -= x / 2
    for sweep in range(6 * _SWEEPS):
        for row in reversed(rows) if sweep % 2 else rows:
            wanted = []
            for place in row:
                joined = above[place] + below[place] if sweep > 3 else (below if sweep % 2 else above)[place]
                wanted.append(_mean([middle[other] for other in joined], middle[place]))
            for place, x in zip(row, _apart(row, wanted, wide), strict=True):
                middle[place] = x
    return middle


def _apart(row: list[int], wanted: list[float], wide: list[float]) -> list[float]:
    """The wanted places, moved as far as the boxes' widths ask: the mean of moving right and moving left."""
    rightwards, leftwards = list(wanted), list(wanted)
    for i in range(1, len(row)):
        least = (wide[row[i - 1]] + wide[row[i]]) / 2 + _GAP
        rightwards[i] = max(rightwards[i], rightwards[i - 1] + least)
    for i in range(len(row) - 2, -1, -1):
        least = (wide[row[i + 1]] + wide[row[i]]) / 2 + _GAP
        leftwards[i] = min(leftwards[i], leftwards[i + 1] - least)
    return [(a + b) / 2 for a, b in zip(rightwards, leftwards, strict=True)]


def _mean(numbers: list[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise
