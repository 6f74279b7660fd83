"""The contract of a search strategy: three verbs.

`propose(index)` returns the proposal of that number. It must be a function of the strategy's seed,
the number and what has been observed, with a generator seeded anew from (seed, index): then no
random state needs saving. It returns None while it waits for observations (a generation that is not
complete).

`observe(proposal number, ...)` tells what became of a proposal: dropped before training, or
measured at a rung, or failed. A candidate is observed once for each rung it reaches.

`replay(history)` brings a fresh strategy to where one was that has observed the same events in the
same order: afterwards both propose the same. It is how a run resumes; nothing else is kept.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ...genome import Genome, SearchSpace, sample
from ...genome.variation import Offspring, settle
from ..ranking import Costs


@dataclass(frozen=True)
class Proposal:
    """A genome to try, and where it comes from. `parents` are numbers of proposals."""

    offspring: Offspring
    parents: tuple[int, ...] = ()
    generation: int = 0


@dataclass(frozen=True)
class Proposed:
    """Event: a proposal was accepted for training, or dropped; then its genome is None."""

    index: int
    genome: Genome | None
    generation: int


@dataclass(frozen=True)
class Measured:
    """Event: a candidate's evaluation at a rung ended; `costs` is None where it failed."""

    index: int
    rung: int
    costs: Costs | None


Event = Proposed | Measured


class Strategy(Protocol):
    """Decides who is tried next. See the module's text for what each verb guarantees."""

    def propose(self, index: int) -> Proposal | None:
        """The proposal of that number, or None to wait."""

    def observe(self, event: Event) -> None:
        """Take note of an event."""

    def replay(self, history: Iterable[Event]) -> None:
        """Take note of a whole history, in its order."""


class Generational(Strategy, Protocol):
    """A strategy that may work in generations, and then waits until it is told that one has ended."""

    @property
    def generation(self) -> int:
        """The generation that proposals now belong to."""

    def close_generation(self) -> None:
        """All evaluations of this generation, promotions too, have ended."""


def proposal_rng(seed: int, index: int) -> np.random.Generator:
    """The generator of one proposal."""
    return np.random.default_rng([seed, index])


def random_proposal(space: SearchSpace, seed: int, index: int, generation: int) -> Proposal:
    """A random genome, settled as the space says."""
    rng = proposal_rng(seed, index)
    return Proposal(settle(sample(space, rng), "random", space, rng), generation=generation)
