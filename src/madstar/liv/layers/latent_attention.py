"""Multi-head latent attention: keys and values of all heads kept as one compressed vector a token.

c = W_dkv x;  k_h = [W_uk_h c ; rope(W_kr x)];  v_h = W_uv_h c;  q_h = [W_uq_h x' ; rope(W_qr_h x')]
with x' the query's own compression or x itself   (DeepSeek-V2, arXiv 2405.04434, section 2.1)
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ...errors import LayerError
from ..rotary import rotate
from .attention import attention_flops, causal_attention, check_rotary, head_width, own, split_heads
from .contract import SequenceLayer


class LatentAttentionState(NamedTuple):
    """Of each past token the compressed vector, and the one rotary key that all heads share."""

    latent: Float[Tensor, "batch past kv_rank"]
    rotary_key: Float[Tensor, "batch past rotary"]
    position: int


class LatentAttention(SequenceLayer):
    """Multi-head latent attention with a decoupled rotary key.

    `kv_rank`: numbers kept of a token for its keys and values, beside `rotary_dim` (half a head by default)
    of its rotary key. `query_rank`: the compression of queries, which saves parameters, not state; none by
    default, as in DeepSeek-V2-Lite. Compressed vectors pass an RMSNorm (section 3.1.2); what is kept
    is the vector after it.

    Raises LayerError where heads do not divide the width, a rank is below 1, or rotary_dim is odd.
    """

    def __init__(
        self,
        dim: int,
        max_length: int,
        heads: int = 16,
        kv_rank: int = 28,
        query_rank: int | None = None,
        rotary_dim: int | None = None,
        rotary_base: float = 10000.0,
    ) -> None:
        super().__init__()
        del max_length  # rotary positions have no end
        self.heads, self.head = heads, head_width(dim, heads, "latent attention")
        self.kv_rank, self.rotary_base = kv_rank, rotary_base
        self.rotary = self.head // 2 if rotary_dim is None else rotary_dim
        check_rotary(self.rotary, "latent attention")
        for name, rank in (("kv_rank", kv_rank), ("query_rank", query_rank)):
            if rank is not None and rank < 1:
                raise LayerError(f"latent attention: {name} is {rank}; use 1 or more")
        self.query_down = None if query_rank is None else nn.Linear(dim, query_rank, bias=False)
        self.query_norm = None if query_rank is None else nn.RMSNorm(query_rank, eps=1e-6)
        self.query = nn.Linear(query_rank or dim, heads * (self.head + self.rotary), bias=False)
        self.down = nn.Linear(dim, kv_rank, bias=False)
        self.norm = nn.RMSNorm(kv_rank, eps=1e-6)
        self.rotary_key = nn.Linear(dim, self.rotary, bias=False)
        self.key_up = nn.Linear(kv_rank, dim, bias=False)
        self.value_up = nn.Linear(kv_rank, dim, bias=False)
        self.output = nn.Linear(dim, dim, bias=False)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """Keys and values made from the compressed vectors, then fused attention."""
        return self._attended(x)[0]

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], LatentAttentionState]:
        """The outputs for a prompt, and its compressed vectors and rotary keys."""
        y, latent, rotary_key = self._attended(x)
        return y, LatentAttentionState(own(latent), own(rotary_key), x.shape[1])

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> LatentAttentionState:
        """No tokens."""
        latent = torch.zeros(batch, 0, self.kv_rank, device=device, dtype=dtype)
        rotary_key = torch.zeros(batch, 0, self.rotary, device=device, dtype=dtype)
        return LatentAttentionState(latent, rotary_key, 0)

    def step(
        self, x: Float[Tensor, "batch width"], state: LatentAttentionState
    ) -> tuple[Float[Tensor, "batch width"], LatentAttentionState]:
        """Attend in the space of compressed vectors: no key or value of the past is made again.

        q . (W_uk c) = (W_uk^T q) . c, and the same for values after the weighted sum.
        """
        content, position = (part.squeeze(2) for part in self._queries(x[:, None], state.position))
        new, new_key = self._compressed(x[:, None], state.position)
        latent, keys = torch.cat([state.latent, new], 1), torch.cat([state.rotary_key, new_key], 1)
        up = self.key_up.weight.unflatten(0, (self.heads, self.head))  # (heads, head, kv_rank)
        absorbed = torch.einsum("bhd,hdr->bhr", content, up)
        scores = absorbed @ latent.transpose(-1, -2) + position @ keys.transpose(-1, -2)
        mixed = (scores * self._scale()).softmax(-1) @ latent  # (batch, heads, kv_rank)
        up = self.value_up.weight.unflatten(0, (self.heads, self.head))
        y = torch.einsum("bhr,hdr->bhd", mixed, up).flatten(1)
        return self.output(y), LatentAttentionState(latent, keys, state.position + 1)

    def state_elements(self, length: int) -> int:
        """A compressed vector and a rotary key a token, whatever the number of heads."""
        return length * (self.kv_rank + self.rotary)

    def flops(self, length: int) -> int:
        """Projections, then attention of queries and keys wider than values by the rotary channels."""
        maps = [part for part in self.modules() if isinstance(part, nn.Linear)]
        projections = sum(2 * length * part.weight.numel() for part in maps)
        return projections + attention_flops(length, self.heads, self.head + self.rotary, value=self.head)

    def _attended(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q = torch.cat(self._queries(x, 0), -1)  # (batch, heads, length, head + rotary)
        latent, rotary_key = self._compressed(x, 0)
        keys, v = split_heads(self.key_up(latent), self.heads), split_heads(self.value_up(latent), self.heads)
        k = torch.cat([keys, rotary_key[:, None].expand(-1, self.heads, -1, -1)], -1)
        y = causal_attention(q, k, v)
        return self.output(y.transpose(1, 2).flatten(2)), latent, rotary_key

    def _queries(self, x: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Queries for content and for positions, (batch, heads, length, head) and (..., rotary)."""
        if self.query_down is not None and self.query_norm is not None:
            x = self.query_norm(self.query_down(x))
        content, position = split_heads(self.query(x), self.heads).split([self.head, self.rotary], -1)
        return content, rotate(position, start, self.rotary_base)

    def _compressed(self, x: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """What is kept of each token: (batch, length, kv_rank) and (batch, length, rotary)."""
        key = rotate(self.rotary_key(x)[:, None], start, self.rotary_base).squeeze(1)
        return self.norm(self.down(x)), key

    def _scale(self) -> float:
        return (self.head + self.rotary) ** -0.5
