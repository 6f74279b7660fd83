"""The control: independent random genomes."""

from __future__ import annotations

from collections.abc import Iterable

from ...genome import SearchSpace
from .contract import Event, Proposal, random_proposal


class RandomSearch:
    """Independent random genomes of the space: the control every search is compared with."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self.space, self.seed = space, seed

    def propose(self, index: int) -> Proposal | None:
        """A random genome."""
        return random_proposal(self.space, self.seed, index, 0)

    def observe(self, event: Event) -> None:
        """Nothing is learned."""

    def replay(self, history: Iterable[Event]) -> None:
        """Nothing is learned."""
