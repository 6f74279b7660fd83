"""The graph transformer as a plain module of tensors: it can be traced into the corpus like any model.

    madstar trace src/madstar/learning/transformer/traceable.py:SmallTransformer \\
      --input "operations:int64[batch,length]" --input "columns:int64[batch,length,21]" \\
      --input "attributes:int64[batch,length,6]" --input "relations:int64[batch,length,length]" \\
      --input "orders:int64[batch,length,length]" --input "nodes:int64[batch]"
"""

from __future__ import annotations

from jaxtyping import Float, Int
from torch import Tensor, nn

from madstar.learning.features import OperationTable
from madstar.learning.transformer.config import SIZES, TransformerConfig
from madstar.learning.transformer.model import GraphTransformer

_OPERATIONS = 200


class Traceable(nn.Module):
    """Encoder and the heads that every node is asked, from tensors to tensors."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        table = OperationTable(tuple(f"operation{i}" for i in range(_OPERATIONS)))
        model = GraphTransformer(config, table)
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


class SmallTransformer(Traceable):
    """Of the size "small"."""

    def __init__(self) -> None:
        super().__init__(SIZES["small"])


class BaseTransformer(Traceable):
    """Of the size "base"."""

    def __init__(self) -> None:
        super().__init__(SIZES["base"])
