"""Rotary position embedding (RoFormer, arXiv 2104.09864, section 3.2)."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def rotate(
    x: Float[Tensor, "batch heads length head"], start: int, base: float
) -> Float[Tensor, "batch heads length head"]:
    """Turn each pair of channels by its token's position, counted from `start`.

    The two halves of a head form the pairs. The angles are computed in float32 whatever the
    dtype of x, for positions beyond 256 are not exact in bfloat16.
    """
    half = x.shape[-1] // 2
    frequency = base ** (-torch.arange(half, device=x.device, dtype=torch.float32) / half)
    position = torch.arange(start, start + x.shape[-2], device=x.device, dtype=torch.float32)
    angle = position[:, None] * frequency
    cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
