"""The language model backbone of MAD (arXiv 2403.17844, section 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor

from .stack import EMBEDDING_STD, LayerLike, Stack, Unembedding


class LanguageModel(Stack):
    """Embedding (standard deviation `embedding_std`), x + layer(RMSNorm(x)) per layer, norm, logits; untied.

    Layers know positions themselves, by rotation, recurrence or convolution: there is no embedding of
    positions. Works for every length up to `max_length`. Raises LayerError for layers that cannot be built.
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
        self.unembed = Unembedding(dim, vocab_size)

    def forward(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length vocabulary"]:
        """Logits for the target at each position."""
        return self.unembed(self.hidden(tokens))
