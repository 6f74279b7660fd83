"""Gated DeltaNet: linear attention that overwrites what a key holds, and forgets at a rate it computes.

arXiv 2412.06464, section 3 and figure 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..delta_rule import delta_rule_flops, gated_delta_rule, gated_delta_step
from .causal_convolution import CausalConvolution
from .contract import SequenceLayer


class GatedDeltaNetState(NamedTuple):
    """The state matrices, and the last inputs of the short convolutions of q, k and v."""

    matrix: Float[Tensor, "batch heads key value"]
    tail: Float[Tensor, "batch past three_widths"]


class GatedDeltaNet(SequenceLayer):
    """S_t = a_t S_{t-1} (I - beta_t k_t k_t^T) + beta_t v_t k_t^T, read with q_t, in each of `heads` heads.

    q, k and v pass short convolutions of `taps` tokens and SiLU, q and k have unit norm, beta is in
    (0, 1), log a_t = -A softplus(w x_t + bias) with Mamba-2's initialisation (A in [1, 16], dt in
    [0.001, 0.1]). What is read is normalised per head and gated. Keys and values are as wide as the
    input: the state is dim * dim / heads, 4,096 at width 128 with 4 heads.

    Raises LayerError where `heads` do not divide `dim`, or `taps` is below 1.
    """

    EPSILON = 1e-6

    def __init__(self, dim: int, max_length: int, heads: int = 4, taps: int = 4) -> None:
        super().__init__()
        del max_length
        if heads < 1 or dim % heads:
            raise LayerError(f"gated-deltanet: {heads} heads do not divide a width of {dim}")
        if taps < 1:
            raise LayerError(f"gated-deltanet: taps is {taps}: it must be at least 1")
        self.dim, self.heads, self.head = dim, heads, dim // heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=False)
        self.convolution = CausalConvolution(3 * dim, taps, bias=False)
        self.beta = nn.Linear(dim, heads, bias=False)
        self.decay = nn.Linear(dim, heads)
        self.log_a = nn.Parameter(torch.empty(heads).uniform_(1, 16).log())
        self.gate = nn.Linear(dim, dim, bias=False)
        self.scale = nn.Parameter(torch.ones(self.head))
        self.output = nn.Linear(dim, dim, bias=False)
        with torch.no_grad():
            dt = torch.empty(heads).uniform_(math.log(0.001), math.log(0.1)).exp()
            self.decay.bias.copy_(torch.log(torch.expm1(dt)))  # the inverse of softplus

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self._run(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], GatedDeltaNetState]:
        """The parallel form, and the state after it."""
        y, matrix, qkv = self._run(x)
        return y, GatedDeltaNetState(matrix, self.convolution.state(qkv))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> GatedDeltaNetState:
        """Zeros; the matrices in float32 at least."""
        precise = torch.promote_types(dtype, torch.float32)
        return GatedDeltaNetState(
            torch.zeros(batch, self.heads, self.head, self.head, device=device, dtype=precise),
            torch.zeros(batch, self.convolution.taps - 1, 3 * self.dim, device=device, dtype=dtype),
        )

    def step(
        self, x: Float[Tensor, "batch width"], state: GatedDeltaNetState
    ) -> tuple[Float[Tensor, "batch width"], GatedDeltaNetState]:
        """One more token."""
        qkv, tail = self.convolution.step(self.qkv(x), state.tail)
        q, k, v = self._heads(qkv)  # (batch, heads, head) each
        beta, log_decay = self._gates(x)  # (batch, heads) each
        y, matrix = gated_delta_step(q, k, v, beta, log_decay, state.matrix)
        return self._read(y.flatten(1), x), GatedDeltaNetState(matrix, tail)

    def state_elements(self, length: int) -> int:
        """One matrix a head, whatever the length."""
        del length
        return self.heads * self.head**2

    def tail_elements(self) -> int:
        """The last inputs of the short convolutions."""
        return (self.convolution.taps - 1) * 3 * self.dim

    def flops(self, length: int) -> int:
        """The linear maps, the short convolutions and the chunked delta rule."""
        maps = 2 * length * self.dim * (5 * self.dim + 2 * self.heads)
        rule = self.heads * delta_rule_flops(length, self.head, self.head)
        return maps + self.convolution.flops(length, 3 * self.dim) + rule

    def _run(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs, the final matrices, and the inputs of the short convolutions."""
        qkv = self.qkv(x)  # (batch, length, 3 width)
        q, k, v = (each.transpose(1, 2) for each in self._heads(self.convolution(qkv)))
        beta, log_decay = (each.transpose(1, 2) for each in self._gates(x))  # (batch, heads, length) each
        y, matrix = gated_delta_rule(q, k, v, beta, log_decay)
        return self._read(y.transpose(1, 2).flatten(2), x), matrix, qkv

    def _heads(self, qkv: Float[Tensor, "... three_widths"]) -> tuple[Tensor, Tensor, Tensor]:
        """q, k of unit norm and v, (..., heads, head) each, in float32 at least."""
        wide = F.silu(qkv).to(torch.promote_types(qkv.dtype, torch.float32))
        q, k, v = (each.unflatten(-1, (self.heads, self.head)) for each in wide.chunk(3, -1))
        return self._unit(q), self._unit(k), v

    def _unit(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().sum(-1, keepdim=True) + self.EPSILON)

    def _gates(self, x: Float[Tensor, "... width"]) -> tuple[Tensor, Tensor]:
        """beta in (0, 1) and the log-decay, (..., heads) each."""
        # The bias is added in full precision: dt of 0.001 would be lost in bfloat16.
        raw = F.linear(x, self.decay.weight).to(self.decay.bias.dtype) + self.decay.bias
        return torch.sigmoid(self.beta(x)), -self.log_a.exp() * F.softplus(raw)

    def _read(self, y: Float[Tensor, "... width"], x: Float[Tensor, "... width"]) -> Tensor:
        """Root-mean-square norm of each head, the gate, and the output map."""
        heads = y.unflatten(-1, (self.heads, self.head))
        normed = heads * torch.rsqrt(heads.square().mean(-1, keepdim=True) + self.EPSILON) * self.scale
        gate = F.silu(self.gate(x))
        return self.output(normed.flatten(-2).to(gate.dtype) * gate)
