"""Where a point's label goes in a scatter plot, so that labels do not lie on one another."""

from __future__ import annotations

from collections.abc import Sequence

Place = tuple[float, float]
_Box = tuple[float, float, float, float]

# Plotly's names, the preferred first, and where the label's nearest corner or edge is, in letters.
_POSITIONS = {
    "top right": (0.3, 0.3),
    "top left": (-1.3, 0.3),
    "bottom right": (0.3, -1.3),
    "bottom left": (-1.3, -1.3),
    "top center": (-0.5, 0.7),
    "bottom center": (-0.5, -1.7),
    "middle right": (0.8, -0.5),
    "middle left": (-1.8, -0.5),
}
# A letter's width and a line's height as shares of the plot, at the page's sizes.
_LETTER, _LINE = 0.019, 0.055
_POINT = 0.018


def positions(points: Sequence[Place], labels: Sequence[str], others: Sequence[Place] = ()) -> list[str]:
    """For each point its label's `textposition`.

    Points and `others`, which only want to be kept clear, are in shares of the plot's width and
    height from its lower left. Where no position is free the least covered one is taken.
    """
    taken = [_around(point) for point in (*points, *others)]
    chosen = []
    for point, label in zip(points, labels, strict=True):
        boxes = {name: _box(point, label, shift) for name, shift in _POSITIONS.items()}
        best = min(boxes, key=lambda name: _crowding(boxes[name], taken))
        taken.append(boxes[best])
        chosen.append(best)
    return chosen


def _around(point: Place) -> _Box:
    x, y = point
    return x - _POINT / 2, y - _POINT, x + _POINT / 2, y + _POINT


def _box(point: Place, label: str, shift: Place) -> _Box:
    """A label's box: `shift` is its lower left, in label widths left of the point or letters right of it."""
    width = _LETTER * len(label)
    across = shift[0] * width if shift[0] < 0 else shift[0] * _LETTER
    if shift[0] < -1:
        across = -width + (shift[0] + 1) * _LETTER
    x, y = point[0] + across, point[1] + shift[1] * _LINE
    return x, y, x + width, y + _LINE


def _crowding(box: _Box, taken: Sequence[_Box]) -> float:
    """The area that is covered already, and that lies outside the plot."""
    covered = sum(_overlap(box, other) for other in taken)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return covered + area - _overlap(box, (0.0, 0.0, 1.0, 1.0))


def _overlap(one: _Box, other: _Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
