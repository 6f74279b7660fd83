"""The graph transformer as an architecture: modules from tensors to tensors, and their graphs.

`madstar trace madstar:graph-encoder` gives the encoder, `madstar:graph-transformer` the encoder with the
heads that every node is asked. What edits make of the former can be trained in its place (`of_graph.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ...errors import GraphError
from ...graph.declared import Declared, example_inputs
from ...graph.model import Graph
from ...graph.trace import trace
from ...plugins import nearest
from ..features import ATTRIBUTES, COLUMNS, OperationTable
from .config import TransformerConfig
from .encoder import GraphEncoder
from .model import GraphTransformer

INPUTS = (
    "operations:int64[batch,length]",
    f"columns:int64[batch,length,{len(COLUMNS)}]",
    f"attributes:int64[batch,length,{ATTRIBUTES}]",
    "relations:int64[batch,length,length]",
    "orders:int64[batch,length,length]",
    "nodes:int64[batch]",
)
"""What both take, as `madstar trace` has it."""

_OPERATIONS = 200


class TraceableEncoder(GraphEncoder):
    """The encoder alone, from tensors to tensors; its weights have the names that the encoder's have."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__(config, _table())

    forward = GraphEncoder.encode  # type: ignore[assignment]


class Traceable(nn.Module):
    """Encoder and the heads that every node is asked, from tensors to tensors."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        model = GraphTransformer(config, _table())
        assert isinstance(model.encoder, GraphEncoder)
        self.encoder, self.operation, self.gap = model.encoder, model.operation, model.gap

    def forward(
        self,
        operations: Int[Tensor, "g t"],
        columns: Int[Tensor, "g t columns"],
        attributes: Int[Tensor, "g t attributes"],
        relations: Int[Tensor, "g t t"],
        orders: Int[Tensor, "g t t"],
        nodes: Int[Tensor, " g"],
    ) -> tuple[Float[Tensor, "g t operations"], Float[Tensor, "g 1+t"], Float[Tensor, "g width"]]:
        """Scores of operations, logits of gaps, the graphs' vectors. `nodes` must be below t."""
        tokens, pooled = self.encoder.encode(operations, columns, attributes, relations, orders, nodes)
        read = (operations, relations, nodes)
        return self.operation(tokens, *read), self.gap(tokens, *read), pooled


MODELS: Mapping[str, Callable[[TransformerConfig], nn.Module]] = {
    "graph-encoder": TraceableEncoder,
    "graph-transformer": Traceable,
}
"""By the name that stands behind "madstar:"."""


def traced(name: str, config: TransformerConfig) -> Graph:
    """The graph of one of `MODELS`, of these sizes and 200 operations.

    Raises GraphError for another name.
    """
    if name not in MODELS:
        raise GraphError(
            f"madstar has no model {name!r} of its own{nearest(name, MODELS)}; there are {', '.join(MODELS)}"
        )
    # Not on the meta device: of a buffer a graph says what it holds, if that is known (`graph.buffers`).
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        torch.manual_seed(0)
        module = MODELS[name](config)
        make, symbols = example_inputs([Declared.parse(text) for text in INPUTS], module)
        return trace(module, make, name=f"madstar:{name}", symbols=symbols)


def _table() -> OperationTable:
    return OperationTable(tuple(f"operation{i}" for i in range(_OPERATIONS)))
