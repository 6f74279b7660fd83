"""NSGA-II over genomes, as in STAR (arXiv 2411.17800, section 4.2), in two modes.

Generational: a population is made of the `elitism` best of the last one and the offspring since,
and waits until every one of them has ended. Asynchronous: the population is the best of all
observed so far, and a proposal is made whenever a worker is free.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ...genome import Genome, SearchSpace, vary
from ...genome.variation import VariationRates
from ..ranking import Costs, Standing, order
from .contract import Event, Proposal, Proposed, proposal_rng, random_proposal


class NSGA2:
    """Tournament selection, two-point crossover, mutation, elitist survival."""

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        *,
        rates: VariationRates,
        population: int = 16,
        elitism: int = 2,
        generational: bool = False,
    ) -> None:
        self.space, self.seed, self.rates = space, seed, rates
        self.population, self.elitism, self.generational = population, elitism, generational
        self._genomes: dict[int, Genome] = {}
        self._generation: dict[int, int] = {}
        self._costs: dict[int, dict[int, Costs]] = {}
        self._ended: set[int] = set()
        self._current = 0
        self._parents: list[Standing] = []

    def propose(self, index: int) -> Proposal | None:
        """An offspring of the population; at first, random genomes."""
        if self.generational:
            return self._propose_in_generation(index)
        parents = order(self._standings(self._costs))[: self.population]
        if len(self._genomes) < self.population or len(parents) < 2:
            return random_proposal(self.space, self.seed, index, 0)
        return self._offspring(index, parents)

    def observe(self, event: Event) -> None:
        """Take note of a proposal's fate or of a result."""
        if isinstance(event, Proposed):
            if event.genome is not None:
                self._genomes[event.index] = event.genome
                self._generation[event.index] = event.generation
        else:
            self._ended.add(event.index)
            if event.costs is not None:
                self._costs.setdefault(event.index, {})[event.rung] = event.costs

    def replay(self, history: Iterable[Event]) -> None:
        """Observe a whole history."""
        for event in history:
            self.observe(event)

    @property
    def generation(self) -> int:
        """The generation that proposals now belong to; 0 in asynchronous mode."""
        return self._current

    def close_generation(self) -> None:
        """The coordinator's word that all evaluations of this generation, promotions too, have ended."""
        members = {i for i, generation in self._generation.items() if generation == self._current}
        elite = self._parents[: self.elitism]
        pool = {i: self._costs[i] for i in members if i in self._costs}
        pool.update({standing.index: self._costs[standing.index] for standing in elite})
        self._parents = order(self._standings(pool))[: self.population]
        self._current += 1

    def _propose_in_generation(self, index: int) -> Proposal | None:
        made = sum(generation == self._current for generation in self._generation.values())
        wanted = self.population - (min(self.elitism, len(self._parents)) if self._current else 0)
        if made >= wanted:
            return None
        if len(self._parents) < 2:
            return random_proposal(self.space, self.seed, index, self._current)
        return self._offspring(index, self._parents)

    def _offspring(self, index: int, parents: list[Standing]) -> Proposal:
        rng = proposal_rng(self.seed, index)
        first = tournament(parents, rng)
        second = tournament([p for p in parents if p is not first], rng)
        offspring = vary(self._genomes[first.index], self._genomes[second.index], self.space, self.rates, rng)
        both = "crossover" in offspring.operator
        return Proposal(
            offspring,
            parents=(first.index, second.index) if both else (first.index,),
            generation=self._current,
        )

    def _standings(self, costs: dict[int, dict[int, Costs]]) -> list[Standing]:
        return [Standing(index, costs[index]) for index in sorted(costs)]


def tournament(parents: list[Standing], rng: np.random.Generator) -> Standing:
    """The better of two at random; parents are in order, best first."""
    return parents[int(rng.integers(len(parents), size=2).min())]
