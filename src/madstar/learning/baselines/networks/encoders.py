"""Encoders beside the graph transformer's: GIN, GAT, and a transformer of sequences that sees no edges.

Each takes the same batch and gives a vector for every token and every graph. Messages run along direct edges
alone, from what a node takes and from what takes it, each kind of edge with a vector of its own.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from jaxtyping import Float
from torch import Tensor, nn

from ...features import ATTRIBUTE_BUCKETS, COLUMNS, OperationTable
from ...transformer.batch import Batch
from ...transformer.config import TransformerConfig
from ...transformer.encoder import Encoded
from ...transformer.pooling import Pool
from ...transformer.relations import GIVES, TAKES, TURNS

EDGES = (*GIVES, *TAKES, *TURNS)
"""Codes of the relations that are edges."""

OF_WIRING = (
    "growth",
    "arguments",
    "takers",
    "returns",
    "gives",
    "depth",
    "depth_back",
    "depth_within",
)
"""Columns that say something of the wiring, which the transformer of sequences does not see."""


class Tokens(nn.Module):
    """The sum of the embeddings of a token's categories; those in `without` are not read."""

    starts: Tensor
    read: Tensor

    def __init__(
        self, config: TransformerConfig, table: OperationTable, without: tuple[str, ...] = ()
    ) -> None:
        super().__init__()
        sizes = [size for _, size in COLUMNS]
        self.operation = nn.Embedding(table.size, config.width)
        self.column = nn.Embedding(sum(sizes), config.width)
        self.attribute = nn.Embedding(ATTRIBUTE_BUCKETS, config.width, padding_idx=0)
        self.register_buffer(
            "starts", torch.tensor([sum(sizes[:i]) for i in range(len(sizes))]), persistent=False
        )
        read = torch.tensor([name not in without for name, _ in COLUMNS])
        self.register_buffer("read", read, persistent=False)
        for embedding in (self.operation, self.column, self.attribute):
            nn.init.normal_(embedding.weight, std=0.2)

    def forward(self, batch: Batch) -> Float[Tensor, "g t width"]:
        """Vectors of all tokens."""
        columns = batch.columns * self.read.to(batch.columns.dtype)
        x = self.operation(batch.operations) + self.column(columns + self.starts).sum(-2)
        return x + self.attribute(batch.attributes).sum(-2)


class Edges:
    """The direct edges of a batch as lists: rows `to` of all tokens one after the other, `source`, `kind`."""

    def __init__(self, batch: Batch, loops: bool) -> None:
        g, t = batch.operations.shape
        relations = batch.relations
        found = (relations >= min(EDGES)) & (relations <= max(EDGES))
        graph, target, source = found.nonzero(as_tuple=True)
        self.kind = relations[graph, target, source].long() - min(EDGES)
        self.target, self.source, self.count = graph * t + target, graph * t + source, g * t
        if loops:
            own = torch.arange(g * t, device=relations.device)
            self.target, self.source = torch.cat([self.target, own]), torch.cat([self.source, own])
            self.kind = torch.cat([self.kind, torch.full_like(own, len(EDGES))])

    def summed(self, messages: Float[Tensor, "e ..."]) -> Float[Tensor, "n ..."]:
        """The sum of the messages that reach each token."""
        empty = messages.new_zeros((self.count, *messages.shape[1:]))
        return empty.index_add(0, self.target, messages)


class GinLayer(nn.Module):
    """Sums over neighbours, then a network (Xu et al., arXiv 1810.00826), edges as Hu et al. (1905.12265)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, inner = config.width, config.expansion * config.width
        self.norm = nn.LayerNorm(width)
        self.edge = nn.Embedding(len(EDGES), width)
        self.own = nn.Parameter(torch.zeros(()))
        self.map = nn.Sequential(
            nn.Linear(width, inner), nn.LayerNorm(inner), nn.GELU(), nn.Linear(inner, width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "n width"], edges: Edges) -> Float[Tensor, "n width"]:
        """The tokens, one layer on."""
        y = self.norm(x)
        reached = edges.summed(F.relu(y[edges.source] + self.edge(edges.kind)))
        return x + self.dropout(self.map((1 + self.own) * y + reached))


class GatLayer(nn.Module):
    """Attention among neighbours (Brody et al., arXiv 2105.14491), then a network on each token."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.norm, self.inner_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.receiver, self.source = nn.Linear(width, width), nn.Linear(width, width)
        self.edge = nn.Embedding(len(EDGES) + 1, width)
        self.score = nn.Parameter(torch.randn(config.heads, width // config.heads) * 0.1)
        self.given = nn.Linear(width, width)
        inner = config.expansion * width
        self.map = nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Float[Tensor, "n width"], edges: Edges) -> Float[Tensor, "n width"]:
        """The tokens, one layer on."""
        y = self.norm(x)
        sources = self.source(y)[edges.source] + self.edge(edges.kind)
        mixed = F.leaky_relu(self.receiver(y)[edges.target] + sources, 0.2).unflatten(-1, (self.heads, -1))
        scores = (mixed * self.score).sum(-1)
        weights = (scores - scores.detach().max()).float().clamp_min(-60).exp()
        weights = (weights / edges.summed(weights)[edges.target]).to(x.dtype)
        read = edges.summed(sources.unflatten(-1, (self.heads, -1)) * weights[..., None]).flatten(-2)
        x = x + self.dropout(self.given(read))
        return x + self.dropout(self.map(self.inner_norm(x)))


class MessageEncoder(nn.Module):
    """Tokens, layers of messages, a pool: GIN with `GinLayer`, GAT with `GatLayer`."""

    def __init__(self, config: TransformerConfig, table: OperationTable, attention: bool) -> None:
        super().__init__()
        self.attention = attention
        self.tokens = Tokens(config, table)
        kind = GatLayer if attention else GinLayer
        self.layers = nn.ModuleList(kind(config) for _ in range(config.layers))
        self.norm, self.pool = nn.LayerNorm(config.width), Pool(config.width)

    def forward(self, batch: Batch) -> Encoded:
        """Vectors of a batch."""
        edges = Edges(batch, loops=self.attention)
        tokens = self.tokens(batch)
        g, t, _ = tokens.shape
        x = tokens.flatten(0, 1)
        for layer in self.layers:
            x = layer(x, edges)
        x = self.norm(x).unflatten(0, (g, t))
        return Encoded(x, self.pool(x, tokens, batch.nodes))


_FARTHEST = 32
_NEVER = -1e9


class SequenceEncoder(nn.Module):
    """A transformer over the order of computation, with relative positions; of the wiring it sees nothing."""

    def __init__(self, config: TransformerConfig, table: OperationTable) -> None:
        super().__init__()
        self.heads = config.heads
        width, inner = config.width, config.expansion * config.width
        self.tokens = Tokens(config, table, OF_WIRING)
        self.position = nn.Embedding(2 * _FARTHEST + 1, config.layers * config.heads)
        self.layers = nn.ModuleList(
            nn.ModuleDict(
                {
                    "norm": nn.LayerNorm(width),
                    "taken": nn.Linear(width, 3 * width),
                    "given": nn.Linear(width, width),
                    "inner_norm": nn.LayerNorm(width),
                    "map": nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width)),
                }
            )
            for _ in range(config.layers)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.norm, self.pool = nn.LayerNorm(width), Pool(width)
        nn.init.zeros_(self.position.weight)

    def forward(self, batch: Batch) -> Encoded:
        """Vectors of a batch; tokens that are no nodes see only themselves."""
        x = tokens = self.tokens(batch)
        biases = self._biases(batch)
        for layer, bias in zip(self.layers, biases, strict=True):
            parts = layer["taken"](layer["norm"](x)).chunk(3, -1)  # type: ignore[index]
            q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
            read = F.scaled_dot_product_attention(q, k, v, bias.to(q.dtype))
            x = x + self.dropout(layer["given"](read.transpose(1, 2).flatten(2)))  # type: ignore[index]
            x = x + self.dropout(layer["map"](layer["inner_norm"](x)))  # type: ignore[index]
        x = self.norm(x)
        return Encoded(x, self.pool(x, tokens, batch.nodes))

    def _biases(self, batch: Batch) -> Float[Tensor, "layers g heads t t"]:
        t = batch.operations.shape[1]
        numbers = torch.arange(t, device=batch.operations.device)
        apart = (numbers[None, :] - numbers[:, None]).clamp(-_FARTHEST, _FARTHEST) + _FARTHEST
        bias = self.position(apart).permute(2, 0, 1).unflatten(0, (-1, self.heads))[:, None]
        nodes = numbers[None, :] < batch.nodes[:, None]
        seen = nodes[:, :, None] & nodes[:, None, :]
        seen = seen & ((numbers[None, :] <= numbers[:, None])[None] | (batch.causal == 0)[:, None, None])
        seen = seen | torch.eye(t, dtype=torch.bool, device=numbers.device)
        return bias + torch.where(seen, 0.0, _NEVER)[None, :, None]
