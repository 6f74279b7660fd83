"""Features of boxes: what `torchvision.ops.roi_align` computes, in plain operations of torch.

Each box is divided into bins; the value of a bin is the mean of the features at points spread evenly in it,
each interpolated between its four neighbours (He et al., Mask R-CNN, section 3). How many points a bin has
follows from the box's size, which on the meta device has no value: as many places are reserved as the largest
box within the features could need, and those that a box does not use count nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def roi_align(
    input: Tensor,
    boxes: Tensor | Sequence[Tensor],
    output_size: int | Sequence[int],
    spatial_scale: float = 1.0,
    sampling_ratio: int = -1,
    aligned: bool = False,
) -> Tensor:
    """Pool features in boxes to grids of one size; the arguments of `torchvision.ops.roi_align`.

    Args:
        input: Features, (batch, channels, height, width).
        boxes: (boxes, 5), the first column the sample; or one (boxes, 4) for each sample. Corners are
            x1, y1, x2, y2.
        output_size: Height and width of a grid; one number for both.
        spatial_scale: Factor from the boxes' coordinates to those of the features.
        sampling_ratio: Points in a bin along each side; as many as it is wide, rounded up, if not positive.
            Then boxes larger than the features get no more points than one as large as these.
        aligned: Shift the boxes by half a pixel, and allow them to be smaller than one.

    Returns:
        (boxes, channels, output height, output width).
    """
    rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
    samples, corners = _told_apart(boxes)
    left, top, right, bottom = (corners * spatial_scale - (0.5 if aligned else 0.0)).unbind(1)
    wide, high = right - left, bottom - top
    if not aligned:
        wide, high = wide.clamp(min=1.0), high.clamp(min=1.0)
    y, y_counts = _points(top, high, rows, input.shape[2], sampling_ratio)
    x, x_counts = _points(left, wide, columns, input.shape[3], sampling_ratio)
    across = _weights(x, x_counts, input.shape[3])
    down = _weights(y, y_counts, input.shape[2])
    return torch.einsum("nchw,nih,njw->ncij", input[samples], down, across)


def _told_apart(boxes: Tensor | Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The sample and the corners of each box."""
    if isinstance(boxes, Tensor):
        return boxes[:, 0].long(), boxes[:, 1:]
    samples = [
        torch.full((len(part),), place, dtype=torch.long, device=part.device)
        for place, part in enumerate(boxes)
    ]
    return torch.cat(samples), torch.cat(list(boxes))


def _points(start: Tensor, extent: Tensor, bins: int, size: int, ratio: int) -> tuple[Tensor, Tensor]:
    """The points along one side, (boxes, bins, most points), and how many of each bin are used, (boxes,)."""
    bin_size = extent / bins
    most = ratio if ratio > 0 else max(math.ceil(size / bins), 1)
    counts = torch.full_like(bin_size, ratio) if ratio > 0 else bin_size.ceil().clamp(1, most)
    steps = torch.arange(most, dtype=start.dtype, device=start.device) + 0.5
    within = steps * (bin_size / counts)[:, None]
    firsts = start[:, None] + torch.arange(bins, dtype=start.dtype, device=start.device) * bin_size[:, None]
    return firsts[:, :, None] + within[:, None, :], counts


def _weights(points: Tensor, counts: Tensor, size: int) -> Tensor:
    """How much of each row (or column) of the features a bin takes, (boxes, bins, size).

    Interpolation in two directions is one in each after the other, so that the mean over a bin is too.
    """
    beyond = (points < -1.0) | (points > size)  # more than a pixel outside counts as zero
    places = torch.arange(points.shape[-1], device=points.device)
    unused = places >= counts[:, None, None]
    at = points.clamp(0, size - 1)
    rows = torch.arange(size, dtype=points.dtype, device=points.device)
    tent = (1 - (at[..., None] - rows).abs()).clamp(min=0)
    taken = tent.masked_fill((beyond | unused)[..., None], 0.0)
    return taken.sum(2) / counts[:, None, None]
