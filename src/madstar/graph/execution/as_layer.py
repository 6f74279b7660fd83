"""A graph as a layer of a sequence model: (batch, length, width) in, the same out.

`graph:FILE` names one wherever layers are named (`madstar.plugins`), beside users' own classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import GraphError
from ..json_format import load
from ..model import Graph
from .building import build

_FLOATING = "float32"
_PLAIN = "output"
"""The name by which a single output is given as a tensor, and not as an entry of a dictionary."""


class GraphLayer(nn.Module):
    """A graph's computation with fresh weights, drawn from torch's global generator.

    Raises GraphError where the graph is no layer (`why_no_layer`) or is one of another width.
    """

    def __init__(self, graph: Graph, dim: int, max_length: int) -> None:
        del max_length  # a graph takes any length that its operations take
        super().__init__()
        width = layer_width(graph)
        if width != dim:
            raise GraphError(f"{graph.name:.80} is a layer of width {width}, and the model's is {dim}")
        seed = int(torch.randint(2**31, (1,), device="cpu").item())
        generator = torch.Generator().manual_seed(seed)
        plain = replace(graph, output_names=(_PLAIN,))
        self.module = build(plain, generator=generator, device=torch.get_default_device())

    def forward(self, x: Tensor) -> Tensor:
        """x: (batch, length, width) -> (batch, length, width)."""
        made: Tensor = self.module(x)
        return made


def why_no_layer(graph: Graph) -> str:
    """Why a graph cannot be a layer, in words; empty where it can.

    It takes one float32 tensor of (batch, length, a number) and gives one output. That this is of the same
    shape and does not look ahead, inference and `causality` say.
    """
    main = graph.main
    if len(main.inputs) != 1 or len(main.outputs) != 1:
        return f"it takes {len(main.inputs)} tensors and gives {len(main.outputs)}; a layer has one of each"
    given = main.inputs[0]
    if given.dtype != _FLOATING:
        return f"it takes {given.dtype}; a layer takes {_FLOATING}"
    if len(given.shape) != 3 or not all(isinstance(size, str) for size in given.shape[:2]):
        return f"it takes {list(given.shape)}; a layer takes [batch, length, width]"
    if given.shape[0] == given.shape[1] or not isinstance(given.shape[2], int):
        return f"it takes {list(given.shape)}; a layer takes [batch, length, a number]"
    return ""


def layer_width(graph: Graph) -> int:
    """Channels of the sequences that a graph takes. Raises GraphError for one that is no layer."""
    if why := why_no_layer(graph):
        raise GraphError(f"{graph.name:.80} is no layer: {why}")
    return int(graph.main.inputs[0].shape[2])


def of_file(path: str) -> Callable[..., nn.Module]:
    """What makes the layer of a graph file, as `make(dim=..., max_length=...)`. Raises GraphError."""
    graph = load(Path(path))
    layer_width(graph)

    def make(dim: int, max_length: int) -> nn.Module:
        return GraphLayer(graph, dim, max_length)

    return make
