"""Many offspring, few trained: a cheap surrogate of all results so far says which one to try.

Two hundred genomes are made for each proposal, half at random and half from the parents of NSGA-II.
Of each the surrogate predicts, at the top rung, what only training can tell; costs that are known
before training are computed for the most promising few. The one that is expected to add most to the
front is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...genome import Genome, SearchSpace, sample, vary
from ...genome.variation import Offspring, VariationRates, settle
from ..ranking import order
from .acquisition import expected_improvements, reference_point
from .contract import Event, Proposal, proposal_rng, random_proposal
from .features import CHANGING, features
from .nsga2 import tournament
from .observations import Observations
from .surrogate import Results, Surrogate, default_noise, fit

# A genome's costs in the objectives' order, None for those that only training tells; None altogether
# where the genome breaks a static constraint.
Screen = Callable[[Genome], tuple[float | None, ...] | None]
_PENDING = 8


@dataclass(frozen=True)
class Screening:
    """How much is screened, and how.

    The first `initial` proposals are random. Then `random` genomes and `offspring` are ranked, and
    of the best, static costs are computed until `exact` of them keep the constraints, or half as
    many again have been tried. `explore` is the share of proposals that stay random. `draws` are
    bootstrap draws; `noise` has a standard deviation for each rung, see `default_noise`.
    """

    initial: int = 12
    random: int = 100
    offspring: int = 100
    exact: int = 12
    explore: float = 0.1
    draws: int = 20
    noise: tuple[float, ...] | None = None


class ScreenedSearch:
    """Surrogate-screened evolution. `screen` must always say the same of the same genome.

    Without `screen`, static costs are predicted like the others.
    """

    def __init__(
        self,
        space: SearchSpace,
        seed: int,
        *,
        rates: VariationRates,
        top_rung: int,
        population: int = 16,
        screen: Screen | None = None,
        screening: Screening | None = None,
    ) -> None:
        self.space, self.seed, self.rates, self.population = space, seed, rates, population
        self.screening = screening or Screening()
        self.noise = self.screening.noise or default_noise(top_rung + 1)
        self._screen = screen
        self._seen = Observations()
        self._features: dict[Genome, np.ndarray] = {}
        self._screened: dict[Genome, tuple[float | None, ...] | None] = {}

    def propose(self, index: int) -> Proposal | None:
        """The most promising of many genomes; at first, and now and then, a random one."""
        if len(self._seen.genomes) < self.screening.initial or len(self._seen.measured) < 2:
            return random_proposal(self.space, self.seed, index, 0)
        rng = proposal_rng(self.seed, index)
        if rng.random() < self.screening.explore:
            return self._random(rng)
        pool = self._pool(rng)
        if not pool:
            return random_proposal(self.space, self.seed, index, 0)
        chosen = self._choose(pool, rng)
        made = chosen.offspring
        told = Offspring(made.genome, f"screened:{made.operator}", made.validity, made.repaired_genes)
        return Proposal(told, chosen.parents)

    def observe(self, event: Event) -> None:
        """Take note of a proposal's fate or of a result."""
        self._seen.observe(event)

    def replay(self, history: Iterable[Event]) -> None:
        """Observe a whole history."""
        self._seen.replay(history)

    # The pool --------------------------------------------------------------------------------

    def _random(self, rng: np.random.Generator) -> Proposal:
        """A random genome; of some, the first that keeps the constraints."""
        for _ in range(self.screening.exact):
            made = settle(sample(self.space, rng), "random", self.space, rng)
            if self._screen is None or (
                made.validity != "rejected" and self._static(made.genome) is not None
            ):
                break
        return Proposal(made)

    def _pool(self, rng: np.random.Generator) -> list[Proposal]:
        """Random genomes and offspring, all different, none of them a candidate already."""
        made = [
            Proposal(settle(sample(self.space, rng), "random", self.space, rng))
            for _ in range(self.screening.random)
        ]
        parents = order(self._seen.standings())[: self.population]
        for _ in range(self.screening.offspring):
            first = tournament(parents, rng)
            second = tournament([p for p in parents if p is not first], rng)
            genomes = self._seen.genomes[first.index], self._seen.genomes[second.index]
            offspring = vary(*genomes, self.space, self.rates, rng)
            both = "crossover" in offspring.operator
            made.append(Proposal(offspring, (first.index, second.index) if both else (first.index,)))
        pool: dict[Genome, Proposal] = {}
        for proposal in made:
            genome = proposal.offspring.genome
            if proposal.offspring.validity != "rejected" and not self._seen.holds(genome):
                pool.setdefault(genome, proposal)
        return list(pool.values())

    # The choice ------------------------------------------------------------------------------

    def _choose(self, pool: list[Proposal], rng: np.random.Generator) -> Proposal:
        genomes = [proposal.offspring.genome for proposal in pool]
        model = _Model(self, rng)
        draws = model.draw(self._vectors(genomes))
        ranked = model.ranked(draws)
        if self._screen is None:
            return next((pool[i] for i in ranked if not self._seen.expresses(genomes[i])), pool[ranked[0]])
        feasible: list[int] = []
        tried = 0
        for i in ranked:
            if len(feasible) == self.screening.exact or tried == self.screening.exact * 3 // 2:
                break
            if self._seen.expresses(genomes[i]):
                continue
            tried += 1
            costs = self._static(genomes[i])
            if costs is not None:
                feasible.append(i)
                for objective, cost in enumerate(costs):
                    if cost is not None:
                        draws[:, i, objective] = cost
        if not feasible:
            return pool[ranked[0]]
        return pool[feasible[model.ranked(draws[:, feasible])[0]]]

    def _vectors(self, genomes: list[Genome]) -> Float[np.ndarray, "genomes features"]:
        """Features, those of candidates kept."""
        vectors = []
        for genome in genomes:
            vector = self._features.get(genome)
            if vector is None:
                vector = features(genome, self.space.classes)
                if self._seen.holds(genome):
                    self._features[genome] = vector
            vectors.append(vector)
        return np.stack(vectors)

    def _static(self, genome: Genome) -> tuple[float | None, ...] | None:
        assert self._screen is not None
        if genome not in self._screened:
            self._screened[genome] = self._screen(genome)
        return self._screened[genome]


class _Model:
    """Surrogates of all objectives, and the front they see, at one moment of a search."""

    def __init__(self, search: ScreenedSearch, rng: np.random.Generator) -> None:
        self.search, self.rng, self.seen = search, rng, search._seen
        self.measured = sorted(self.seen.measured)
        self.vectors = search._vectors([self.seen.genomes[i] for i in self.measured])
        self.costs = [self.seen.costs[i] for i in self.measured]
        self.objectives = len(next(iter(self.costs[0].values())))
        self.static = self._which_are_static()
        self.surrogates = [self._fit(objective) for objective in range(self.objectives)]
        estimates = np.column_stack([self._estimates(o) for o in range(self.objectives)])
        self.reference = reference_point(estimates)
        # Those under way are taken at their word, lest the next proposal is another of their kind.
        self.known = np.vstack([estimates, *self._pending()])

    def draw(self, vectors: np.ndarray) -> Float[np.ndarray, "draws genomes objectives"]:
        """Costs that may be: of a static objective one prediction, of others one for each draw."""
        draws = self.search.screening.draws
        values = np.empty((draws, len(vectors), self.objectives))
        for objective, surrogate in enumerate(self.surrogates):
            if self.static[objective]:
                values[:, :, objective] = surrogate.predict(vectors)
            else:
                # One deviation for all genomes of a draw, so that none is chosen for its luck.
                noise = self.rng.normal(size=(draws, 1)) * surrogate.misfit
                values[:, :, objective] = surrogate.draw(vectors) + noise
        return values

    def ranked(self, draws: Float[np.ndarray, "draws genomes objectives"]) -> list[int]:
        """Best first: by expected improvement, then by mean cost over the range of what is known."""
        expected = expected_improvements(draws, self.known, self.reference)
        spread = np.ptp(self.known, axis=0)
        plain = (draws.mean(axis=0) / np.where(spread > 0, spread, 1.0)).sum(axis=1)
        return [int(i) for i in np.lexsort((plain, -expected))]

    def _which_are_static(self) -> list[bool]:
        if self.search._screen is not None:
            for index in self.measured:
                costs = self.search._static(self.seen.genomes[index])
                if costs is not None:
                    return [cost is not None for cost in costs]
        return [False] * self.objectives

    def _fit(self, objective: int) -> Surrogate:
        if self.static[objective]:
            costs = [{0: by_rung[max(by_rung)][objective]} for by_rung in self.costs]
            return fit(self.vectors, Results.of(costs), noise=(1.0,), draws=0, rng=self.rng)
        return fit(
            self.vectors,
            self._results(objective),
            noise=self.search.noise,
            changing=CHANGING,
            draws=self.search.screening.draws,
            rng=self.rng,
        )

    def _results(self, objective: int) -> Results:
        return Results.of([{rung: c[objective] for rung, c in by_rung.items()} for by_rung in self.costs])

    def _estimates(self, objective: int) -> np.ndarray:
        if self.static[objective]:
            return np.array([by_rung[max(by_rung)][objective] for by_rung in self.costs])
        return self.surrogates[objective].settle(self.vectors, self._results(objective))

    def _pending(self) -> list[np.ndarray]:
        genomes = [self.seen.genomes[i] for i in self.seen.pending[-_PENDING:]]
        if not genomes:
            return []
        vectors = self.search._vectors(genomes)
        points = np.column_stack([surrogate.predict(vectors) for surrogate in self.surrogates])
        if any(self.static):
            for row, genome in enumerate(genomes):
                for objective, cost in enumerate(self.search._static(genome) or ()):
                    if cost is not None:
                        points[row, objective] = cost
        return [points]
