"""RWKV-6 "Finch": Eagle with a token shift and a decay that depend on the input, by low-rank maps.

arXiv 2404.05892, section 4.2.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..key_decay import split_heads
from .rwkv5 import Features, Rwkv5TimeMix
from .token_shift import PREVIOUS, TokenMix


class Rwkv6TimeMix(Rwkv5TimeMix):
    """Eagle's time mixing with w_t = exp(-exp(d_t)) from each token, and with data-dependent mixes.

    ddlerp(x_t, x_{t-1}) = x_t + (x_{t-1} - x_t) * (mu + tanh(z A) B), z a mix with a mu of its own, A of
    rank `mix_rank` for each of the five features; d_t = d + tanh(of_w A) B of rank `decay_rank`. The
    low-rank maps begin within 1e-4 of zero, so the layer begins as Eagle. dim * head numbers of
    state: 2,048 at width 128 with MAD's 16, 4,096 with 32.

    Raises LayerError where `head` does not divide `dim`, or for a rank below 1.
    """

    NAME = "rwkv6-time-mixer"
    MIXED = 5  # w, r, k, v, g
    LOW_RANK_BOUND = 1e-4

    def __init__(
        self, dim: int, max_length: int, head: int = 16, mix_rank: int = 32, decay_rank: int = 64
    ) -> None:
        for name, rank in (("mix_rank", mix_rank), ("decay_rank", decay_rank)):
            if rank < 1:
                raise LayerError(f"{self.NAME}: {name} is {rank}: it must be at least 1")
        super().__init__(dim, max_length, head)
        self.mix_rank, self.decay_rank = mix_rank, decay_rank
        self.mix = TokenMix(dim, (1.0,), PREVIOUS)  # of z
        self.mixes = nn.Parameter(TokenMix(dim, (1.0, 0.5, 1.0, 1.0, 0.5), PREVIOUS).weight.detach())
        self.mix_inward = self._small(dim, self.MIXED * mix_rank)
        self.mix_outward = self._small(self.MIXED, mix_rank, dim)
        self.decay_inward = self._small(dim, decay_rank)
        self.decay_outward = self._small(decay_rank, dim)

    def flops(self, length: int) -> int:
        """Eagle's, and the low-rank maps."""
        low_rank = 2 * self.MIXED * self.mix_rank + 2 * self.decay_rank
        return super().flops(length) + 2 * length * self.dim * low_rank

    def _small(self, *shape: int) -> nn.Parameter:
        return nn.Parameter(torch.empty(shape).uniform_(-self.LOW_RANK_BOUND, self.LOW_RANK_BOUND))

    def _features(
        self, x: Float[Tensor, "batch length width"], before: Float[Tensor, "batch length width"]
    ) -> Features:
        (z,) = self.mix(x, before)
        low = torch.tanh(z @ self.mix_inward).unflatten(-1, (self.MIXED, self.mix_rank))
        moved = torch.einsum("blmr,mrd->mbld", low, self.mix_outward)  # (mixed, batch, length, width)
        away = before - x
        of_w, of_r, of_k, of_v, of_g = (
            x + away * (mu + more) for mu, more in zip(self.mixes, moved.unbind(0), strict=True)
        )
        # Added in full precision: the slowest decays are near one.
        d = self.decay + (torch.tanh(of_w @ self.decay_inward) @ self.decay_outward).to(self.decay.dtype)
        return Features(
            split_heads(self.receptance(of_r), self.heads),  # (batch, heads, length, head)
            split_heads(self.key(of_k), self.heads),
            split_heads(self.value(of_v), self.heads),
            split_heads(-torch.exp(d), self.heads),
            F.silu(self.gate(of_g)),
        )
