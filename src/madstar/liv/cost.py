"""What an architecture costs, from its spec alone: nothing is trained, no weights are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .assembly import Pool, check_size
from .backbone import Backbone, Layer
from .differential import Differential
from .given import Given
from .operator import LIV, Size
from .spec import BackboneSpec, LayerSpec, OperatorSpec


@dataclass(frozen=True)
class Cost:
    """Static cost of a backbone.

    `parameters` counts shared weights once. `flops` are those of one forward pass over `length`
    tokens at batch 1, 2 per multiply-add, matrix products, convolutions and transforms only.
    `cache_bytes` is what decoding holds per sequence after `length` tokens, shared features once.
    """

    length: int
    parameters: int
    flops: int
    cache_elements: int
    cache_bytes: int


@lru_cache(maxsize=64)
def skeleton(spec: BackboneSpec) -> Backbone:
    """The backbone on the meta device: shapes without storage."""
    with torch.device("meta"):
        return Backbone(spec)


def cost(spec: BackboneSpec, length: int, dtype: torch.dtype = torch.bfloat16) -> Cost:
    """The cost at a sequence length; the cache in `dtype`. Raises GenomeError as `Backbone` does."""
    size = Size(spec.width, spec.heads, spec.window, spec.rotary_base)
    check_size(size)
    layers = [_figures(layer.operator, layer.shared, size) for layer in spec.layers]
    elements = sum(operator.state_elements(length) for operator in layers)
    vocabulary = spec.vocabulary_size * spec.width
    return Cost(
        length=length,
        parameters=_parameters(spec, layers) + vocabulary * (1 if spec.tied else 2) + spec.width,
        flops=sum(operator.flops(length) for operator in layers) + 2 * length * vocabulary,
        cache_elements=elements,
        cache_bytes=elements * dtype.itemsize,
    )


class _Figures(NamedTuple):
    """What a layer of its own costs: weights of its featurizer by (half, role), the others, the rest."""

    groups: dict[tuple[str, str], int]
    others: int
    operator: LIV | Differential | Given

    def flops(self, length: int) -> int:
        """Of one forward pass over `length` tokens."""
        return self.operator.flops(length)

    def state_elements(self, length: int) -> int:
        """Numbers held after `length` tokens."""
        return self.operator.state_elements(length)


@lru_cache(maxsize=4096)
def _figures(operator: OperatorSpec, shared: tuple[str, ...], size: Size) -> _Figures:
    """The layer is built once on the meta device: a search asks for thousands of backbones of few layers."""
    with torch.device("meta"):
        pool: Pool = {}
        layer = Layer(LayerSpec(operator, featurizer_pool=0, shared=shared), size, pool)
    groups = {(half, role): _count(group) for (_, half, role), group in pool.items()}
    return _Figures(groups, _count(layer) - sum(groups.values()), layer.operator)


def _parameters(spec: BackboneSpec, layers: Sequence[_Figures]) -> int:
    """Weights of all layers, those of a pool once: they are those of its first layer that has them."""
    pooled: set[tuple[int, str, str]] = set()
    total = 0
    for layer, figures in zip(spec.layers, layers, strict=True):
        total += figures.others
        for group, weights in figures.groups.items():
            key = None if layer.featurizer_pool is None else (layer.featurizer_pool, *group)
            if key not in pooled:
                total += weights
            if key is not None:
                pooled.add(key)
    return total


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def state_bytes(state: Any) -> int:
    """Bytes really held by a decoding state: every tensor in it, each storage once."""
    held: dict[int, int] = {}

    def visit(part: Any) -> None:
        if isinstance(part, Tensor):
            storage = part.untyped_storage()
            held[storage.data_ptr()] = storage.nbytes()
        elif isinstance(part, dict):
            for value in part.values():
                visit(value)
        elif isinstance(part, tuple | list):
            for value in part:
                visit(value)

    visit(state)
    return sum(held.values())
