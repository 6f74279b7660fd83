"""Retention (RetNet): linear attention with rotary positions and a constant decay for each head.

arXiv 2307.08621, section 2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..key_decay import advance, head_decay_flops, join_heads, scan_head_decay, split_heads
from ..rotary import rotate
from .contract import SequenceLayer


class RetentionState(NamedTuple):
    """The state matrices, and how many tokens have been seen: the next one's rotation."""

    matrix: Float[Tensor, "batch heads key value"]
    position: int


class Retention(SequenceLayer):
    """S_t = gamma S_{t-1} + k_t^T v_t, read with q_t, in each of `heads` heads.

    gamma = 1 - 2^(-5 - head); q and k are turned by their positions, which together with gamma is
    the paper's xPos. What is read is normalised per head (group norm) and gated by swish. Values
    are expand_v * dim wide: the state is dim * dim * expand_v / heads, 4,096 at width 128 with 4 heads.

    Raises LayerError where `heads` do not divide the widths, or a head's width is odd.
    """

    EPSILON = 1e-5
    ROTARY_BASE = 10_000.0

    def __init__(self, dim: int, max_length: int, heads: int = 4, expand_v: float | int = 1.0) -> None:
        super().__init__()
        del max_length
        values = int(dim * expand_v)
        for name, width in (("a width", dim), ("values", values)):
            if heads < 1 or width < 1 or width % heads:
                raise LayerError(f"retention: {heads} heads do not divide {name} of {width}")
        if dim // heads % 2:
            raise LayerError(f"retention: heads of width {dim // heads} are odd: rotary positions need pairs")
        self.dim, self.heads, self.values = dim, heads, values
        self.head_k, self.head_v = dim // heads, values // heads
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, values, bias=False)
        self.gate = nn.Linear(dim, values, bias=False)
        self.norm_scale = nn.Parameter(torch.ones(values))
        self.norm_shift = nn.Parameter(torch.zeros(values))
        self.output = nn.Linear(values, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return self.prefill(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], RetentionState]:
        """The parallel form, and the state after it."""
        log_decay = self.log_decay(x)[None, :, None].expand(1, self.heads, x.shape[1])
        y, matrix = scan_head_decay(*self._features(x, 0), log_decay)
        return self._read(y, x), RetentionState(matrix, x.shape[1])

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> RetentionState:
        """Zeros, in float32 at least."""
        precise = torch.promote_types(dtype, torch.float32)
        shape = (batch, self.heads, self.head_k, self.head_v)
        return RetentionState(torch.zeros(shape, device=device, dtype=precise), 0)

    def step(
        self, x: Float[Tensor, "batch width"], state: RetentionState
    ) -> tuple[Float[Tensor, "batch width"], RetentionState]:
        """One more token."""
        x = x[:, None]  # A sequence of one token.
        q, k, v = (each[:, :, 0] for each in self._features(x, state.position))
        y, matrix = advance(state.matrix, q, k, v, self.log_decay(x)[None, :, None])
        return self._read(y[:, :, None], x)[:, 0], RetentionState(matrix, state.position + 1)

    def state_elements(self, length: int) -> int:
        """One matrix a head, whatever the length."""
        del length
        return self.heads * self.head_k * self.head_v

    def flops(self, length: int) -> int:
        """The linear maps and the chunked scan."""
        maps = 2 * length * self.dim * (2 * self.dim + 3 * self.values)
        return maps + head_decay_flops(length, self.head_k, self.head_v, self.heads)

    def log_decay(self, x: Tensor) -> Float[Tensor, " heads"]:
        """log gamma = log(1 - 2^(-5 - head)); not a buffer, which a cast of the layer would round."""
        precise = torch.promote_types(x.dtype, torch.float32)
        head = torch.arange(self.heads, device=x.device, dtype=precise)
        return torch.log1p(-(2.0 ** (-5 - head)))

    def _features(
        self, x: Float[Tensor, "batch length width"], start: int
    ) -> tuple[
        Float[Tensor, "batch heads length key"],
        Float[Tensor, "batch heads length key"],
        Float[Tensor, "batch heads length value"],
    ]:
        """q and k turned by their positions, counted from `start`, and v, in heads."""
        q = split_heads(self.query(x) * self.head_k**-0.5, self.heads)
        k = split_heads(self.key(x), self.heads)
        return (
            rotate(q, start, self.ROTARY_BASE),
            rotate(k, start, self.ROTARY_BASE),
            split_heads(self.value(x), self.heads),
        )

    def _read(
        self, y: Float[Tensor, "batch heads length head"], x: Float[Tensor, "batch length width"]
    ) -> Float[Tensor, "batch length width"]:
        """Group norm over each head, the gate, and the output map."""
        y = F.layer_norm(y, (self.head_v,), eps=self.EPSILON)
        normed = join_heads(y) * self.norm_scale + self.norm_shift
        gate = F.silu(self.gate(x))
        return self.output(normed.to(gate.dtype) * gate)
