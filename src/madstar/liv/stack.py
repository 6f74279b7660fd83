"""What both backbones of MAD share: tokens to vectors, pre-norm residual layers, vectors to logits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..errors import LayerError
from .layers.choice import LayerChoice

EMBEDDING_STD = 1.0
"""Of the scale of what layers add at first. MAD's 0.02 is drowned by the first layer's output, and
recall then takes several times as long to learn (docs/decisions/0014-the-mad-protocols.md)."""
LayerLike = str | LayerChoice | Callable[..., nn.Module]


class Residual(nn.Module):
    """x + layer(norm(x))."""

    def __init__(self, layer: nn.Module, dim: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=1e-6)
        self.layer = layer

    def forward(self, x: Float[Tensor, "batch length width"]) -> Float[Tensor, "batch length width"]:
        """A whole sequence at once."""
        return x + self.layer(self.norm(x))


class Stack(nn.Module):
    """Embedding and residual layers; the two backbones differ in what they read off at the end.

    `layers` are names of the catalogue, `LayerChoice`s, or classes made as
    `Layer(dim=..., max_length=..., **its entry of layer_cfgs)`; a class's settings are its own defaults.
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
        super().__init__()
        if not layers:
            raise LayerError("an architecture without layers: name at least one")
        if layer_cfgs is not None and len(layer_cfgs) != len(layers):
            raise LayerError(
                f"{len(layers)} layers but {len(layer_cfgs)} layer_cfgs: give one for each layer"
            )
        self.vocab_size, self.max_length, self.dim = vocab_size, max_length, dim
        self.token_embeds = nn.Embedding(vocab_size, dim)
        nn.init.normal_(self.token_embeds.weight, std=embedding_std)
        configs = layer_cfgs or [{} for _ in layers]
        self.layers = nn.ModuleList(
            Residual(_build(layer, config, dim, max_length), dim)
            for layer, config in zip(layers, configs, strict=True)
        )

    def hidden(self, tokens: Int[Tensor, "batch length"]) -> Float[Tensor, "batch length width"]:
        """The residual stream after the last layer."""
        x = self.token_embeds(tokens)
        for layer in self.layers:
            x = layer(x)
        return x


class Unembedding(nn.Module):
    """Norm and a linear map to logits, its bias at zero."""

    def __init__(self, dim: int, vocab_size: int) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(dim, eps=1e-6)
        self.linear = nn.Linear(dim, vocab_size)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Float[Tensor, "... width"]) -> Float[Tensor, "... vocabulary"]:
        """Logits."""
        return self.linear(self.norm(x))


def _build(layer: LayerLike, config: Mapping[str, Any], dim: int, max_length: int) -> nn.Module:
    for key, value in (("dim", dim), ("max_length", max_length)):
        if config.get(key, value) != value:
            raise LayerError(
                f"a layer config says {key} {config[key]}, but the model's is {value}: make them equal"
            )
    own = {key: value for key, value in config.items() if key not in ("dim", "max_length")}
    if isinstance(layer, str):
        layer = LayerChoice.of(layer, **own)
    elif isinstance(layer, LayerChoice):
        layer = LayerChoice(layer.name, tuple(sorted({**dict(layer.settings), **own}.items())))
    if isinstance(layer, LayerChoice):
        return layer.build(dim, max_length)
    return layer(dim=dim, max_length=max_length, **own)


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """A module whose weights are a function of the seed, whoever wrote it.

    torch's initialisers, and users' layers, draw from the global generator: here it is seeded for as long
    as the module is built, and left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
