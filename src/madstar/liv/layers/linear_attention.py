"""Linear attention with learned feature maps: a state of fixed size instead of all keys and values.

y_t = sum_{i<=t} phi(q_t) . psi(k_i) v_i / (phi(q_t) . sum_{i<=t} psi(k_i) + eps)

(arXiv 2006.16236, section 3).

MAD's feature map is the product of two learned linear maps of the head, other maps for queries
than for keys (as in Based, arXiv 2402.18668, and flash-linear-attention).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..scan import read, scan_flops, write
from .attention import head_width, own, split_heads
from .contract import SequenceLayer


class LinearAttentionState(NamedTuple):
    """sum of psi(k) v^T, and sum of psi(k): the normaliser."""

    matrix: Float[Tensor, "batch heads head head"]
    normaliser: Float[Tensor, "batch heads head"]


class ElementwiseProduct(nn.Module):
    """phi(x) = (A x + a) * (B x + b), the same for every head. Features can be negative."""

    def __init__(self, head: int) -> None:
        super().__init__()
        self.first = nn.Linear(head, head)
        self.second = nn.Linear(head, head)

    def forward(self, x: Float[Tensor, "... head"]) -> Float[Tensor, "... head"]:
        """Features of each token's head."""
        return self.first(x) * self.second(x)


class Elu(nn.Module):
    """phi(x) = elu(x) + 1 (arXiv 2006.16236, equation 7): nothing learned, always positive."""

    def forward(self, x: Float[Tensor, "... head"]) -> Float[Tensor, "... head"]:
        """Features of each token's head."""
        return F.elu(x) + 1


class LinearAttention(SequenceLayer):
    """Chunked linear attention, `heads` heads of width dim / heads.

    `feature_map`: "elementwise-product" (MAD's) or "elu". MAD's map has no sign, so the divisor can come
    close to zero, which makes an output large; `eps` does not hinder it. It is kept as it is published.

    Raises LayerError for other maps, and where heads do not divide the width.
    """

    def __init__(
        self,
        dim: int,
        max_length: int,
        heads: int = 16,
        feature_map: str = "elementwise-product",
        eps: float = 1e-12,
    ) -> None:
        super().__init__()
        del max_length  # the state has one size
        self.heads, self.eps = heads, eps
        self.head = head_width(dim, heads, "linear attention")
        self.query_map = _feature_map(feature_map, self.head)
        self.key_map = _feature_map(feature_map, self.head)
        self.query = nn.Linear(dim, dim, bias=False)
        self.key = nn.Linear(dim, dim, bias=False)
        self.value = nn.Linear(dim, dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """Chunks of tokens as matrix products, the state between them."""
        return self.prefill(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], LinearAttentionState]:
        """The outputs for a prompt, and the state after it."""
        q, k, v = self._projected(x)  # (batch, heads, length, head)
        # Sums over a sequence and their quotients are not for bfloat16.
        with torch.autocast(x.device.type, enabled=False):
            q, k, v = (_exact(part).flatten(0, 1) for part in (q, k, v))
            # The sum of keys is read like one more channel of the values.
            memory = write(k, F.pad(v, (0, 1), value=1.0), None)
            mixed, divisor = read(q, memory).split([self.head, 1], -1)
            y = mixed / (divisor + self.eps)
            final = memory.final.unflatten(0, (x.shape[0], self.heads))
        y = y.unflatten(0, (x.shape[0], self.heads)).transpose(1, 2).flatten(2).to(x.dtype)
        return self.output(y), LinearAttentionState(own(final[..., :-1]), own(final[..., -1]))

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> LinearAttentionState:
        """Nothing written."""
        matrix = torch.zeros(batch, self.heads, self.head, self.head, device=device, dtype=dtype)
        return LinearAttentionState(matrix, matrix[..., 0].clone())

    def step(
        self, x: Float[Tensor, "batch width"], state: LinearAttentionState
    ) -> tuple[Float[Tensor, "batch width"], LinearAttentionState]:
        """Write one more token, then read."""
        q, k, v = (part.squeeze(2) for part in self._projected(x[:, None]))  # (batch, heads, head)
        matrix = state.matrix + k[..., None] * v[..., None, :]
        normaliser = state.normaliser + k
        mixed = (q[..., None, :] @ matrix).squeeze(-2)
        y = mixed / ((q * normaliser).sum(-1, keepdim=True) + self.eps)
        return self.output(y.flatten(1)), LinearAttentionState(matrix, normaliser)

    def state_elements(self, length: int) -> int:
        """A matrix and a normaliser for each head, whatever the length."""
        del length
        return self.heads * self.head * (self.head + 1)

    def flops(self, length: int) -> int:
        """Projections, feature maps, and the scan with the normaliser as one more channel."""
        maps = (self.query, self.key, self.value, self.output)
        projections = sum(2 * length * part.weight.numel() for part in maps)
        # A feature map is applied once to each head of a token.
        features = sum(
            2 * length * self.heads * part.weight.numel()
            for group in (self.query_map, self.key_map)
            for part in group.modules()
            if isinstance(part, nn.Linear)
        )
        scan = scan_flops(length, self.head, self.head + 1, decays=False) * self.heads
        return projections + features + scan

    def _projected(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = self.query_map(split_heads(self.query(x), self.heads))
        k = self.key_map(split_heads(self.key(x), self.heads))
        return q, k, split_heads(self.value(x), self.heads)


def _feature_map(name: str, head: int) -> nn.Module:
    if name == "elementwise-product":
        return ElementwiseProduct(head)
    if name == "elu":
        return Elu()
    raise LayerError(f"linear attention: no feature map {name!r}; use elementwise-product or elu")


def _exact(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
