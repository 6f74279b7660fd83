"""The auto-encoder backbone of MAD's compression task (arXiv 2403.17844, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .stack import EMBEDDING_STD, LayerLike, Stack, Unembedding


class Decoder(nn.Module):
    """Reads a sequence back from one vector, position by position.

    It sees the vector plus a sinusoidal embedding of the position asked for, so whatever it restores
    went through that vector. It does not expand: norm, linear, GELU, twice, then norm and logits.
    """

    positions: Tensor

    def __init__(self, dim: int, vocab_size: int, max_length: int) -> None:
        super().__init__()
        self.register_buffer("positions", sinusoids(max_length, dim), persistent=False)
        self.mlp = nn.Sequential(*(part for _ in range(2) for part in _decoder_layer(dim)))
        self.unembed = Unembedding(dim, vocab_size)

    def forward(
        self, code: Float[Tensor, "batch width"], length: int
    ) -> Float[Tensor, "batch {length} vocabulary"]:
        """Logits of the token at each of `length` positions."""
        return self.unembed(self.mlp(code[:, None] + self.positions[:length]))


class AutoEncoder(Stack):
    """Layers compress a sequence into its last token's vector; a `Decoder` restores each token from it.

    Works for every length up to `max_length`. Raises LayerError for layers that cannot be built.
    """

    def __init__(
        self,
        vocab_size: int,
        max_length: int,
        layers: Sequence[LayerLike],
        layer_cfgs: Sequence[Mapping[str, Any]] | None = None,
        dim: int = 128,
        embedding_std: float = EMBEDDING_STD,
    ) -> None:
        super().__init__(vocab_size, max_length, layers, layer_cfgs, dim, embedding_std)
        self.decoder = Decoder(dim, vocab_size, max_length)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
        """Logits of the token at each position, from the last token's vector alone."""
        return self.decoder(self.encode(tokens), tokens.shape[1])

    def encode(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch width"]:
        """The vector that a sequence is compressed into."""
        return self.hidden(tokens)[:, -1]


def sinusoids(length: int, dim: int) -> Float[Tensor, "{length} {dim}"]:
    """Sines and cosines of positions at wavelengths 2 pi to 20,000 pi (arXiv 1706.03762, section 3.5)."""
    half = (dim + 1) // 2
    frequency = torch.exp(-math.log(10_000.0) * torch.arange(half) / max(1, half - 1))
    angle = torch.arange(length)[:, None] * frequency
    return torch.cat([angle.sin(), angle.cos()], dim=-1)[:, :dim]


def _decoder_layer(dim: int) -> tuple[nn.Module, ...]:
    linear = nn.Linear(dim, dim)
    nn.init.zeros_(linear.bias)
    return nn.RMSNorm(dim, eps=1e-6), linear, nn.GELU()
