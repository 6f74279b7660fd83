"""The network fitted to examples."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch

from .examples import Examples
from .network import Network, NetworkSizes
from .scoring import surprises

Progress = Callable[[float, float], None]
"""Told the share of training that is done, and the loss."""
BATCH = 16
RATE = 2e-3
AGAIN = 5e-4
"""The rate of a network that has learned before."""
ALIKE = 24
"""So many batches are drawn together and sorted by length, so that little of them is padding."""


def train(
    examples: Examples,
    sizes: NetworkSizes,
    seed: int,
    minutes: float | None,
    steps: int | None,
    progress: Progress | None,
    former: Network | None = None,
) -> tuple[Network, list[float]]:
    """A network fitted for so many minutes or steps, and its mean loss in each hundredth of training.

    With a `former` one of the same space it goes on from there, in smaller steps.

    The loss is the surprise at a decision, in nats.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Network(examples.space, sizes).train()
        if former is not None:
            network.load_state_dict(former.state_dict())
        rate = RATE if former is None else AGAIN
        optimiser = torch.optim.AdamW(
            network.parameters(), lr=RATE, weight_decay=0.01, betas=(0.9, 0.98), fused=True
        )
        order = torch.Generator().manual_seed(seed)
        begun, step, done = time.monotonic(), 0, 0.0
        losses: list[list[float]] = [[] for _ in range(100)]
        batches: list[list[int]] = []
        lengths = [len(example.numbers) for example in examples.examples]
        usual = decisions_of_a_batch(lengths)
        while done < 1:
            if not batches:
                batches = batched(lengths, order)
            batch = [examples.examples[i] for i in batches.pop()]
            for group in optimiser.param_groups:
                group["lr"] = rate * min(1.0, 20 * done + 0.02) * (0.5 + 0.5 * math.cos(math.pi * done))
            surprise = torch.cat([each for _, each in surprises(network, batch, examples.space)])
            optimiser.zero_grad(set_to_none=True)
            (surprise.sum() / usual).backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            loss = surprise.mean().item()
            losses[min(99, int(done * 100))].append(loss)
            step += 1
            shares = [step / steps] if steps else []
            if minutes:
                shares.append((time.monotonic() - begun) / (60 * minutes))
            done = max(shares)
            if progress is not None:
                progress(min(1.0, done), loss)
    return network.eval(), [sum(each) / len(each) for each in losses if each]


def decisions_of_a_batch(lengths: Sequence[int]) -> float:
    """How many decisions `BATCH` examples of these lengths have on average."""
    return BATCH * sum(lengths) / max(1, len(lengths))


def batched(lengths: Sequence[int], order: torch.Generator) -> list[list[int]]:
    """Every example once, in batches of about one length and as many decisions as usual, in random order.

    So a batch is of few long examples or of many short ones, and a decision counts the same in all. Were it
    as many examples each time, and the loss a batch's mean, decisions of short examples would count for
    more, and what is drawn would end too soon.
    """
    drawn = torch.randperm(len(lengths), generator=order).tolist()
    found = []
    for first in range(0, len(drawn), BATCH * ALIKE):
        some = sorted(drawn[first : first + BATCH * ALIKE], key=lambda i: lengths[i])
        found += _filled(some, lengths, decisions_of_a_batch(lengths))
    return [found[i] for i in torch.randperm(len(found), generator=order).tolist()]


def _filled(numbers: Sequence[int], lengths: Sequence[int], most: float) -> list[list[int]]:
    """The numbers in a row, a new batch wherever the one before has enough."""
    found: list[list[int]] = []
    full = most
    for number in numbers:
        if full >= most:
            found.append([])
            full = 0.0
        found[-1].append(number)
        full += lengths[number]
    return found
