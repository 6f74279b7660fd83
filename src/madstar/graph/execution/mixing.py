"""Whether a graph that stands in a layer's place brings tokens together, found by running it."""

from __future__ import annotations

import torch

from ...errors import GraphError
from ..model import Graph
from .as_layer import GraphLayer, layer_width

_LENGTH = 12
_CLOSE = 1e-4


def mixes(graph: Graph, seed: int = 0) -> bool:
    """Whether with random weights the outputs are finite and depend on earlier tokens.

    False where it gives another shape than the (batch, length, width) that it takes. Raises GraphError where
    the graph is no layer, cannot be computed, or looks ahead.
    """
    width = layer_width(graph)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        layer = GraphLayer(graph, width, _LENGTH)
        x = torch.randn(2, _LENGTH, width)
        early, late = x.clone(), x.clone()
        early[:, 2] += torch.randn(2, width)
        late[:, _LENGTH - 2 :] += torch.randn(2, 2, width)
        plain, from_early, from_late = layer(x), layer(early), layer(late)
    if plain.shape != x.shape or not torch.isfinite(plain).all():
        return False
    if (plain - from_late)[:, : _LENGTH - 2].abs().max() > _CLOSE * (1 + plain.abs().max()):
        raise GraphError(f"{graph.name:.80} looks ahead, though no path that does was found")
    return bool((plain - from_early)[:, 3:].abs().max() > 0)
