"""Regularised evolution: the oldest dies, whatever it scores (Real et al. 2019, arXiv 1802.01548, section 3).

The population is a queue of the candidates measured last. A sample of it holds a tournament, the
winner has a mutated child. Nothing survives by luck alone: a lineage stays only if its children,
trained anew, do well too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from ...genome import SearchSpace, vary
from ...genome.variation import Offspring, VariationRates
from ..ranking import order
from .contract import Event, Proposal, proposal_rng, random_proposal
from .neighbourhood import neighbour
from .observations import Observations

_REDRAWS = 10


class RegularisedEvolution:
    """Ageing population, tournaments of a sample, children by mutation only.

    `sample` of the `population` take part in a tournament, a quarter by default. Candidates are
    compared as everywhere: a higher rung first, then the order of NSGA-II at that rung. Age counts
    from a candidate's first result; a promotion does not make it younger.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        *,
        rates: VariationRates,
        population: int = 16,
        sample: int | None = None,
    ) -> None:
        self.space, self.seed = space, seed
        self.rates = replace(rates, crossover=0.0)
        self.population = population
        self.sample = max(2, population // 4) if sample is None else sample
        self._seen = Observations()

    @property
    def living(self) -> tuple[int, ...]:
        """The population, oldest first."""
        return tuple(self._seen.measured[-self.population :])

    def propose(self, index: int) -> Proposal | None:
        """A mutated child of a tournament's winner; at first, random genomes."""
        living = self.living
        if len(self._seen.genomes) < self.population or not living:
            return random_proposal(self.space, self.seed, index, 0)
        rng = proposal_rng(self.seed, index)
        drawn = rng.choice(len(living), size=min(self.sample, len(living)), replace=False)
        parent = order(self._seen.standings([living[i] for i in drawn]))[0].index
        genome = self._seen.genomes[parent]
        for _ in range(_REDRAWS):
            child = vary(genome, genome, self.space, self.rates, rng)
            # A mutation may draw the old value, and one of an unused gene expresses nothing new.
            if child.validity == "rejected" or child.genome.architecture != genome.architecture:
                return Proposal(child, parents=(parent,))
        changed = neighbour(genome, self.space, rng)
        if changed is None:
            return random_proposal(self.space, self.seed, index, 0)
        return Proposal(Offspring(changed[0], "mutation", "valid"), parents=(parent,))

    def observe(self, event: Event) -> None:
        """Take note of a proposal's fate or of a result."""
        self._seen.observe(event)

    def replay(self, history: Iterable[Event]) -> None:
        """Observe a whole history."""
        self._seen.replay(history)
