"""What stands close to a place in a graph, read as it is: operations, not vectors of an encoder.

What comes next is mostly said by the last few operations and by whose results nothing takes yet; that
something is missing, by two operations side by side that seldom are. An encoder has to learn to carry these
to the node that is asked; tables looked up by them learn it from every node of every graph at once, as
n-grams and forests do. And what is usual in this very graph is read from the graph (`echoes.py`).
docs/graph-transformer.md has what either brings.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..features import BLOCK, MASKED
from .batch import Batch
from .config import TransformerConfig
from .echoes import Echoes, Repeats, hashed
from .relations import FAR, GIVES, IDLE, IDLE_SIBLING, SELF, TAKES

REACH = 6
"""Operations before the place that are told apart by how far away they are."""

_GIVERS = 2
_ARGUMENTS = GIVES[:2]
"""Of so many of them the givers of these arguments are read too."""

_BESIDE = (-2, -1, 1, 2)
# Their numbers in `Surroundings`, where 0 is the node itself.
_TWO_BEFORE, _BEFORE, _AFTER, _TWO_AFTER = 1, 2, 3, 4
_TAKERS = TAKES[:2]
_NARROW = 16
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


class Places(nn.Module):
    """What stands at several places of a node's surroundings: each alone, and some of them together.

    The sum of a vector for the operation at each place, and of one for each of `together` (places by number),
    which are hashed into buckets: a sum says that two operations are there, not that they are there side by
    side, and that is what most predictions hang on.
    """

    def __init__(
        self, config: TransformerConfig, symbols: int, count: int, together: Sequence[tuple[int, ...]]
    ) -> None:
        super().__init__()
        width = config.width
        self.symbols, self.together, self.buckets = symbols, tuple(together), config.buckets
        self.alone = nn.Embedding(count * symbols, width)
        self.grams = nn.Embedding(len(self.together) * self.buckets, _NARROW)
        self.widened = nn.Linear(_NARROW, width, bias=False)
        nn.init.normal_(self.alone.weight, std=0.3)
        nn.init.normal_(self.grams.weight, std=0.5)

    def forward(self, seen: Int[Tensor, "*shape count"]) -> Float[Tensor, "*shape width"]:
        """The vectors of categories of operations at the places."""
        places = torch.arange(seen.shape[-1], device=seen.device)
        total = self.alone(seen + places * self.symbols).sum(-2)
        for k, own in enumerate(self.together):
            bucket = hashed(seen[..., own]) % self.buckets
            total = total + self.widened(self.grams(bucket + k * self.buckets))
        return total


def _scores(config: TransformerConfig, answers: int) -> nn.Sequential:
    """What makes scores of a vector of places."""
    return nn.Sequential(
        nn.RMSNorm(config.width),
        nn.Linear(config.width, 2 * config.width),
        nn.GELU(),
        nn.Dropout(config.dropout),
        nn.Linear(2 * config.width, answers),
    )


class LocalContext(nn.Module):
    """Scores of what comes after a node, from the operations just before and from what is idle.

    And from what came before in this graph after the same operations. Only what lies at or before the node is
    read, so that it may be asked for every node of a causal graph. `symbols` is the number of categories of
    operations. Without `order` only the wiring is read: the node, what it takes, and what is idle; while not
    `wired`, only the order (for baselines that see no edges).
    """

    wired = True

    def __init__(self, config: TransformerConfig, symbols: int, operations: int) -> None:
        super().__init__()
        order = config.order
        self.reach, self.symbols = REACH if order else 1, symbols
        self.givers = min(_GIVERS, self.reach)
        first = self.reach  # the place of the giver of the node's first argument
        wiring = [(0, first), (0, first, first + 1)]
        together = [*wiring, (0, 1), (0, 1, 2)] if order else wiring
        longer = [(0, 1, 2, 3), tuple(range(REACH)), (0, first, 1, first + 2)] if order else []
        self.places = Places(config, symbols, self.reach + self.givers * len(_ARGUMENTS), together)
        self.idle = nn.Embedding(symbols, config.width)
        self.echoes = Echoes(config.width, symbols, [(0,), *together, *longer])
        self.scores = _scores(config, operations)
        nn.init.normal_(self.idle.weight, std=0.3)

    def forward(
        self, batch: Batch, graph: Int[Tensor, " k"], node: Int[Tensor, " k"]
    ) -> Float[Tensor, "k operations"]:
        """Logits of the operation after `node` in `graph`, a causal one, to be added to the encoder's."""
        asked, row = graph.unique(return_inverse=True)
        operations, nodes = batch.operations[asked], batch.nodes[asked]
        seen = self._seen(operations, batch.relations[asked], nodes)
        vectors = self.places(seen[row, node])
        if self.wired:
            vectors = vectors + self._idle(batch, graph, node)
        # What came after each node is known of those before the one that is asked.
        place = torch.arange(operations.shape[1], device=node.device)
        after = operations_at(
            operations, nodes, torch.arange(len(asked), device=node.device)[:, None], place + 1
        )
        before = place[None, :] < place[:, None]
        recalled, scores = self.echoes(seen, after, before[None])
        return self.scores(vectors + recalled[row, node]) + scores[row, node]

    def _seen(self, operations: Tensor, relations: Tensor, nodes: Tensor) -> Int[Tensor, "g t places"]:
        """The operations at all places of every node's past."""
        count, tokens = operations.shape
        graph = torch.arange(count, device=operations.device)[:, None, None]
        place = torch.arange(tokens, device=operations.device).expand(count, tokens)
        reads = [place - back for back in range(self.reach)]
        givers = [first_of(relations, code) for code in _ARGUMENTS]
        for back in range(self.givers):
            for giver in givers:
                at = (place - back).clamp_min(0)
                inside = self.wired & (place >= back)
                reads.append(torch.where(inside, giver.gather(1, at), -1))
        return operations_at(operations, nodes, graph, torch.stack(reads, -1))

    def _idle(self, batch: Batch, graph: Tensor, node: Tensor) -> Tensor:
        """The sum over the nodes so far whose results nothing takes yet; of many, its growth is damped."""
        codes = batch.relations[graph, node]
        operations = batch.operations[graph].long()
        idle = (codes >= FAR + IDLE) | (codes == IDLE_SIBLING) | (codes == SELF)
        idle &= (operations != _EMPTY) & (operations != BLOCK)
        counts = codes.new_zeros((len(node), self.symbols), dtype=torch.float32)
        counts.scatter_add_(1, operations, idle.float())
        return counts.log1p() @ self.idle.weight


class Surroundings(nn.Module):
    """What stands around every node: its operation and those that it is joined to.

    Of each node what gives its first two arguments counts, and, with `order`, what first takes its result as
    such, and the two operations listed before it and after it. While not `wired`, nothing is read of what it
    is joined to.
    """

    wired = True

    def __init__(self, order: bool) -> None:
        super().__init__()
        self.beside = (0, *(_BESIDE if order else ()))
        # Which of several takers is the first hangs on the order; an argument has one giver.
        self.links = (*_ARGUMENTS, *(_TAKERS if order else ()))

    @property
    def count(self) -> int:
        """How many places there are."""
        return len(self.beside) + len(self.links)

    @property
    def linked(self) -> tuple[int, int, int]:
        """The places of what gives the first argument and the second, and, with `order`, takes the result."""
        first = len(self.beside)
        return first, first + 1, first + 2

    def forward(
        self, operations: Int[Tensor, "g t"], relations: Int[Tensor, "g t t"], nodes: Int[Tensor, " g"]
    ) -> Int[Tensor, "g t places"]:
        """Categories of operations at the places; those of tokens that are no nodes mean nothing."""
        count, tokens = operations.shape
        graph = torch.arange(count, device=operations.device)[:, None, None]
        place = torch.arange(tokens, device=operations.device).expand(count, tokens)
        reads = [place + offset for offset in self.beside]
        links = [first_of(relations, code) for code in self.links]
        reads += links if self.wired else [torch.full_like(link, -1) for link in links]
        return operations_at(operations, nodes, graph, torch.stack(reads, -1))


def _near(config: TransformerConfig, symbols: int, around: Surroundings) -> Places:
    """The vector of a node's surroundings."""
    giver, other, taker = around.linked
    together = [(0, giver), (0, giver, other)]
    if config.order:
        together += [(0, taker), (giver, taker)]
        together += [(_BEFORE, _AFTER), (_TWO_BEFORE, _BEFORE), (_AFTER, _TWO_AFTER)]
    return Places(config, symbols, around.count, together)


class HiddenScores(nn.Module):
    """Scores of the operation that is hidden at every node, from what stands around it.

    And from what stands in this graph where the same stands around: the two operations before and after, what
    gives the first arguments, what takes the result.
    """

    def __init__(self, config: TransformerConfig, symbols: int, operations: int) -> None:
        super().__init__()
        self.around = Surroundings(config.order)
        self.places = _near(config, symbols, self.around)
        giver, other, taker = self.around.linked
        contexts = [(giver,), (giver, other)]
        if config.order:
            contexts += [(taker,), (giver, taker), (giver, other, taker)]
            contexts += [(_TWO_BEFORE, _BEFORE), (_BEFORE, _AFTER), (_AFTER, _TWO_AFTER)]
            contexts += [(_TWO_BEFORE, _BEFORE, _AFTER, _TWO_AFTER)]
        self.echoes = Echoes(config.width, symbols, contexts)
        self.scores = _scores(config, operations)

    def forward(
        self, operations: Int[Tensor, "g t"], relations: Int[Tensor, "g t t"], nodes: Int[Tensor, " g"]
    ) -> Float[Tensor, "g t operations"]:
        """Logits, to be added to the encoder's; those of tokens that are no nodes mean nothing."""
        seen = self.around(operations, relations, nodes)
        place = torch.arange(operations.shape[1], device=operations.device)
        known = (place < nodes[:, None]) & (operations != MASKED)
        others = known[:, None, :] & (place[:, None] != place)
        recalled, scores = self.echoes(seen, operations.long(), others)
        return self.scores(self.places(seen) + recalled) + scores


class GapScores(nn.Module):
    """A score of every node as the place of a gap, from what stands around it and how often in this graph."""

    def __init__(self, config: TransformerConfig, symbols: int) -> None:
        super().__init__()
        self.around = Surroundings(config.order)
        self.places = _near(config, symbols, self.around)
        giver, other, taker = self.around.linked
        contexts = [(giver,), (giver, 0), (giver, other, 0)]
        if config.order:
            contexts += [(0, taker), (giver, 0, taker)]
            contexts += [(_BEFORE,), (_BEFORE, 0), (_TWO_BEFORE, _BEFORE), (_TWO_BEFORE, _BEFORE, 0)]
            contexts += [(0, _AFTER), (0, _AFTER, _TWO_AFTER), (_AFTER, _TWO_AFTER)]
            contexts += [(_BEFORE, 0, _AFTER), (_TWO_BEFORE, _BEFORE, 0, _AFTER, _TWO_AFTER)]
        self.repeats = Repeats(config.width, contexts)
        self.scores = _scores(config, 1)

    def forward(
        self, operations: Int[Tensor, "g t"], relations: Int[Tensor, "g t t"], nodes: Int[Tensor, " g"]
    ) -> Float[Tensor, "g t 1"]:
        """Logits; those of tokens that are no nodes mean nothing."""
        seen = self.around(operations, relations, nodes)
        place = torch.arange(operations.shape[1], device=operations.device)
        return self.scores(self.places(seen) + self.repeats(seen, place < nodes[:, None]))
