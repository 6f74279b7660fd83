"""Features of boxes, against one point after the other."""

import math

import pytest
import torch
from torch import Tensor

from madstar.zoo.regions import roi_align


def one_by_one(features: Tensor, box: Tensor, size: tuple[int, int], ratio: int, aligned: bool) -> Tensor:
    """The definition: each bin is the mean of points, each interpolated between four neighbours."""
    _, height, width = features.shape
    x1, y1, x2, y2 = (float(c) - (0.5 if aligned else 0) for c in box)
    wide, high = x2 - x1, y2 - y1
    if not aligned:
        wide, high = max(wide, 1.0), max(high, 1.0)
    down, across = high / size[0], wide / size[1]
    rows, columns = (ratio, ratio) if ratio > 0 else (math.ceil(down), math.ceil(across))
    made = torch.zeros(len(features), *size, dtype=features.dtype)
    for i in range(size[0]):
        for j in range(size[1]):
            for a in range(rows):
                for b in range(columns):
                    y = y1 + i * down + (a + 0.5) * down / rows
                    x = x1 + j * across + (b + 0.5) * across / columns
                    if -1 <= y <= height and -1 <= x <= width:
                        made[:, i, j] += between(features, y, x) / (rows * columns)
    return made


def between(features: Tensor, y: float, x: float) -> Tensor:
    _, height, width = features.shape
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    below, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = features[:, top, left] * (1 - x + left) + features[:, top, right] * (x - left)
    lower = features[:, below, left] * (1 - x + left) + features[:, below, right] * (x - left)
    return upper * (1 - y + top) + lower * (y - top)


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [-1, 2])
def test_as_point_by_point(aligned: bool, ratio: int) -> None:
    generator = torch.Generator().manual_seed(3)
    features = torch.randn(2, 3, 9, 11, dtype=torch.float64, generator=generator)
    corners = torch.rand(6, 2, dtype=torch.float64, generator=generator) * 8 - 2
    extents = torch.rand(6, 2, dtype=torch.float64, generator=generator) * 8 + 0.1
    boxes = torch.cat([corners, corners + extents], dim=1)
    wanted = torch.stack(
        [one_by_one(features[i % 2], box, (3, 4), ratio, aligned) for i, box in enumerate(boxes)]
    )
    listed = roi_align(features, [boxes[::2], boxes[1::2]], (3, 4), 1.0, ratio, aligned)
    torch.testing.assert_close(listed, torch.cat([wanted[::2], wanted[1::2]]))
    samples = torch.arange(6, dtype=torch.float64)[:, None] % 2
    scaled = roi_align(features, torch.cat([samples, boxes * 4], dim=1), (3, 4), 0.25, ratio, aligned)
    torch.testing.assert_close(scaled, wanted)


def test_without_values() -> None:
    features, boxes = torch.empty(1, 5, 6, 6, device="meta"), torch.empty(2, 4, device="meta")
    assert roi_align(features, [boxes], 7).shape == (2, 5, 7, 7)
