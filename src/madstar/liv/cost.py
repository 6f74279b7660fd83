"""What an architecture costs, from its spec alone: nothing is trained, no weights are made."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .backbone import Backbone
from .spec import BackboneSpec


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
    backbone = skeleton(spec)
    elements = sum(layer.operator.state_elements(length) for layer in backbone.depth())
    output = 2 * length * spec.width * spec.vocabulary_size
    return Cost(
        length=length,
        parameters=sum(p.numel() for p in backbone.parameters()),
        flops=sum(layer.operator.flops(length) for layer in backbone.depth()) + output,
        cache_elements=elements,
        cache_bytes=elements * dtype.itemsize,
    )


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
