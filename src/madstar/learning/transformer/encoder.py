"""The graph transformer: from a batch of graphs to a vector for every node, block and graph."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..features import ATTRIBUTE_BUCKETS, COLUMNS, OperationTable
from .batch import Batch
from .config import TransformerConfig
from .layers import EDGE_TYPES, NEIGHBOURS, Layer, edge_matrices
from .pooling import Pool
from .relations import CODES, NONE, ORDERS

_NEVER = -1e9


class Encoded(NamedTuple):
    """What the encoder makes of a batch: `tokens` of every node and block, `pooled` of each graph."""

    tokens: Float[Tensor, "g t width"]
    pooled: Float[Tensor, "g width"]


class GraphEncoder(nn.Module):
    """Nodes and blocks as tokens; a node's copies are one token with a count.

    A token is the sum of embeddings of its categories (`features.py`). Every layer attends among all tokens
    of the graph, with a bias for each head that depends on what the two are to one another
    (`relations.py`), as Ying et al. (arXiv 2106.05234) do with distances, and adds messages along direct
    edges by the position of the argument, as relational networks do (Schlichtkrull et al., arXiv 1703.06103).
    """

    def __init__(self, config: TransformerConfig, table: OperationTable) -> None:
        super().__init__()
        self.config = config
        width = config.width
        sizes = [size for _, size in COLUMNS]
        self.operation = nn.Embedding(table.size, width)
        self.column = nn.Embedding(sum(sizes), width)
        self.attribute = nn.Embedding(ATTRIBUTE_BUCKETS, width, padding_idx=0)
        starts = torch.tensor([sum(sizes[:i]) for i in range(len(sizes))])
        self.starts: Tensor
        self.register_buffer("starts", starts, persistent=False)
        self.pair_bias = nn.Embedding(CODES, config.layers * config.heads)
        self.order_bias = nn.Embedding(ORDERS, config.layers * config.heads) if config.order else None
        types = len(EDGE_TYPES) + (len(NEIGHBOURS) if config.order else 0)
        self.layers = nn.ModuleList(
            Layer(width, config.heads, types, config.expansion, config.dropout) for _ in range(config.layers)
        )
        self.norm = nn.RMSNorm(width)
        self.pool = Pool(width)
        self.dropout = nn.Dropout(config.dropout)
        for embedding in (self.operation, self.column, self.attribute):
            nn.init.normal_(embedding.weight, std=0.2)
        for bias in (self.pair_bias, self.order_bias):
            if bias is not None:
                nn.init.zeros_(bias.weight)

    def forward(self, batch: Batch) -> Encoded:
        """Vectors of a batch of graphs."""
        return self.encode(
            batch.operations,
            batch.columns,
            batch.attributes,
            batch.relations,
            batch.orders,
            batch.nodes,
        )

    def encode(
        self,
        operations: Int[Tensor, "g t"],
        columns: Int[Tensor, "g t columns"],
        attributes: Int[Tensor, "g t attributes"],
        relations: Int[Tensor, "g t t"],
        orders: Int[Tensor, "g t t"],
        nodes: Int[Tensor, " g"],
    ) -> Encoded:
        """The same from tensors, which is what is traced."""
        x = self.operation(operations) + self.column(columns + self.starts).sum(-2)
        x = self.dropout(x + self.attribute(attributes).sum(-2))
        biases = self._biases(relations, orders)
        tokens = x
        matrices = edge_matrices(relations, orders if self.config.order else None).to(x.dtype)
        for layer, bias in zip(self.layers, biases, strict=True):
            x = layer(x, bias, matrices)
        x = self.norm(x)
        return Encoded(x, self.pool(x, tokens, nodes))

    def _biases(
        self, relations: Int[Tensor, "g t t"], orders: Int[Tensor, "g t t"]
    ) -> tuple[Float[Tensor, "g heads t t"], ...]:
        """The bias of each layer.

        Both codes of a pair are looked up at once, in a table of sums: what is made for every pair is most of
        the work of a large batch. One row of the table at a time: so layers and heads come first, as
        attention reads them, and nothing of the size of all pairs is copied.
        """
        table, codes = self.pair_bias.weight, relations.int()
        never = torch.arange(CODES, device=table.device) == NONE
        table = table.masked_fill(never[:, None], _NEVER)
        if self.order_bias is not None:
            table = (table[:, None] + self.order_bias.weight).flatten(0, 1)
            codes = codes * ORDERS + orders.int()
        g, t, _ = codes.shape
        bias = table.t().contiguous().index_select(1, codes.flatten())
        return bias.view(self.config.layers, self.config.heads, g, t, t).transpose(1, 2).unbind()
