"""What stands close to a place in a graph, read as it is: operations, not vectors of an encoder.

What comes next is mostly said by the last few operations and by whose results nothing takes yet; that
something is missing, by two operations side by side that seldom are. An encoder has to learn to carry these
to the node that is asked; tables looked up by them learn it from every node of every graph at once, as
n-grams and forests do (docs/graph-transformer.md has what it brings).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..features import BLOCK
from .batch import Batch
from .relations import FAR, GIVES, IDLE, IDLE_SIBLING, SELF, TAKES

REACH = 6
"""Operations before the place that are told apart by how far away they are."""

_GIVERS = 2
_ARGUMENTS = GIVES[:2]
"""Of so many of them the givers of these arguments are read too."""

_BESIDE = (-2, -1, 1, 2)
_LINKS = (*GIVES[:2], *TAKES[:2])
_EMPTY = 0


def operations_at(operations: Tensor, nodes: Tensor, graph: Tensor, places: Tensor) -> Tensor:
    """Categories (g, t) of operations at places of graphs, of any shape; 0 outside of a graph's `nodes`."""
    inside = (places >= 0) & (places < nodes[graph])
    found = operations[graph, places.clamp(0, operations.shape[1] - 1)].long()
    return torch.where(inside, found, _EMPTY)


def first_of(codes: Tensor, code: int) -> Tensor:
    """The first token in each row that has a code, -1 where none has."""
    found = codes == code
    return torch.where(found.any(-1), found.int().argmax(-1), -1)


class LocalContext(nn.Module):
    """Scores of what comes after a node, from the operations just before and from what is idle.

    Only what lies at or before the node is read, so that it may be asked for every node of a causal graph.
    `symbols` is the number of categories of operations. Without `order` only the wiring is read: the node,
    what it takes, and what is idle.
    """

    def __init__(self, width: int, symbols: int, operations: int, dropout: float, order: bool) -> None:
        super().__init__()
        self.reach = REACH if order else 1
        self.givers = min(_GIVERS, self.reach)
        self.symbols = symbols
        self.recent = nn.Embedding(self.reach * symbols, width)
        self.given = nn.Embedding(self.givers * len(_ARGUMENTS) * symbols, width)
        self.idle = nn.Embedding(symbols, width)
        self.scores = nn.Sequential(
            nn.RMSNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, operations),
        )
        for table in (self.recent, self.given, self.idle):
            nn.init.normal_(table.weight, std=0.3)

    def forward(
        self, batch: Batch, graph: Int[Tensor, " k"], node: Int[Tensor, " k"]
    ) -> Float[Tensor, "k operations"]:
        """Logits of the operation after `node` in `graph`, a causal one, to be added to the encoder's."""
        back = torch.arange(self.reach, device=node.device)
        places = node[:, None] - back
        seen = operations_at(batch.operations, batch.nodes, graph[:, None], places)
        vectors = self.recent(seen + back * self.symbols).sum(1)
        for k in range(self.givers):
            vectors = vectors + self._givers(batch, graph, places[:, k], k)
        return self.scores(vectors + self._idle(batch, graph, node))

    def _givers(self, batch: Batch, graph: Tensor, places: Tensor, k: int) -> Tensor:
        """The sum over the first two arguments of the k-th node back of what gives them."""
        codes = batch.relations[graph, places.clamp_min(0)]
        total: Tensor | float = 0.0
        for position, code in enumerate(_ARGUMENTS):
            source = torch.where(places >= 0, first_of(codes, code), -1)
            offset = (k * len(_ARGUMENTS) + position) * self.symbols
            seen = operations_at(batch.operations, batch.nodes, graph, source)
            total = total + self.given(seen + offset)
        return torch.as_tensor(total)

    def _idle(self, batch: Batch, graph: Tensor, node: Tensor) -> Tensor:
        """The sum over the nodes so far whose results nothing takes yet; of many, its growth is damped."""
        codes = batch.relations[graph, node]
        operations = batch.operations[graph].long()
        idle = (codes >= FAR + IDLE) | (codes == IDLE_SIBLING) | (codes == SELF)
        idle &= (operations != _EMPTY) & (operations != BLOCK)
        counts = codes.new_zeros((len(node), self.symbols), dtype=torch.float32)
        counts.scatter_add_(1, operations, idle.float())
        # Not a product of matrices: those round as their memory happens to lie, and a resumed training
        # would not be the same bit for bit.
        rows, symbols = counts.nonzero(as_tuple=True)
        weighted = self.idle(symbols) * counts[rows, symbols].log1p()[:, None]
        return weighted.new_zeros(len(node), weighted.shape[1]).index_add(0, rows, weighted)


class LocalOddness(nn.Module):
    """Scores of every node as the place of a gap: from its operation and those that it is joined to.

    Of each node the givers and takers of the first two arguments count (of several the first in the order of
    computation), and, with `order`, the two operations listed before it and after it.
    """

    def __init__(self, width: int, symbols: int, dropout: float, order: bool) -> None:
        super().__init__()
        self.beside = (0, *(_BESIDE if order else ()))
        self.symbols = symbols
        self.near = nn.Embedding((len(self.beside) + len(_LINKS)) * symbols, width)
        self.score = nn.Sequential(
            nn.RMSNorm(width),
            nn.Linear(width, width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(width, 1),
        )
        nn.init.normal_(self.near.weight, std=0.3)

    def forward(
        self, operations: Int[Tensor, "g t"], relations: Int[Tensor, "g t t"], nodes: Int[Tensor, " g"]
    ) -> Float[Tensor, "g t"]:
        """Logits, to be added to the encoder's; those of tokens that are no nodes mean nothing."""
        count, tokens = operations.shape
        graph = torch.arange(count, device=operations.device)[:, None]
        place = torch.arange(tokens, device=operations.device)[None, :]
        reads = [place + offset for offset in self.beside]
        reads += [first_of(relations, code) for code in _LINKS]
        seen = [
            operations_at(operations, nodes, graph, read) + k * self.symbols for k, read in enumerate(reads)
        ]
        return self.score(sum(self.near(each) for each in seen)).squeeze(-1)
