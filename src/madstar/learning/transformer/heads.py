"""What is asked of the encoder's vectors: a head for every task."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from .batch import Batch
from .config import TransformerConfig
from .local import GapScores, HiddenScores, LocalContext
from .relations import CODES, ORDERS

POSITIONS = 8
"""Argument positions that are told apart; later ones are the last."""

_NEVER = -1e9
_SHARP = 2.0
"""How near the soft maximum of suspicions is to the largest; chosen on validation graphs of one split."""


class OperationHead(nn.Module):
    """Scores of all known operations, from a node's vector."""

    def __init__(self, width: int, operations: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.RMSNorm(width))
        self.scores = nn.Linear(width, operations)

    def forward(self, x: Float[Tensor, "*k width"]) -> Float[Tensor, "*k operations"]:
        """Logits."""
        return self.scores(self.inner(x))


class HiddenHead(nn.Module):
    """Which operation is hidden at each node: scores of the encoder and of what stands around, added."""

    def __init__(self, config: TransformerConfig, symbols: int, operations: int) -> None:
        super().__init__()
        self.far = OperationHead(config.width, operations)
        self.local = HiddenScores(config, symbols, operations)

    def forward(
        self,
        tokens: Float[Tensor, "g t width"],
        operations: Int[Tensor, "g t"],
        relations: Int[Tensor, "g t t"],
        nodes: Int[Tensor, " g"],
    ) -> Float[Tensor, "g t operations"]:
        """Logits; those of tokens that are no nodes mean nothing."""
        return self.far(tokens) + self.local(operations, relations, nodes)


class SourceRows(NamedTuple):
    """k questions for the source of an argument: of which graph, which argument, and what all tokens are to
    the node that asks. `allowed` are the nodes that may be the answer."""

    graph: Int[Tensor, " k"]
    positions: Int[Tensor, " k"]
    relations: Int[Tensor, "k t"]
    orders: Int[Tensor, "k t"]
    same_shape: Bool[Tensor, "k t"]
    allowed: Bool[Tensor, "k t"]


class SourceHead(nn.Module):
    """Scores of the nodes that may give an argument of a node, from both vectors and what the pair is."""

    def __init__(self, width: int, order: bool) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.position = nn.Embedding(POSITIONS, width)
        self.pair = nn.Embedding(CODES, 1)
        self.order = nn.Embedding(ORDERS, 1) if order else None
        self.same_shape = nn.Parameter(torch.zeros(2))
        self.missing = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        for each in (self.pair, self.order):
            if each is not None:
                nn.init.zeros_(each.weight)

    def forward(
        self,
        asking: Float[Tensor, "k width"],
        tokens: Float[Tensor, "g t width"],
        rows: SourceRows,
    ) -> tuple[Float[Tensor, "k t"], Float[Tensor, " k"]]:
        """Scores of each token as the source, and a logit of whether anything is missing there."""
        asked = asking + self.position(rows.positions.clamp(0, POSITIONS - 1))
        query = self.query(asked)
        keys = self.key(tokens)[rows.graph]
        scores = (keys @ query[:, :, None]).squeeze(-1) * query.shape[-1] ** -0.5
        scores = scores + self.pair(rows.relations.int()).squeeze(-1)
        if self.order is not None:
            scores = scores + self.order(rows.orders.int()).squeeze(-1)
        scores = scores + torch.where(rows.same_shape, self.same_shape[1], self.same_shape[0])
        return scores.masked_fill(~rows.allowed, _NEVER), self.missing(asked).squeeze(-1)


class GapHead(nn.Module):
    """Where something is missing: a score of every node, and of the graph's being whole.

    A node's score is the encoder's and that of what stands around it, added. Whether anything is missing at
    all is read from the latter alone (`local`): the encoder's scores of families that it never saw blur it.
    In training scores are relative to the number of nodes, or large graphs would be the more suspect for it;
    `incomplete` takes that away again. Being whole has one score for all graphs: read from a graph's vector
    it was learned by heart.
    """

    def __init__(self, config: TransformerConfig, symbols: int) -> None:
        super().__init__()
        width = config.width
        self.place = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 1))
        self.near = GapScores(config, symbols)
        self.whole = nn.Parameter(torch.zeros(1))

    def forward(
        self,
        tokens: Float[Tensor, "g t width"],
        operations: Int[Tensor, "g t"],
        relations: Int[Tensor, "g t t"],
        nodes: Int[Tensor, " g"],
    ) -> Float[Tensor, "g 1+t"]:
        """Logits of "nothing is missing", then of each node as the place."""
        return self._beside_whole(self.place(tokens) + self.near(operations, relations, nodes), nodes)

    def local(
        self, operations: Int[Tensor, "g t"], relations: Int[Tensor, "g t t"], nodes: Int[Tensor, " g"]
    ) -> Float[Tensor, "g 1+t"]:
        """The same from what stands around each node, without the encoder."""
        return self._beside_whole(self.near(operations, relations, nodes), nodes)

    def _beside_whole(
        self, scores: Float[Tensor, "g t 1"], nodes: Int[Tensor, " g"]
    ) -> Float[Tensor, "g 1+t"]:
        places = scores.squeeze(-1) - nodes.to(scores.dtype).log()[:, None]
        outside = torch.arange(scores.shape[1], device=scores.device)[None, :] >= nodes[:, None]
        return torch.cat([self.whole.expand(len(nodes), 1), places.masked_fill(outside, _NEVER)], 1)


def incomplete(logits: Float[Tensor, "g 1+t"], nodes: Int[Tensor, " g"]) -> Float[Tensor, " g"]:
    """How much likelier a gap at the likeliest places is than none: a soft maximum of their scores.

    Not a gap anywhere: over many nodes a little suspicion of all that is unfamiliar adds up, and graphs of
    families that were never seen are unfamiliar everywhere. Nor may it say how many nodes there are: a graph
    has one more than what is left when one was deleted, so that a score which falls with their number tells
    the two apart without having noticed anything. So it is relative to the nearest power of two, by which
    graphs of all sizes still compare.
    """
    count = nodes.to(logits.dtype).log()
    coarse = (count / math.log(2)).round() * math.log(2)
    places = logits[:, 1:] + (count - coarse)[:, None]
    return torch.logsumexp(_SHARP * places, -1) / _SHARP - logits[:, 0]


class NextHead(nn.Module):
    """What comes after the nodes so far: its operation; given that, the source of each of its arguments.

    The operation's scores are the encoder's and the local context's, added: the one sees everything from
    afar, the other the last few operations as they are.
    """

    def __init__(self, config: TransformerConfig, symbols: int, operations: int) -> None:
        super().__init__()
        width = config.width
        self.operation = OperationHead(width, operations)
        self.local = LocalContext(config, symbols, operations)
        self.chosen = nn.Embedding(operations + 1, width)
        self.sources = SourceHead(width, config.order)

    def operations(
        self,
        batch: Batch,
        tokens: Float[Tensor, "g t width"],
        graph: Int[Tensor, " k"],
        node: Int[Tensor, " k"],
    ) -> Float[Tensor, "k operations"]:
        """Logits of the operation that comes after a node of a causal graph."""
        return self.operation(tokens[graph, node]) + self.local(batch, graph, node)

    def asking(
        self, last: Float[Tensor, "k width"], operations: Int[Tensor, " k"]
    ) -> Float[Tensor, "k width"]:
        """The vector that asks for the sources of a node of these operations (-1 unknown)."""
        return last + self.chosen(operations + 1)
