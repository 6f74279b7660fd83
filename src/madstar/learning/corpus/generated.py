"""Entries that the laboratory makes: random genomes, and MAD's layers in its language model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ...errors import GraphError, LayerError
from .entries import Entry, entry_of
from .tracing import genome_graph, stack_graph
from .wanted import Wanted

if TYPE_CHECKING:
    from ...genome import Sizes

_TEXT = "text: tokens"


def random_genomes(count: int, seed: int, depths: tuple[int, int] = (2, 8)) -> list[Wanted]:
    """Random genomes of the whole space, repaired, of `depths` layers; no genome twice."""
    from ...genome import SearchSpace, repair, sample

    space = SearchSpace(min_depth=depths[0], max_depth=depths[1])
    rng = np.random.default_rng([seed, 1])
    texts: dict[str, None] = {}
    while len(texts) < count:
        genome, _ = repair(sample(space, rng), space, rng)
        texts[str(genome)] = None
    identity = f"genome {space.sizes}"
    return [Wanted(f"genome:{text}", identity, partial(_genome, text, space.sizes)) for text in texts]


def mad_layers(names: Sequence[str] = (), dim: int = 128) -> list[Wanted]:
    """MAD's layers, each in its language model: a layer that mixes tokens before a SwiGLU, twice.

    A layer that mixes channels stands behind attention. `names` are by default all of the catalogue.
    """
    from ...liv.layers.catalogue import CATALOGUE

    return [
        Wanted(f"layer:{name}", f"dim {dim}", partial(_layer, name, dim))
        for name in names or sorted(CATALOGUE)
    ]


def _genome(text: str, sizes: Sizes) -> Entry:
    facts = {"genome": text, "inputs": _TEXT}
    return entry_of(genome_graph(text, sizes), f"genome:{text}", "genome", facts=facts)


def _layer(name: str, dim: int) -> Entry | None:
    from ...liv.layers.catalogue import CATALOGUE, CHANNELS
    from ...protocol.architecture import LayerStack

    pair = ("mh-attention", name) if CATALOGUE[name].mixes == CHANNELS else (name, "swiglu")
    try:
        graph = stack_graph(LayerStack.of((*pair, *pair), dim).to_dict())
    except (LayerError, GraphError):
        return None
    return entry_of(graph, f"layer:{name}", "layer", facts={"layers": [*pair], "inputs": _TEXT})
