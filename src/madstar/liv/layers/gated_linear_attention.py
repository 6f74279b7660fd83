"""Gated linear attention: a matrix state whose key channels decay at rates computed from the input.

arXiv 2312.06635, section 4.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..key_decay import advance, join_heads, key_decay_flops, scan_key_decay, split_heads
from .contract import SequenceLayer


class GatedLinearAttentionState(NamedTuple):
    """The state matrices."""

    matrix: Float[Tensor, "batch heads key value"]


class GatedLinearAttention(SequenceLayer):
    """S_t = diag(a_t) S_{t-1} + k_t^T v_t, read with q_t, in each of `heads` heads.

    a_t = sigmoid(x_t W_1 W_2 + b)^(1 / gate_normalizer), W_1 of rank `gate_rank`. What is read is
    normalised per head (root mean square, as in the authors' code) and gated by swish. Keys are
    expand_k * dim wide, values expand_v * dim. State at width 128: 128 x 128 = 16,384 numbers with one
    head, 4 x 32 x 32 = 4,096 with 4, 8 x 16 x 16 = 2,048 with 8.

    Raises LayerError where `heads` do not divide the widths of keys and values, or for settings below 1.
    """

    EPSILON = 1e-5

    def __init__(
        self,
        dim: int,
        max_length: int,
        heads: int = 4,
        gate_rank: int = 16,
        gate_normalizer: float | int = 16.0,
        expand_k: float | int = 1.0,
        expand_v: float | int = 1.0,
    ) -> None:
        super().__init__()
        del max_length
        keys, values = int(dim * expand_k), int(dim * expand_v)
        for name, width in (("keys", keys), ("values", values)):
            if heads < 1 or width < 1 or width % heads:
                raise LayerError(f"gated-linear-attention: {heads} heads do not divide {name} of {width}")
        if gate_rank < 1 or gate_normalizer <= 0:
            raise LayerError("gated-linear-attention: gate_rank and gate_normalizer must be positive")
        self.dim, self.heads, self.keys, self.values = dim, heads, keys, values
        self.head_k, self.head_v = keys // heads, values // heads
        self.gate_rank, self.gate_normalizer = gate_rank, gate_normalizer
        self.query = nn.Linear(dim, keys, bias=False)
        self.key = nn.Linear(dim, keys, bias=False)
        self.value = nn.Linear(dim, values, bias=False)
        self.decay = nn.Sequential(nn.Linear(dim, gate_rank, bias=False), nn.Linear(gate_rank, keys))
        self.gate = nn.Linear(dim, values, bias=False)
        self.norm_scale = nn.Parameter(torch.ones(self.head_v))
        self.output = nn.Linear(values, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self.prefill(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], GatedLinearAttentionState]:
        """The parallel form, and the state after it."""
        y, matrix = scan_key_decay(*self._features(x))
        return self._read(y, x), GatedLinearAttentionState(matrix)

    def initial_state(
        self, batch: int, device: torch.device, dtype: torch.dtype
    ) -> GatedLinearAttentionState:
        """Zeros, in float32 at least."""
        precise = torch.promote_types(dtype, torch.float32)
        shape = (batch, self.heads, self.head_k, self.head_v)
        return GatedLinearAttentionState(torch.zeros(shape, device=device, dtype=precise))

    def step(
        self, x: Float[Tensor, "batch width"], state: GatedLinearAttentionState
    ) -> tuple[Float[Tensor, "batch width"], GatedLinearAttentionState]:
        """One more token."""
        x = x[:, None]  # A sequence of one token.
        y, matrix = advance(state.matrix, *(each[:, :, 0] for each in self._features(x)))
        return self._read(y[:, :, None], x)[:, 0], GatedLinearAttentionState(matrix)

    def state_elements(self, length: int) -> int:
        """One matrix a head, whatever the length."""
        del length
        return self.heads * self.head_k * self.head_v

    def flops(self, length: int) -> int:
        """The linear maps and the chunked scan."""
        decay = self.gate_rank * (self.dim + self.keys)
        maps = 2 * length * (self.dim * (2 * self.keys + 3 * self.values) + decay)
        return maps + self.heads * key_decay_flops(length, self.head_k, self.head_v)

    def _features(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[
        Float[Tensor, "batch heads length key"],
        Float[Tensor, "batch heads length key"],
        Float[Tensor, "batch heads length value"],
        Float[Tensor, "batch heads length key"],
    ]:
        """q, k, v and log a, in heads."""
        q = split_heads(self.query(x) * self.head_k**-0.5, self.heads)
        k, v = split_heads(self.key(x), self.heads), split_heads(self.value(x), self.heads)
        raw = self.decay(x)
        log_a = F.logsigmoid(raw.to(torch.promote_types(raw.dtype, torch.float32))) / self.gate_normalizer
        return q, k, v, split_heads(log_a, self.heads)

    def _read(
        self, y: Float[Tensor, "batch heads length head"], x: Float[Tensor, "batch length width"]
    ) -> Float[Tensor, "batch length width"]:
        """Normalise each head, gate, and map back."""
        y = F.rms_norm(y, (self.head_v,), self.norm_scale, self.EPSILON)
        gate = F.silu(self.gate(x))
        return self.output(join_heads(y).to(gate.dtype) * gate)
