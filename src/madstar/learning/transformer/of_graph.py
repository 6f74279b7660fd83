"""An encoder that is itself a graph: what became of the traced one by edits, trained in its place.

The corpus holds the encoder as an entry (`madstar:graph-encoder`, see `traceable.py`). Whatever edits and
rewrites make of that graph is an encoder too, so long as it takes and gives the same tensors.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from ...errors import ConfigurationError, GraphError
from ...graph.execution import build
from ...graph.model import Graph, Node
from ...graph.statistics import shapes_of
from ..features import ATTRIBUTE_BUCKETS, COLUMNS, OperationTable, features
from ..view import view
from .batch import Batch, batch_of
from .config import TransformerConfig
from .encoder import Encoded, GraphEncoder
from .relations import CODES

INPUTS = ("operations", "columns", "attributes", "relations", "orders", "nodes")
"""What it takes, by name: fields of `Batch`."""

OUTPUTS = ("tokens", "pooled")
"""What it gives, by name: float32 of (graphs, tokens, width) and (graphs, width)."""

_LOOKUP = "embedding"


class EncoderOfGraph(nn.Module):
    """A graph's computation as the encoder of a graph transformer.

    Its weights start as those of the encoder of these sizes drawn from torch's global generator, wherever
    name and shape are the same, so that two graphs that differ in one block start alike in all others. What
    is left starts as the graph says (`graph.execution.fresh`). Dropout is not in a graph that was recorded in
    evaluation.

    Raises ConfigurationError where the graph is no encoder of this width, and where a token's vector depends
    on tokens that it may not see (`relations.NONE`): such an encoder would read what comes next, or answer
    by what else is in its batch.
    """

    def __init__(self, graph: Graph, config: TransformerConfig, table: OperationTable) -> None:
        super().__init__()
        if why := why_no_encoder(graph, config.width):
            raise ConfigurationError(f"{graph.name:.80} is no encoder: {why}")
        like = GraphEncoder(config, table)
        self.graph = graph
        try:
            self.module = build(with_table(graph, table.size))
        except GraphError as error:
            raise ConfigurationError(f"{graph.name:.80} is no encoder: {error}") from None
        start = dict(like.named_parameters())
        with torch.no_grad():
            for name, parameter in self.module.named_parameters():
                found = start.get(name)
                if found is not None and found.shape == parameter.shape:
                    parameter.copy_(found)
        if self._sees_more(table):
            raise ConfigurationError(
                f"{graph.name:.80} is no encoder: its vectors depend on tokens that may not be seen; "
                "keep what adds the biases of pairs to the scores of attention"
            )

    def forward(self, batch: Batch) -> Encoded:
        """Vectors of a batch of graphs."""
        found = self.module(**{name: getattr(batch, name).long() for name in INPUTS})
        return Encoded(found.tokens, found.pooled)

    @torch.inference_mode()
    def _sees_more(self, table: OperationTable) -> bool:
        """Whether the first half of a causal graph, this one, changes with its second half, or with another
        graph beside it.
        """
        shown = features(view(self.graph), table, causal=True)
        batch, half = batch_of([shown, shown]), len(shown) // 2
        draw = torch.Generator().manual_seed(0)
        ranges = {
            "operations": torch.tensor(table.size),
            "columns": torch.tensor([size for _, size in COLUMNS]),
            "attributes": torch.tensor(ATTRIBUTE_BUCKETS),
            "relations": torch.tensor(CODES),
        }
        changed = {}
        for name, below in ranges.items():
            changed[name] = (torch.rand(getattr(batch, name).shape, generator=draw) * below).long()
            changed[name][0, :half] = getattr(batch, name)[0, :half]
        before, now = (self(each).tokens[0, :half] for each in (batch, replace(batch, **changed)))
        return not torch.allclose(before, now, rtol=1e-3, atol=1e-4)


def why_no_encoder(graph: Graph, width: int) -> str:
    """Why a graph cannot be the encoder of a graph transformer of this width; empty where it can."""
    for word, names, wanted in (
        ("takes", graph.input_names, INPUTS),
        ("gives", graph.output_names, OUTPUTS),
    ):
        if tuple(names) != wanted:
            return (
                f"it {word} {', '.join(names)[:120] or 'nothing'}; an encoder {word} {', '.join(wanted)} "
                "(madstar trace madstar:graph-encoder gives one)"
            )
    shapes = shapes_of(graph.main)
    for name, output in zip(OUTPUTS, graph.main.outputs, strict=True):
        if (shape := shapes[output])[-1:] != (width,):
            return f"{name} are {list(shape)}, and the transformer is {width} wide; give a size of that width"
    if _table(graph) is None:
        return "it looks up its operations in no table of the outermost block"
    return ""


def with_table(graph: Graph, rows: int) -> Graph:
    """An encoder whose table of operations has so many rows: how many there are, a vocabulary decides."""
    path, main = _table(graph), graph.main
    parameters = tuple(
        replace(p, shape=(rows, *p.shape[1:])) if p.path == path else p for p in main.parameters
    )
    return replace(graph, definitions={**graph.definitions, graph.root: replace(main, parameters=parameters)})


def _table(graph: Graph) -> str | None:
    """The path of the weight in which the operations are looked up."""
    asked = f"%{graph.main.inputs[INPUTS.index('operations')].name}"
    for item in graph.main.items:
        if isinstance(item, Node) and item.op == _LOOKUP:
            given = {argument.slot: argument.source for argument in item.arguments}
            if given.get("input") == asked and given.get("weight", "").startswith("@"):
                return given["weight"][1:]
    return None
