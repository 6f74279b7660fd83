"""A strategy that begins with given genomes, and then goes on as another strategy does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...genome import Genome
from ...genome.variation import Offspring
from .contract import Event, Proposal, Proposed, Strategy
from .nsga2 import NSGA2


class Seeded:
    """Proposes each seed once, as "seed:NAME", and then what `inner` proposes.

    The inner strategy observes the seeds as it observes its own proposals; a seed that was dropped
    is not proposed again. In generational mode seeds are members of generation 0.
    """

    def __init__(self, inner: Strategy, seeds: Sequence[tuple[str, Genome]]) -> None:
        self.inner, self.seeds = inner, tuple(seeds)
        self._proposed: set[int] = set()

    def propose(self, index: int) -> Proposal | None:
        """The next seed; after the last, the inner strategy's proposal of that number."""
        if len(self._proposed) < len(self.seeds):
            name, genome = self.seeds[len(self._proposed)]
            return Proposal(Offspring(genome, f"seed:{name}", "valid"))
        return self.inner.propose(index)

    def observe(self, event: Event) -> None:
        """Take note of an event, and pass it on."""
        if isinstance(event, Proposed):
            self._proposed.add(event.index)
        self.inner.observe(event)

    def replay(self, history: Iterable[Event]) -> None:
        """Observe a whole history."""
        for event in history:
            self.observe(event)

    @property
    def generation(self) -> int:
        """The generation that proposals now belong to; 0 where the inner strategy has none."""
        return self.inner.generation if isinstance(self.inner, NSGA2) else 0

    def close_generation(self) -> None:
        """The coordinator's word that a generation has ended. Nothing where there are none."""
        if isinstance(self.inner, NSGA2):
            self.inner.close_generation()
