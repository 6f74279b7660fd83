"""Selective scan: h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t, y_t = C_t h_t, a decay per channel and state.

Such decays admit no matrix form, so the scan is element-wise, in two sweeps over chunks: all chunks at
once walk through their tokens, first to find what each chunk adds to the state, then, from the right
states, to read. A sweep's steps are `CHUNK`, the carry between chunks length / CHUNK small ones. Every
decay is used as it is, never divided by: nothing overflows and nothing is bounded. The work is twice
a loop's, where log-step doubling takes log2(length) times, and its slices fit a cache.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor

CHUNK = 32


class SelectiveResult(NamedTuple):
    """What is read at every token, and the state after the last."""

    y: Float[Tensor, "batch length channels"]
    final: Float[Tensor, "batch state channels"]


def selective_scan(
    x: Float[Tensor, "batch length channels"],
    dt: Float[Tensor, "batch length channels"],
    A: Float[Tensor, "state channels"],
    B: Float[Tensor, "batch length state"],
    C: Float[Tensor, "batch length state"],
    chunk: int = CHUNK,
) -> SelectiveResult:
    """The scan from h_0 = 0, in float32 at least. `dt` >= 0 and `A` <= 0, of any size.

    Source: arXiv 2312.00752, algorithm 2, with the simplified discretisation dt B of its code.
    """
    length = x.shape[1]
    chunk = min(chunk, length)
    x, dt, A, B, C = (each.to(torch.promote_types(each.dtype, torch.float32)) for each in (x, dt, A, B, C))
    steps = _tokens(dt, chunk)[..., None, :].unbind(2)  # chunk times (batch, n, 1, channels)
    inputs = _tokens(dt * x, chunk)[..., None, :].unbind(2)
    writers = _tokens(B, chunk)[..., None].unbind(2)  # chunk times (batch, n, state, 1)
    readers = _tokens(C, chunk)[..., None].unbind(2)
    decays = [torch.exp(step * A) for step in steps]  # chunk times (batch, n, state, channels)

    added = inputs[0] * writers[0]
    for decay, new, writer in zip(decays[1:], inputs[1:], writers[1:], strict=True):
        added = torch.addcmul(new * writer, decay, added)
    passed = torch.exp(_tokens(dt, chunk).sum(2)[..., None, :] * A)
    h = _before(passed, added)
    read = []
    for decay, new, writer, reader in zip(decays, inputs, writers, readers, strict=True):
        h = torch.addcmul(new * writer, decay, h)
        read.append((reader * h).sum(2))  # (batch, n, channels)
    y = torch.stack(read, 2).flatten(1, 2)[:, :length]
    return SelectiveResult(y, h[:, -1].clone())


def selective_step(
    x: Float[Tensor, "batch channels"],
    dt: Float[Tensor, "batch channels"],
    A: Float[Tensor, "state channels"],
    B: Float[Tensor, "batch state"],
    C: Float[Tensor, "batch state"],
    h: Float[Tensor, "batch state channels"],
) -> tuple[Float[Tensor, "batch channels"], Float[Tensor, "batch state channels"]]:
    """One token of the scan: what it reads, and the next state."""
    h = torch.exp(dt[:, None] * A) * h + B[..., None] * (dt * x)[:, None]
    return (C[..., None] * h).sum(1), h


def _tokens(x: Float[Tensor, "batch length d"], chunk: int) -> Float[Tensor, "batch n chunk d"]:
    """The sequence in chunks, filled up with zeros: dt = 0 neither decays nor writes."""
    missing = -x.shape[1] % chunk
    if missing:
        x = F.pad(x, (0, 0, 0, missing))
    return x.reshape(x.shape[0], -1, chunk, x.shape[-1])


def _before(
    passed: Float[Tensor, "batch n state channels"], added: Float[Tensor, "batch n state channels"]
) -> Float[Tensor, "batch n state channels"]:
    """The state before each chunk, from what each lets pass and adds: one small step a chunk."""
    h = torch.zeros_like(added[:, 0])
    before = []
    for decay, new in zip(passed.unbind(1), added.unbind(1), strict=True):
        before.append(h)
        h = torch.addcmul(new, decay, h)
    return torch.stack(before, 1)
