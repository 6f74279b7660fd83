"""Mamba-2: a state space with one decay for each head, computed as masked attention in chunks (SSD).

arXiv 2405.21060, sections 6 and 7 and figure 6 (parallel projections, one group of B and C).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..key_decay import advance, head_decay_flops, join_heads, scan_head_decay, split_heads
from .causal_convolution import CausalConvolution
from .contract import SequenceLayer


class Mamba2State(NamedTuple):
    """The state space's state, and the last inputs of the short convolution over x, B and C."""

    matrix: Float[Tensor, "batch heads state head"]
    tail: Float[Tensor, "batch past convolved"]


class Mamba2(SequenceLayer):
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t^T x_t, y_t = C_t h_t + D x_t, in heads of `head` channels.

    x, of `expand * dim` channels, and B and C, of `state` each and shared by all heads, pass a short
    convolution of `taps` tokens and SiLU. dt = softplus(. + bias) and A < 0 are one per head; the bias
    spreads dt over [0.001, 0.1], A is drawn from [-16, -1]. The output is gated by SiLU and then
    normalised (root mean square). expand * dim * state numbers of state: 4,096 at width 128.

    Raises LayerError where `head` does not divide expand * dim, or for settings below 1.
    """

    EPSILON = 1e-5
    SHORTEST, LONGEST = 0.001, 0.1

    def __init__(
        self, dim: int, max_length: int, state: int = 16, head: int = 64, expand: int = 2, taps: int = 4
    ) -> None:
        super().__init__()
        del max_length
        for name, value in (("state", state), ("head", head), ("expand", expand), ("taps", taps)):
            if value < 1:
                raise LayerError(f"mamba2: {name} is {value}: it must be at least 1")
        inner = expand * dim
        if inner % head:
            raise LayerError(f"mamba2: heads of width {head} do not divide expand * dim, {inner}")
        self.dim, self.inner, self.state = dim, inner, state
        self.head, self.heads, self.convolved = head, inner // head, inner + 2 * state
        self.input = nn.Linear(dim, inner + self.convolved + self.heads, bias=False)  # z, x B C, dt
        self.convolution = CausalConvolution(self.convolved, taps, bias=True)
        self.log_a = nn.Parameter(torch.empty(self.heads).uniform_(1, 16).log())
        dt = torch.empty(self.heads).uniform_(math.log(self.SHORTEST), math.log(self.LONGEST)).exp()
        self.dt_bias = nn.Parameter(torch.log(torch.expm1(dt)))  # the inverse of softplus
        self.skip = nn.Parameter(torch.ones(self.heads))  # D
        self.norm_scale = nn.Parameter(torch.ones(inner))
        self.output = nn.Linear(inner, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self._run(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], Mamba2State]:
        """The parallel form, and the state after it."""
        y, matrix, xbc = self._run(x)
        return y, Mamba2State(matrix, self.convolution.state(xbc))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> Mamba2State:
        """Zeros; the state space's in float32 at least."""
        precise = torch.promote_types(dtype, torch.float32)
        return Mamba2State(
            torch.zeros(batch, self.heads, self.state, self.head, device=device, dtype=precise),
            torch.zeros(batch, self.convolution.taps - 1, self.convolved, device=device, dtype=dtype),
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: Mamba2State
    ) -> tuple[Float[Tensor, "batch width"], Mamba2State]:
        """One more token."""
        z, xbc, raw = self.input(x).split((self.inner, self.convolved, self.heads), -1)
        xbc, tail = self.convolution.step(xbc, state.tail)
        # A sequence of one token, so that the features are written once.
        u, (c, b, v, log_a) = self._features(xbc[:, None], raw[:, None])
        y, matrix = advance(state.matrix, c[:, :, 0], b[:, :, 0], v[:, :, 0], log_a)
        return self._read(y[:, :, None], u, z[:, None])[:, 0], Mamba2State(matrix, tail)

    def state_elements(self, length: int) -> int:
        """`state` numbers for each inner channel, whatever the length."""
        del length
        return self.state * self.inner

    def tail_elements(self) -> int:
        """The short convolution's last inputs."""
        return (self.convolution.taps - 1) * self.convolved

    def flops(self, length: int) -> int:
        """The linear maps, the short convolution and the chunked scan."""
        maps = 2 * length * (self.input.weight.numel() + self.output.weight.numel())
        scan = head_decay_flops(length, self.state, self.head, self.heads, shared_keys=True)
        return maps + self.convolution.flops(length, self.convolved) + scan

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, the final state, and the inputs of the short convolution."""
        z, xbc, raw = self.input(x).split((self.inner, self.convolved, self.heads), -1)
        u, written = self._features(self.convolution(xbc), raw)
        y, matrix = scan_head_decay(*written)
        return self._read(y, u, z), matrix, xbc

    def _features(
        self, xbc: Float[Tensor, "batch length convolved"], raw: Float[Tensor, "batch length heads"]
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor, Tensor]]:
        """x in heads, and what is scanned: C, B (one head for all), dt x, and the log-decay of each head."""
        u, b, c = F.silu(xbc).split((self.inner, self.state, self.state), -1)
        u = split_heads(u, self.heads)  # (batch, heads, length, head)
        # The bias is added in full precision: dt of 0.001 would be lost in bfloat16.
        dt = F.softplus(raw.to(self.dt_bias.dtype) + self.dt_bias).transpose(1, 2)  # (batch, heads, length)
        log_a = -self.log_a.exp()[:, None] * dt
        return u, (c[:, None], b[:, None], dt[..., None] * u, log_a)

    def _read(
        self,
        y: Float[Tensor, "batch heads length head"],
        u: Float[Tensor, "batch heads length head"],
        z: Float[Tensor, "batch length inner"],
    ) -> Float[Tensor, "batch length width"]:
        """Add x past the state, gate, normalise, and map back."""
        y = join_heads(y + self.skip[:, None, None] * u) * F.silu(z)
        return self.output(F.rms_norm(y, (self.inner,), self.norm_scale, self.EPSILON))
