"""The laboratory's own architectures as graphs: genomes, and layers in MAD's language model."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...graph.model import Graph

if TYPE_CHECKING:
    from torch import nn

    from ...genome import Sizes


def genome_graph(text: str, sizes: Sizes) -> Graph:
    """The graph of a genome's backbone; `madstar trace genome:TEXT` is this.

    Raises GenomeError for a text that is no genome, GraphError where it cannot be traced.
    """

    def backbone() -> nn.Module:
        from ...genome import Genome, compile_genome
        from ...liv import Backbone

        return Backbone(compile_genome(Genome.parse(text), sizes))

    return _traced(backbone, f"genome:{text}")


def stack_graph(architecture: dict[str, Any], vocabulary_size: int = 256, length: int = 64) -> Graph:
    """The graph of an architecture of a benchmark (`protocol.architecture`) in MAD's language model.

    `architecture` is what its `to_dict` gives. Raises LayerError, GraphError.
    """
    from ...protocol.architecture import from_dict

    made = from_dict(architecture)

    def model() -> nn.Module:
        return made.make("", "language-model", vocabulary_size, length)

    return _traced(model, f"layers:{made.label}")


def _traced(make: Callable[[], nn.Module], name: str) -> Graph:
    import torch

    from ...errors import GraphError
    from ...graph.declared import Declared, example_inputs
    from ...graph.trace import trace
    from ...liv.stack import seeded

    def on(device: str) -> Graph:
        with torch.device(device):
            module = seeded(make, 0)
        inputs, symbols = example_inputs([Declared.parse("tokens:int64[batch,length]")], module)
        return trace(module, inputs, name=name, symbols=symbols)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return on("meta")
        except GraphError:
            return on("cpu")  # torch.autocast, for one, knows no meta device
