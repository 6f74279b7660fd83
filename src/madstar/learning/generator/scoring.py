"""The scores that a network gives in a batch of examples: what training and drawing must agree about."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from .examples import Example
from .network import Network, Sights
from .space import GROUPS, POINTING, Space, Way


@dataclass(frozen=True)
class Scored:
    """What may come next in some places, all of one group.

    `where` are places of the batch, example by example; `decisions` (many, options) the numbers of what may
    come next, 0 where there are fewer; `scores` (many, options) are minus infinity where the grammar does not
    allow it.
    """

    group: str
    where: list[int]
    decisions: Tensor
    scores: Tensor


def scored(network: Network, batch: Sequence[Example], space: Space) -> Iterator[Scored]:
    """Scores after each decision but the last, group by group; places count `longest - 1` an example."""
    sights, numbers = _together(batch)
    types, tables = network.typed(sights.codes), network.tables()
    states = network(numbers[:, :-1], sights, types, tables)
    length = states.shape[1]
    states = states.reshape(-1, states.shape[-1])
    places: dict[str, list[int]] = {}
    ways: dict[str, list[Way]] = {}
    for row, example in enumerate(batch):
        for place, way in enumerate(example.groups[:-1]):
            places.setdefault(way[0], []).append(row * length + place)
            ways.setdefault(way[0], []).append(way)
    for group in GROUPS:
        if group not in places or group in POINTING:
            continue
        where, members = places[group], space.tensors[(group, 0, 0)]
        scores = network.scores(states[torch.tensor(where)], members, tables)
        if group in ("set", "weights"):
            scores = scores.masked_fill(~torch.stack([space.masks[way] for way in ways[group]]), -torch.inf)
        yield Scored(group, where, members.expand(len(where), -1), scores)
    if len(sights.asked):
        asked = sights.asked.long()
        scores = network.pointers(states[asked], states[sights.made.long()], sights, types, tables)
        yield _pointed(scores, asked, sights.decided.long(), space.number(("unknown",)))


def surprises(network: Network, batch: Sequence[Example], space: Space) -> list[tuple[str, Tensor]]:
    """The negative log-probability of each decision but the first, by group, in order of the batch."""
    taken = _padded(batch)[:, 1:].reshape(-1)
    found = []
    for each in scored(network, batch, space):
        aimed = each.decisions == taken[torch.tensor(each.where)][:, None]
        loss = F.cross_entropy(each.scores, aimed.to(torch.uint8).argmax(1), reduction="none")
        found.append((each.group, loss))
    return found


def _pointed(scores: Tensor, asked: Tensor, decided: Tensor, unknown: int) -> Scored:
    """Candidates of each place that asks in a row; candidates of one stand together."""
    begins = torch.ones_like(asked, dtype=torch.bool)
    begins[1:] = asked[1:] != asked[:-1]
    row = begins.long().cumsum(0) - 1
    starts = begins.nonzero()[:, 0]
    column = torch.arange(len(asked)) - starts[row]
    shape = (len(starts), int(column.max()) + 1)
    table = scores.new_full(shape, -torch.inf).index_put((row, column), scores)
    numbers = decided.new_full(shape, unknown).index_put((row, column), decided)
    return Scored("pointer", asked[starts].tolist(), numbers, table)


def _padded(batch: Sequence[Example]) -> Tensor:
    """The decisions of a batch, (batch, longest)."""
    longest = max(len(example.numbers) for example in batch)
    numbers = torch.zeros(len(batch), longest, dtype=torch.long)
    for row, example in enumerate(batch):
        numbers[row, : len(example.numbers)] = torch.tensor(example.numbers)
    return numbers


def _together(batch: Sequence[Example]) -> tuple[Sights, Tensor]:
    """The sights of a batch, with batch and length in front, and its decisions (batch, longest)."""
    numbers = _padded(batch)
    shift = numbers.shape[1] - 1
    rows = [example.sights for example in batch]
    kept = [len(example.numbers) - 1 for example in batch]

    def padded(name: str) -> Tensor:
        found = [getattr(row, name)[:many] for row, many in zip(rows, kept, strict=True)]
        return torch.stack([F.pad(part, (0, 0, 0, shift - len(part))) for part in found])

    first = 0
    types, kinds = padded("types").long(), []
    for row, each in enumerate(rows):
        types[row] += first
        kinds.append(each.kind.long() + first)
        first += len(each.codes)
    return Sights(
        padded("beside"),
        types,
        padded("makers"),
        torch.cat([row.codes for row in rows]),
        torch.cat([row.asked.long() + place * shift for place, row in enumerate(rows)]),
        torch.cat([row.made.long() + place * shift for place, row in enumerate(rows)]),
        torch.cat([row.maker for row in rows]),
        torch.cat(kinds),
        torch.cat([row.numbers for row in rows]),
        torch.cat([row.decided for row in rows]),
    ), numbers
