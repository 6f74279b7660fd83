"""A small causal transformer over decisions that sees types, and points to values by what they are.

Beside each decision it sees what `seen.py` says. Decisions of the grammar are scored by their embeddings;
pointers by attention: the state asks, and each value of the block answers with the state in which it was
made, what made it, its type, and how that goes together with the operands chosen before (a pointer network:
Vinyals et al. 2015, arXiv 1506.03134). Normalisation comes before attention and feed-forward, as in GPT-2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .parts import numbered
from .seen import BESIDE, CANDIDATE, MAKERS, ROLES, TYPE, Numbers, Seen
from .space import POINTING, Space

_TYPE_WIDTH = 48


@dataclass(frozen=True)
class NetworkSizes:
    """How large the transformer is; `context` is the longest sequence."""

    width: int = 96
    heads: int = 4
    layers: int = 3
    context: int = 384
    dropout: float = 0.15


@dataclass(frozen=True)
class Sights:
    """What is seen beside decisions in a row, as tensors; types are rows of `codes`.

    `beside` (length, numbers), `types` (length, roles), `makers` (length, makers). Candidates one after
    another: `asked` is the place of the sequence that asks, `made` where the value was made, `maker`, `kind`
    (its type), `numbers`; `decided` the number of the decision that points to it.
    """

    beside: Tensor
    types: Tensor
    makers: Tensor
    codes: Tensor
    asked: Tensor
    made: Tensor
    maker: Tensor
    kind: Tensor
    numbers: Tensor
    decided: Tensor

    @classmethod
    def of(cls, row: list[Seen], first: int = 0) -> Sights:
        """Of what is seen from place `first` of a sequence on."""
        codes: dict[Numbers, int] = {}

        def coded(code: Numbers) -> int:
            return codes.setdefault(code, len(codes))

        types = [[coded(code) for code in each.types] for each in row]
        shown = [(first + place, c) for place, each in enumerate(row) for c in each.candidates]
        kinds = [coded(c.type) for _, c in shown]
        return cls(
            torch.tensor([each.beside for each in row], dtype=torch.int16).view(-1, len(BESIDE)),
            torch.tensor(types, dtype=torch.int32).view(-1, ROLES),
            torch.tensor([each.makers for each in row], dtype=torch.int16).view(-1, MAKERS),
            torch.tensor(list(codes), dtype=torch.int16).view(-1, len(TYPE)),
            torch.tensor([place for place, _ in shown], dtype=torch.int32),
            torch.tensor([c.place for _, c in shown], dtype=torch.int32),
            torch.tensor([c.maker for _, c in shown], dtype=torch.int32),
            torch.tensor(kinds, dtype=torch.int32),
            torch.tensor([c.numbers for _, c in shown], dtype=torch.int16).view(-1, len(CANDIDATE)),
            torch.tensor([c.number for _, c in shown], dtype=torch.int32),
        )


class _Summed(nn.Module):
    """Small numbers, each with a table of its own, as the sum of their embeddings."""

    def __init__(self, sizes: Numbers, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(sum(sizes), width)
        nn.init.normal_(self.table.weight, std=0.02)
        self.starts: Tensor
        self.register_buffer("starts", torch.tensor([0, *sizes[:-1]]).cumsum(0), persistent=False)

    def forward(self, numbers: Tensor) -> Tensor:
        """(..., numbers) -> (..., width)."""
        flat = (numbers.long() + self.starts).view(-1, numbers.shape[-1])
        found: Tensor = F.embedding_bag(flat, self.table.weight, mode="sum")
        return found.view(*numbers.shape[:-1], -1)


class _Made(nn.Module):
    """A vector for each decision: its own, and the sum of those of its parts."""

    def __init__(self, parts: Sequence[Sequence[int]], many: int, width: int) -> None:
        super().__init__()
        self.own = nn.Embedding(len(parts), width)
        self.parts = nn.Embedding(max(1, many), width)
        for table in (self.own, self.parts):
            nn.init.normal_(table.weight, std=0.02)
        flat = [part for each in parts for part in each]
        starts = torch.tensor([0, *map(len, parts)]).cumsum(0)[:-1]
        self.flat: Tensor
        self.starts: Tensor
        self.register_buffer("flat", torch.tensor(flat, dtype=torch.long), persistent=False)
        self.register_buffer("starts", starts, persistent=False)

    def forward(self) -> Tensor:
        """(decisions, width)."""
        found: Tensor = F.embedding_bag(self.flat, self.parts.weight, self.starts, mode="sum")
        return self.own.weight + found


@dataclass(frozen=True)
class Tables:
    """Vectors of decisions, (decisions, width): those that are read, and those that are scored."""

    read: Tensor
    scored: Tensor


class _Layer(nn.Module):
    def __init__(self, sizes: NetworkSizes) -> None:
        super().__init__()
        width = sizes.width
        self.heads = sizes.heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.drop = nn.Dropout(sizes.dropout)

    def forward(self, x: Tensor, cache: Tensor | None = None, place: int = 0) -> Tensor:
        """x: (batch, length, width). With a cache (2, heads, context, head width) steps from `place` on."""
        batch, length, width = x.shape
        parts = self.qkv(self.before(x)).view(batch, length, 3, self.heads, width // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4)  # each (batch, heads, length, width of a head)
        if cache is None:
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            cache[0, :, place : place + length] = k[0]
            cache[1, :, place : place + length] = v[0]
            known = cache[:, None, :, : place + length]
            mask = torch.ones(length, place + length, dtype=torch.bool).tril(place)
            mixed = F.scaled_dot_product_attention(q, known[0], known[1], attn_mask=mask)
        x = x + self.drop(self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return x + self.drop(self.down(F.gelu(self.up(self.between(x)))))


class Network(nn.Module):
    """States of sequences, scores of decisions, scores of candidates."""

    def __init__(self, space: Space, sizes: NetworkSizes) -> None:
        super().__init__()
        self.sizes = sizes
        width = sizes.width
        parts, many = numbered(space.decisions)
        self.decision, self.scored = _Made(parts, many, width), _Made(parts, many, width)
        self.place = nn.Embedding(sizes.context, width)
        self.beside = _Summed(BESIDE, width)
        self.parts, self.mixed = _Summed(TYPE, _TYPE_WIDTH), nn.Linear(_TYPE_WIDTH, _TYPE_WIDTH)
        self.roles = nn.Linear(ROLES * _TYPE_WIDTH, width)
        self.makers = nn.Linear(MAKERS * width, width, bias=False)
        self.drop = nn.Dropout(sizes.dropout)
        self.layers = nn.ModuleList(_Layer(sizes) for _ in range(sizes.layers))
        self.norm = nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(len(space)))
        self.candidate, self.kind = _Summed(CANDIDATE, width), nn.Linear(_TYPE_WIDTH, width)
        self.origin, self.maker = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.asking, self.answering = nn.Linear(width, width), nn.Linear(width, width)
        self.together = nn.Linear(width, 1)
        nn.init.normal_(self.place.weight, std=0.02)

    def tables(self) -> Tables:
        """Vectors of all decisions, which hold as long as the weights do."""
        return Tables(self.decision(), self.scored())

    def typed(self, codes: Tensor) -> Tensor:
        """Vectors of types, (types, a width of its own)."""
        parts = self.parts(codes)
        found: Tensor = parts + self.mixed(F.gelu(parts))
        return found

    def forward(
        self,
        sequence: Tensor,
        sights: Sights,
        types: Tensor,
        tables: Tables,
        cache: Tensor | None = None,
        place: int = 0,
    ) -> Tensor:
        """sequence: (batch, length); `sights` with both in front -> states (batch, length, width).

        `types` are those of `typed`, `tables` those of `tables`. `cache` is (layers, 2, heads, context, width
        of a head), filled up to `place`; then batch is 1.
        """
        places = torch.arange(place, place + sequence.shape[1])
        x = F.embedding(sequence, tables.read) + self.place(places) + self.beside(sights.beside)
        x = x + self.roles(types[sights.types.long()].flatten(-2))
        x = self.drop(x + self.makers(F.embedding(sights.makers.long(), tables.read).flatten(-2)))
        for number, layer in enumerate(self.layers):
            x = layer(x, None if cache is None else cache[number], place)
        found: Tensor = self.norm(x)
        return found

    def scores(self, states: Tensor, among: Tensor, tables: Tables) -> Tensor:
        """states: (many, width), numbers of decisions -> (many, decisions)."""
        return F.linear(states, tables.scored[among], self.bias[among])

    def pointers(
        self, asking: Tensor, origins: Tensor, sights: Sights, types: Tensor, tables: Tables
    ) -> Tensor:
        """A score for each candidate, of the states that ask and those in which its value was made."""
        answer = self.candidate(sights.numbers) + self.kind(types[sights.kind.long()])
        answer = answer + self.origin(origins) + self.maker(F.embedding(sights.maker.long(), tables.read))
        question, reply = self.asking(asking), self.answering(F.gelu(answer))
        found: Tensor = self.together(F.gelu(question + reply))[:, 0]
        return found + (question * reply).sum(-1) * question.shape[-1] ** -0.5


class Steps:
    """The network on its way through one graph: it scores what may follow the decisions put so far."""

    def __init__(self, network: Network, space: Space) -> None:
        sizes = network.sizes
        self.network, self.space = network.eval(), space
        with torch.no_grad():
            self.tables = network.tables()
        self.length = 0
        self.most = sizes.context
        head = sizes.width // sizes.heads
        self.cache = torch.zeros(sizes.layers, 2, sizes.heads, sizes.context, head)
        self.states = torch.zeros(sizes.context, sizes.width)

    @torch.no_grad()
    def put(self, number: int, seen: Seen) -> Tensor:
        """Scores of what comes after this decision, those of other groups left at minus infinity."""
        network, place = self.network, self.length
        sights = Sights.of([seen], place)
        types = network.typed(sights.codes)
        row = Sights(
            sights.beside[None], sights.types[None], sights.makers[None], sights.codes, sights.asked,
            sights.made, sights.maker, sights.kind, sights.numbers, sights.decided,
        )  # fmt: skip
        self.states[place] = network(torch.tensor([[number]]), row, types, self.tables, self.cache, place)[
            0, 0
        ]
        self.length += 1
        found = torch.full((len(self.space),), -torch.inf)
        if seen.candidates:
            asking = self.states[place].expand(len(seen.candidates), -1)
            scores = network.pointers(asking, self.states[sights.made.long()], row, types, self.tables)
            found[sights.decided.long()] = scores
        elif seen.group not in POINTING:
            among = self.space.tensors[(seen.group, seen.node, seen.chosen)]
            found[among] = network.scores(self.states[place][None], among, self.tables)[0]
        return found

    def cut(self, length: int) -> None:
        """Undo all but the first decisions."""
        self.length = length
