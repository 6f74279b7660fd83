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
from madstar.graph.inference import Inference
from madstar.graph.model import Graph

from .decisions import Decision, encode
from .draft import Limits
from .network import Network, NetworkSizes
from .relative import Inexpressible
from .space import GROUPS, Kind, Space
from .state import State

Progress = Callable[[float, float], None]
"""Told the share of training that is done, and the loss."""
BATCH = 16
RATE = 2e-3


@dataclass(frozen=True)
class Example:
    """The decisions that make a graph by number, and what is seen beside each."""

    numbers: tuple[int, ...]
    features: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Examples:
    """What graphs became: examples of those that can be made, which these are, and how many were left out."""

    space: Space
    examples: tuple[Example, ...]
    kept: tuple[int, ...]
    inexpressible: int
    rare: int
    long: int


def examples_of(graphs: Sequence[Graph], domains: Sequence[str], context: int, least: int = 2) -> Examples:
    """Examples, and the space of their decisions. Raises GraphError where no graph can be made."""
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
    for number, sequence in sequences.items():
        if (example := _replayed(space, sequence, graphs[number], kinds)) is not None:
            found[number] = example
    space = replace(space, kinds={node: tuple(map(frozenset, each)) for node, each in kinds.items()})
    if not found:
        raise GraphError(
            f"none of {len(graphs)} graphs can be made by decisions; give blocks of up to 40 nodes "
            "(madstar.learning.generator.blocks_of)"
        )
    inexpressible = len(graphs) - len(sequences) - long
    rare = len(sequences) - len(found)
    return Examples(space, tuple(found.values()), tuple(found), inexpressible, rare, long)


def _replayed(
    space: Space, sequence: Sequence[Decision], graph: Graph, kinds: dict[int, list[set[Kind]]]
) -> Example | None:
    """The example, if the space knows all its decisions and they make a graph.

    Adds to `kinds` the rank and dtype of what each operation takes.
    """
    state = State(space, Limits(checked=False), Inference(graph.symbols))
    features = []
    for decision in sequence:
        number = space.number(decision)
        after = state.after(number) if number else None
        if after is None:
            return None
        if decision[0] == "set":
            operands = state.operands()
            seen = kinds.setdefault(state.node, [set() for _ in operands])
            for place, type_ in zip(seen, operands, strict=True):
                place.add((len(type_.shape), type_.dtype))
        features.append(after.features)
        state = after
    return Example(tuple(map(space.number, sequence)), tuple(features))


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
        optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98))
        order = torch.Generator().manual_seed(seed)
        allowed = _allowed(examples.space)
        begun, step, done = time.monotonic(), 0, 0.0
        losses: list[list[float]] = [[] for _ in range(100)]
        batches: list[Tensor] = []
        while done < 1:
            if not batches:
                batches = list(torch.randperm(len(examples.examples), generator=order).split(BATCH))
            batch = [examples.examples[int(i)] for i in batches.pop()]
            for group in optimiser.param_groups:
                group["lr"] = RATE * min(1.0, 20 * done + 0.02) * (0.5 + 0.5 * math.cos(math.pi * done))
            loss = _loss(network, batch, examples.space, allowed)
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


def _allowed(space: Space) -> Tensor:
    """For each group the decisions that are in it; the unknown is in none."""
    allowed = torch.zeros(len(GROUPS), len(space), dtype=torch.bool)
    for number, group in enumerate(space.groups):
        allowed[GROUPS.index(group), number] = number > 0
    return allowed


def _loss(network: Network, batch: Sequence[Example], space: Space, allowed: Tensor) -> Tensor:
    longest = max(len(example.numbers) for example in batch)
    numbers = torch.zeros(len(batch), longest, dtype=torch.long)
    features = torch.zeros(len(batch), longest, 2, dtype=torch.long)
    for row, example in enumerate(batch):
        numbers[row, : len(example.numbers)] = torch.tensor(example.numbers)
        features[row, : len(example.numbers)] = torch.tensor(example.features)
    here = numbers[:, 1:] > 0
    logits = network(numbers[:, :-1], features[:, :-1])[here]
    targets = numbers[:, 1:][here]
    groups = torch.tensor([GROUPS.index(group) for group in space.groups])[targets]
    return F.cross_entropy(logits.masked_fill(~allowed[groups], -1e4), targets)
