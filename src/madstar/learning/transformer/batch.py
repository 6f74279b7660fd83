"""Graphs of a batch side by side, padded to the largest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from ..features import ATTRIBUTES, BLOCK, COLUMNS, Features
from .relations import SELF, orders, relations

_STRETCH = 1.35
_COLUMN = {name: i for i, (name, _) in enumerate(COLUMNS)}


@dataclass(frozen=True)
class Batch:
    """Tokens of g graphs: each one's nodes, its blocks, then nothing up to t.

    `nodes` and `tokens` count them; `causal` says of which graphs only the past may be seen. `depths` are
    ways of data edges, `shapes` hashes of results (0 unknown).
    """

    operations: Int[Tensor, "g t"]
    columns: Int[Tensor, "g t columns"]
    attributes: Int[Tensor, "g t attributes"]
    shapes: Int[Tensor, "g t"]
    relations: UInt8[Tensor, "g t t"]
    orders: UInt8[Tensor, "g t t"]
    nodes: Int[Tensor, " g"]
    tokens: Int[Tensor, " g"]
    causal: Int[Tensor, " g"]

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return replace(self, **{name: getattr(self, name).to(device) for name in self.__dataclass_fields__})


def batch_of(graphs: Sequence[Features]) -> Batch:
    """The batch of these graphs."""
    counts = [len(f) + len(f.blocks) for f in graphs]
    g, t = len(graphs), max(counts)
    operations = np.zeros((g, t), np.int32)
    columns = np.zeros((g, t, len(COLUMNS)), np.int32)
    attributes = np.zeros((g, t, ATTRIBUTES), np.int32)
    shapes = np.zeros((g, t), np.int32)
    near = np.zeros((g, t, t), np.uint8)
    near[:, np.arange(t), np.arange(t)] = SELF  # what attends to nothing would give nan
    order = np.zeros((g, t, t), np.uint8)
    for k, (f, count) in enumerate(zip(graphs, counts, strict=True)):
        n = len(f)
        operations[k, :n], operations[k, n:count] = f.operations, BLOCK
        columns[k, :n], attributes[k, :n], shapes[k, :n] = f.columns, f.attributes, f.shapes
        columns[k, n:count, _COLUMN["nesting"]] = np.minimum(f.blocks[:, 1], 11)
        columns[k, n:count, _COLUMN["count"]] = f.blocks[:, 2]
        columns[k, n:count, _COLUMN["takers"]] = f.blocks[:, 3]  # of a block: how many nodes it has
        near[k, :count, :count] = relations(f)
        order[k, :count, :count] = orders(f)
    return Batch(
        torch.from_numpy(operations),
        torch.from_numpy(columns),
        torch.from_numpy(attributes),
        torch.from_numpy(shapes),
        torch.from_numpy(near),
        torch.from_numpy(order),
        torch.tensor([len(f) for f in graphs]),
        torch.tensor(counts),
        torch.tensor([int(f.causal) for f in graphs]),
    )


def in_batches(sizes: Sequence[int], most: int = 1024) -> list[list[int]]:
    """Numbers of graphs in batches of like sizes, each of at most `most` padded tokens (or one graph).

    Within a batch the largest has at most `_STRETCH` times the tokens of the smallest: padding costs too.
    """
    made: list[list[int]] = []
    for number in sorted(range(len(sizes)), key=lambda i: sizes[i]):
        fits = made and sizes[number] * (len(made[-1]) + 1) <= most
        if fits and sizes[number] <= _STRETCH * sizes[made[-1][0]]:
            made[-1].append(number)
        else:
            made.append([number])
    return made
