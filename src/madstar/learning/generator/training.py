"""Graphs made into examples, and the network fitted to them."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from madstar.errors import GraphError
from madstar.graph.hashing import structural_hash
from madstar.graph.inference import Inference
from madstar.graph.model import Graph

from .decisions import Decision, encode
from .draft import MOST_ITEMS, Limits
from .network import Network, NetworkSizes, Sights
from .relative import Inexpressible
from .seen import Seen, seen
from .space import GROUPS, Kind, Space
from .state import State

Progress = Callable[[float, float], None]
"""Told the share of training that is done, and the loss."""
BATCH = 16
RATE = 2e-3
ALIKE = 24
"""So many batches are drawn together and sorted by length, so that little of them is padding."""


@dataclass(frozen=True)
class Example:
    """The decisions that make a graph by number, what is seen beside each, the hash of what they make.

    That is not the graph's own where weights were left out or are no longer shared.
    """

    numbers: tuple[int, ...]
    groups: tuple[tuple[str, int, int], ...]
    sights: Sights
    hashed: str


@dataclass(frozen=True)
class Examples:
    """What graphs became: examples of those that can be made, which these are, and how many were left out."""

    space: Space
    examples: tuple[Example, ...]
    kept: tuple[int, ...]
    inexpressible: int
    rare: int
    long: int
    unfit: int


def examples_of(graphs: Sequence[Graph], domains: Sequence[str], context: int, least: int = 2) -> Examples:
    """Examples, and the space of their decisions. Raises GraphError where no graph can be made.

    Graphs that the checks would refuse (dead values, more blocks than allowed, nothing that trains) are left
    out: what is learned is what fits.
    """
    sequences: dict[int, list[Decision]] = {}
    long = 0
    for number, (graph, domain) in enumerate(zip(graphs, domains, strict=True)):
        try:
            sequence = encode(graph, domain)
        except Inexpressible:
            continue
        if len(sequence) > context:
            long += 1
        else:
            sequences[number] = sequence
    space = Space.of(list(sequences.values()), least if len(sequences) > 50 else 1)
    found: dict[int, Example] = {}
    kinds: dict[int, list[set[Kind]]] = {}
    rare = 0
    for number, sequence in sequences.items():
        numbers = [space.number(decision) for decision in sequence]
        if not all(numbers):
            rare += 1
        elif (example := _replayed(space, numbers, graphs[number], kinds)) is not None:
            found[number] = example
    space = replace(space, kinds={node: tuple(map(frozenset, each)) for node, each in kinds.items()})
    if not found:
        raise GraphError(
            f"none of {len(graphs)} graphs can be made by decisions; give blocks of up to {MOST_ITEMS} nodes "
            "(madstar.learning.generator.blocks_of)"
        )
    inexpressible = len(graphs) - len(sequences) - long
    unfit = len(sequences) - len(found) - rare
    return Examples(space, tuple(found.values()), tuple(found), inexpressible, rare, long, unfit)


def _replayed(
    space: Space, numbers: list[int], graph: Graph, kinds: dict[int, list[set[Kind]]]
) -> Example | None:
    """The example, if nothing of it would be refused.

    Adds to `kinds` the rank and dtype of what each operation takes.
    """
    state = State(space, Limits(), Inference(graph.symbols))
    row: list[Seen] = []
    taken: list[tuple[int, int, Kind]] = []
    for number in numbers:
        after = state.after(number) if state.may(number) else None
        if after is None:
            return None
        if space.groups[number] == "set":
            operands = enumerate(state.operands())
            taken += [(state.node, place, (len(t.shape), t.dtype)) for place, t in operands]
        state = after
        row.append(seen(state))
    if not state.done:
        return None
    for node, place, kind in taken:
        places = kinds.setdefault(node, [])
        places += [set() for _ in range(place + 1 - len(places))]
        places[place].add(kind)
    ways = tuple((each.group, each.node, each.chosen) for each in row)
    return Example(tuple(numbers), ways, Sights.of(row), structural_hash(state.graph("known")))


def train(
    examples: Examples,
    sizes: NetworkSizes,
    seed: int,
    minutes: float | None,
    steps: int | None,
    progress: Progress | None,
) -> tuple[Network, list[float]]:
    """A network fitted for so many minutes or steps, and its mean loss in each hundredth of training."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(len(examples.space), sizes).train()
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98), fused=True
        )
        order = torch.Generator().manual_seed(seed)
        begun, step, done = time.monotonic(), 0, 0.0
        losses: list[list[float]] = [[] for _ in range(100)]
        batches: list[list[int]] = []
        lengths = [len(example.numbers) for example in examples.examples]
        while done < 1:
            if not batches:
                batches = batched(lengths, order)
            batch = [examples.examples[i] for i in batches.pop()]
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1.0, 20 * done + 0.02) * (0.5 + 0.5 * math.cos(math.pi * done))
            loss = torch.cat([each for _, each in surprises(network, batch, examples.space)]).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            losses[min(99, int(done * 100))].append(loss.item())
            step += 1
            shares = [step / steps] if steps else []
            if minutes:
                shares.append((time.monotonic() - begun) / (60 * minutes))
            done = max(shares)
            if progress is not None:
                progress(min(1.0, done), loss.item())
    return network.eval(), [sum(each) / len(each) for each in losses if each]


def batched(lengths: Sequence[int], order: torch.Generator) -> list[list[int]]:
    """Every example once, in batches of about one length, in random order."""
    drawn = torch.randperm(len(lengths), generator=order).tolist()
    found = []
    for first in range(0, len(drawn), BATCH * ALIKE):
        some = sorted(drawn[first : first + BATCH * ALIKE], key=lambda i: lengths[i])
        found += [some[i : i + BATCH] for i in range(0, len(some), BATCH)]
    return [found[i] for i in torch.randperm(len(found), generator=order).tolist()]


def surprises(network: Network, batch: Sequence[Example], space: Space) -> list[tuple[str, Tensor]]:
    """The negative log-probability of each decision but the first, by group, in order of the batch."""
    sights, numbers = _together(batch)
    types = network.typed(sights.codes)
    states = network(numbers[:, :-1], sights, types)
    length = states.shape[1]
    states = states.reshape(-1, states.shape[-1])
    targets = numbers[:, 1:].reshape(-1)
    places: dict[str, list[int]] = {}
    ways: dict[str, list[tuple[str, int, int]]] = {}
    for row, example in enumerate(batch):
        for place, way in enumerate(example.groups[:-1]):
            places.setdefault(way[0], []).append(row * length + place)
            ways.setdefault(way[0], []).append(way)
    found = []
    for group in GROUPS:
        if group not in places or group == "pointer":
            continue
        here, members = torch.tensor(places[group]), space.tensors[(group, 0, 0)]
        scores = network.scores(states[here], members)
        if group in ("set", "weights"):
            scores = scores.masked_fill(~torch.stack([space.masks[way] for way in ways[group]]), -torch.inf)
        aimed = torch.searchsorted(members, targets[here])
        found.append((group, F.cross_entropy(scores, aimed, reduction="none")))
    if "pointer" in places:
        asked = sights.asked.long()
        scores = network.pointers(states[asked], states[sights.made.long()], sights, types)
        found.append(("pointer", _pointed(scores, asked, sights.decided == targets[asked], len(states))))
    return found


def _pointed(scores: Tensor, asked: Tensor, right: Tensor, many: int) -> Tensor:
    """Cross-entropy among the candidates of each place that asks; candidates of one stand together."""
    begins = torch.ones_like(asked, dtype=torch.bool)
    begins[1:] = asked[1:] != asked[:-1]
    group = begins.long().cumsum(0) - 1
    starts = begins.nonzero()[:, 0]
    column = torch.arange(len(asked)) - starts[group]
    table = scores.new_full((len(starts), int(column.max()) + 1), -torch.inf)
    table = table.index_put((group, column), scores)
    return F.cross_entropy(table, column[right], reduction="none")


def _together(batch: Sequence[Example]) -> tuple[Sights, Tensor]:
    """The sights of a batch, with batch and length in front, and its decisions (batch, longest)."""
    longest = max(len(example.numbers) for example in batch)
    numbers = torch.zeros(len(batch), longest, dtype=torch.long)
    rows = [example.sights for example in batch]
    kept = [len(example.numbers) - 1 for example in batch]

    def padded(name: str) -> Tensor:
        found = [getattr(row, name)[:many] for row, many in zip(rows, kept, strict=True)]
        return torch.stack([F.pad(part, (0, 0, 0, longest - 1 - len(part))) for part in found])

    for row, example in enumerate(batch):
        numbers[row, : len(example.numbers)] = torch.tensor(example.numbers)
    first = 0
    types, kinds = padded("types").long(), []
    for row, each in enumerate(rows):
        types[row] += first
        kinds.append(each.kind.long() + first)
        first += len(each.codes)
    shift = longest - 1
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
