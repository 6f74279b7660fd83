"""Differential attention: the difference of two attention maps, so that what both see by chance cancels.

(softmax(q1 k1^T / sqrt(d)) - lambda softmax(q2 k2^T / sqrt(d))) v   (arXiv 2410.05258, section 2.1)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..rotary import rotate
from .attention import attention_flops, causal_attention, check_rotary, own, repeated, split_heads
from .contract import SequenceLayer

# The standard deviation of the lambda vectors, and the norm's epsilon, from the authors' code.
LAMBDA_STD = 0.1
EPSILON = 1e-5


class DifferentialAttentionState(NamedTuple):
    """Keys of both maps, (first, second) for each head in turn, rotated; and values."""

    keys: Float[Tensor, "batch maps past head"]
    values: Float[Tensor, "batch heads past value"]
    position: int


class DifferentialAttention(SequenceLayer):
    """Multi-head differential attention (section 2.1).

    Queries and keys of a head are `head` = dim / (2 heads) channels for each of the two maps, its values
    2 * head: `heads` is half of what a Transformer of that head width has, so that parameters and
    operations are the same. `depth` is the layer's place, from 1, which sets where lambda begins.

    Raises LayerError where twice the heads do not divide the width, or a head cannot be rotated.
    """

    def __init__(
        self, dim: int, max_length: int, heads: int = 8, depth: int = 1, rotary_base: float = 10000.0
    ) -> None:
        super().__init__()
        del max_length  # rotary positions have no end
        if heads < 1 or dim % (2 * heads):
            raise LayerError(
                f"differential attention: {heads} heads of two maps each do not divide a width of {dim}; "
                "use a divisor of half the width"
            )
        if depth < 1:
            raise LayerError(f"differential attention: depth {depth}; layers are counted from 1")
        self.heads, self.head, self.rotary_base = heads, dim // (2 * heads), rotary_base
        check_rotary(self.head, "differential attention")
        self.lambda_initial = 0.8 - 0.6 * math.exp(-0.3 * (depth - 1))
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        # (map, of query or key, head): shared by the heads of a layer.
        self.lambdas = nn.Parameter(torch.randn(2, 2, self.head) * LAMBDA_STD)
        self.norm = nn.RMSNorm(2 * self.head, eps=EPSILON)  # each head by itself
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """Both maps of all heads as one fused attention."""
        return self._attended(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], DifferentialAttentionState]:
        """The outputs for a prompt, and its keys and values."""
        y, k, v = self._attended(x)
        return y, DifferentialAttentionState(own(k), own(v), x.shape[1])

    def initial_state(
        self, batch: int, device: torch.device, dtype: torch.dtype
    ) -> DifferentialAttentionState:
        """No keys, no values."""
        keys = torch.zeros(batch, 2 * self.heads, 0, self.head, device=device, dtype=dtype)
        values = torch.zeros(batch, self.heads, 0, 2 * self.head, device=device, dtype=dtype)
        return DifferentialAttentionState(keys, values, 0)

    def step(
        self, x: Float[Tensor, "batch width"], state: DifferentialAttentionState
    ) -> tuple[Float[Tensor, "batch width"], DifferentialAttentionState]:
        """Attend from one more token to all before it and itself."""
        q, k, v = self._projected(x[:, None], state.position)
        keys, values = torch.cat([state.keys, k], 2), torch.cat([state.values, v], 2)
        maps = (q @ keys.transpose(-1, -2) * self.head**-0.5).softmax(-1)  # (batch, 2 heads, 1, past)
        y = self._difference(maps @ repeated(values, 2 * self.heads)).squeeze(1)
        return self.output(y), DifferentialAttentionState(keys, values, state.position + 1)

    def state_elements(self, length: int) -> int:
        """Keys and values of the whole past."""
        return 2 * length * self.heads * 2 * self.head

    def flops(self, length: int) -> int:
        """Projections, then two maps a head, each against values of twice the head's width."""
        projections = 4 * 2 * length * self.output.weight.numel()
        return projections + attention_flops(length, 2 * self.heads, self.head, value=2 * self.head)

    def _attended(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self._projected(x, 0)
        y = causal_attention(q, k, repeated(v, 2 * self.heads))  # (batch, 2 heads, length, 2 head)
        return self.output(self._difference(y)), k, v

    def _projected(self, x: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        q = rotate(split_heads(self.query(x), 2 * self.heads), start, self.rotary_base)
        k = rotate(split_heads(self.key(x), 2 * self.heads), start, self.rotary_base)
        return q, k, split_heads(self.value(x), self.heads)

    def _difference(self, y: Float[Tensor, "batch maps length value"]) -> Float[Tensor, "batch length width"]:
        """(1 - lambda_initial) norm(first - lambda second), heads side by side (equations 2 and 3)."""
        first, second = y.unflatten(1, (self.heads, 2)).unbind(2)
        y = self.norm(first - self.strength().to(y.dtype) * second) * (1 - self.lambda_initial)
        return y.transpose(1, 2).flatten(2)

    def strength(self) -> Float[Tensor, ""]:
        """lambda = exp(l_q1 . l_k1) - exp(l_q2 . l_k2) + lambda_initial (equation 2)."""
        first, second = self.lambdas.prod(1).sum(-1).exp()
        return first - second + self.lambda_initial
