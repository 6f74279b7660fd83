"""Softmax attention with rotary positions: one head or many, the whole past or a window of it.

Multi-head attention (arXiv 1706.03762, section 3.2) with rotary positions over the whole head
(arXiv 2104.09864); keys and values may have fewer heads than queries (multi-query attention,
arXiv 1911.02150, section 3; grouped-query attention, arXiv 2305.13245).

What is shared with other attentions of this folder: `split_heads`, `causal_attention`, `grown`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Bool, Float
from torch import Tensor, nn

from ...errors import LayerError
from ..rotary import rotate
from .contract import SequenceLayer


class AttentionState(NamedTuple):
    """Keys and values of the past tokens, with a window at most that many; rotated already."""

    keys: Float[Tensor, "batch kv_heads past head"]
    values: Float[Tensor, "batch kv_heads past head"]
    position: int


class SelfAttention(SequenceLayer):
    """y = W_o concat_h softmax(q_h k_h^T / sqrt(head)) v_h.

    `window`: how many earlier tokens a token sees beside itself, as flash-attention counts its left
    window: with 32, which is MAD's setting, 33 keys for each query, and a decoding state of 32 tokens.
    (`Size.window` of the operators of a genome counts the token itself too.) `kv_heads`: heads of keys
    and values, 1 for multi-query attention; all of them by default.

    Raises LayerError where heads do not divide the width, kv_heads do not divide the heads, or the
    head's width is odd and cannot be rotated.
    """

    def __init__(
        self,
        dim: int,
        max_length: int,
        heads: int = 16,
        window: int | None = None,
        kv_heads: int | None = None,
        rotary_base: float = 10000.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        del max_length  # rotary positions have no end
        self.heads, self.kv_heads, self.window = heads, kv_heads or heads, window
        self.head = head_width(dim, heads, "attention")
        check_rotary(self.head, "attention")
        if kv_heads is not None and (kv_heads < 1 or heads % kv_heads):
            raise LayerError(f"attention: kv_heads {kv_heads} does not divide {heads} heads; use a divisor")
        if window is not None and window < 1:
            raise LayerError(f"attention: a window of {window} tokens; use 1 or more, or none for all")
        self.rotary_base = rotary_base
        self.query = nn.Linear(dim, dim, bias=bias)
        self.key = nn.Linear(dim, self.kv_heads * self.head, bias=bias)
        self.value = nn.Linear(dim, self.kv_heads * self.head, bias=bias)
        self.output = nn.Linear(dim, dim, bias=bias)

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """Fused attention over all tokens; within blocks where the window is short."""
        y, _, _ = self._attended(x)
        return y

    def prefill(
        self, x: Float[Tensor, "batch length width"]
    ) -> tuple[Float[Tensor, "batch length width"], AttentionState]:
        """The outputs for a prompt, and its last keys and values."""
        y, k, v = self._attended(x)
        start = 0 if self.window is None else max(0, x.shape[1] - self.window)
        return y, AttentionState(own(k[:, :, start:]), own(v[:, :, start:]), x.shape[1])

    def initial_state(self, batch: int, device: torch.device, dtype: torch.dtype) -> AttentionState:
        """No keys, no values."""
        empty = torch.zeros(batch, self.kv_heads, 0, self.head, device=device, dtype=dtype)
        return AttentionState(empty, empty.clone(), 0)

    def step(
        self, x: Float[Tensor, "batch width"], state: AttentionState
    ) -> tuple[Float[Tensor, "batch width"], AttentionState]:
        """Attend from one more token to those held and to itself."""
        q, k, v = self._projected(x[:, None], state.position)  # (batch, heads, 1, head)
        # Queries that share a key head are its rows.
        q = q.squeeze(2).unflatten(1, (self.kv_heads, -1))  # (batch, kv_heads, repeat, head)
        keys, values = torch.cat([state.keys, k], 2), torch.cat([state.values, v], 2)
        y = (q @ keys.transpose(-1, -2) * self.head**-0.5).softmax(-1) @ values
        if self.window is not None and keys.shape[2] > self.window:
            keys, values = own(keys[:, :, -self.window :]), own(values[:, :, -self.window :])
        return self.output(y.flatten(1)), AttentionState(keys, values, state.position + 1)

    def state_elements(self, length: int) -> int:
        """Keys and values of the past that is seen."""
        seen = length if self.window is None else min(length, self.window)
        return 2 * seen * self.kv_heads * self.head

    def flops(self, length: int) -> int:
        """Projections, then scores and weighted sums as `causal_attention` computes them."""
        maps = (self.query, self.key, self.value, self.output)
        projections = sum(2 * length * linear.weight.numel() for linear in maps)
        return projections + attention_flops(length, self.heads, self.head, self.window)

    def _attended(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        q, k, v = self._projected(x, 0)
        y = causal_attention(q, repeated(k, self.heads), repeated(v, self.heads), window=self.window)
        return self.output(y.transpose(1, 2).flatten(2)), k, v

    def _projected(self, x: Tensor, start: int) -> tuple[Tensor, Tensor, Tensor]:
        q = rotate(split_heads(self.query(x), self.heads), start, self.rotary_base)
        k = rotate(split_heads(self.key(x), self.kv_heads), start, self.rotary_base)
        return q, k, split_heads(self.value(x), self.kv_heads)


# Shared by the attentions of this folder --------------------------------------------------------


def head_width(dim: int, heads: int, layer: str) -> int:
    """The width of a head. Raises LayerError where heads do not divide the width."""
    if heads < 1 or dim % heads:
        raise LayerError(f"{layer}: {heads} heads do not divide a width of {dim}; use a divisor of it")
    return dim // heads


def check_rotary(width: int, layer: str) -> None:
    """Raise LayerError unless channels can be rotated in pairs."""
    if width < 2 or width % 2:
        raise LayerError(f"{layer}: rotary positions turn pairs of channels, not {width}; use an even number")


def split_heads(
    x: Float[Tensor, "batch length width"], heads: int
) -> Float[Tensor, "batch heads length head"]:
    """Channels as heads: those of a head lie side by side."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def repeated(
    x: Float[Tensor, "batch kv_heads length head"], heads: int
) -> Float[Tensor, "batch heads length head"]:
    """Every key or value head once for each of the neighbouring query heads that share it."""
    if x.shape[1] == heads:
        return x
    return x[:, :, None].expand(-1, -1, heads // x.shape[1], -1, -1).flatten(1, 2)


def own(x: Tensor) -> Tensor:
    """A copy, so that a state does not keep the sequence alive that it was cut from."""
    return x.clone(memory_format=torch.contiguous_format)


def causal_attention(
    q: Float[Tensor, "batch heads length head"],
    k: Float[Tensor, "batch heads length head"],
    v: Float[Tensor, "batch heads length value"],
    window: int | None = None,
) -> Float[Tensor, "batch heads length value"]:
    """softmax(q k^T / sqrt(head)) v over each token and the past, or the `window` tokens before it.

    On a CPU fused attention wants keys and values of one width: filling up the narrower with zeros
    costs less than half of what attention without fusing does, in heads of 8 to 16 channels.
    """
    length, scale, width = q.shape[2], q.shape[-1] ** -0.5, v.shape[-1]
    q, k, v = _filled(q, width), _filled(k, width), _filled(v, q.shape[-1])
    if window is None or window >= length - 1:
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale)
    elif _in_blocks(length, window):
        y = _banded(q, k, v, window, scale)
    else:
        visible = torch.ones(length, length, dtype=torch.bool, device=q.device).tril().triu(-window)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=visible, scale=scale)
    return y[..., :width]


def attention_flops(
    length: int, heads: int, head: int, window: int | None = None, value: int | None = None
) -> int:
    """Operations of `causal_attention` for one sequence: all scores that are computed, seen or not.

    Zeros that fill up a narrower value or key are computed too.
    """
    pairs = length * length
    if window is not None and window < length - 1 and _in_blocks(length, window):
        pairs = -(-length // window) * window * 2 * window
    return 4 * pairs * heads * max(head, value or head)


def _filled(x: Tensor, width: int) -> Tensor:
    return F.pad(x, (0, width - x.shape[-1])) if x.shape[-1] < width else x


def _in_blocks(length: int, window: int) -> bool:
    """Whether blocks pay: measured on a CPU, from about five windows on. Tiny blocks never do."""
    return window >= 8 and length > 5 * window


def _banded(q: Tensor, k: Tensor, v: Tensor, window: int, scale: float) -> Tensor:
    """Blocks of `window` queries, each against its own block of keys and the one before.

    Linear in the length, where a mask over all pairs is quadratic.
    """
    heads, length = q.shape[1:3]
    missing = -length % window
    blocks = (length + missing) // window

    def own_and_before(x: Tensor) -> Tensor:  # (batch, heads * blocks, 2 * window, head)
        x = F.pad(x, (0, 0, window, missing))
        return x.unfold(2, 2 * window, window).transpose(-1, -2).flatten(1, 2)

    queries = F.pad(q, (0, 0, 0, missing)).unflatten(2, (blocks, window)).flatten(1, 2)
    visible = _visible_in_blocks(blocks, window, q.device).repeat(heads, 1, 1)
    y = F.scaled_dot_product_attention(
        queries, own_and_before(k), own_and_before(v), attn_mask=visible, scale=scale
    )
    return y.unflatten(1, (heads, blocks)).flatten(2, 3)[:, :, :length]


def _visible_in_blocks(blocks: int, window: int, device: torch.device) -> Bool[Tensor, "blocks query key"]:
    query = torch.arange(window, device=device)[:, None]
    key = torch.arange(-window, window, device=device)
    visible = (key <= query) & (key >= query - window)
    # There is nothing before the first block.
    exists = torch.arange(blocks, device=device)[:, None, None] * window + key >= 0
    return visible & exists
