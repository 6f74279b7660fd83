"""Search guided by a model: of many genomes the one is trained that is expected to add most to the front.

For each proposal a pool is made of offspring, random genomes and genomes that a model of good ones has
written. A Gaussian process over genes, fitted to all results of this run and to what other archives
measured, says what each would cost at the top rung, and how sure that is; the best of the pool are varied
again, and so are the best of those. Expected hypervolume improvement decides: the promising and the
uncertain both have a chance.

A share of the proposals does without all this, so that every run measures what guiding was worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...genome import Genome, SearchSpace
from ...genome.variation import Offspring
from ...search.ranking import Standing, order, order_at
from ...search.strategies.choice import Surroundings
from ...search.strategies.contract import Event, Measured, Proposal, proposal_rng, random_proposal
from ...search.strategies.observations import Observations
from . import knowledge, pool
from .choosing import Forecasts, Judge
from .sampler import Sampler

if TYPE_CHECKING:
    from ...search.settings import SearchSettings


# Genomes whose static costs are remembered, beside those of candidates.
_REMEMBERED = 4096


@dataclass(frozen=True)
class Guidance:
    """How much is looked at for each proposal.

    Without knowledge the first `initial` proposals are random. Then the pool has so many `random`,
    `generated` and `offspring`, and the `elite` best of it have `evolved` children, in `rounds`. Good
    genomes weigh more in the model of them: one at a share s of the ranking weighs exp(-`selection` s).
    """

    initial: int = 8
    random: int = 40
    generated: int = 80
    offspring: int = 80
    elite: int = 12
    evolved: int = 50
    rounds: int = 2
    selection: float = 5.0
    known: int = 20
    draws: int = 16


class Guided:
    """The strategy. Its `learn` reads other archives when a run begins; see `search.strategies.choice`."""

    def __init__(self, around: Surroundings, guidance: Guidance | None = None) -> None:
        self.around, self.guidance = around, guidance or Guidance()
        self.space, self.seed = around.space, around.seed
        self._seen = Observations()
        self._order: dict[tuple[int, int], None] = {}
        self._failed: dict[int, None] = {}
        self._static: dict[Genome, tuple[float | None, ...] | None] = {}
        self._known = knowledge.known(around.knowledge)
        self._forecasts = Forecasts(around, self._known)

    @staticmethod
    def learn(homes: Sequence[Path], settings: SearchSettings, space: SearchSpace) -> dict[str, Any]:
        """What other archives measured; see `knowledge.learn`."""
        return knowledge.learn(homes, settings, space)

    def propose(self, index: int) -> Proposal | None:
        """The most promising genome of a large pool; at first, and now and then, one without the model."""
        rng = proposal_rng(self.seed, index)
        first = len(self._seen.measured) < 2 or len(self._seen.genomes) < self.guidance.initial
        if first and not (self._known and self.around.screen is not None):
            return random_proposal(self.space, self.seed, index, 0)
        if rng.random() < self.around.unguided:
            return _named("unguided", self._unguided(rng))
        found = self._guided(rng)
        return _named("guided", found) if found else random_proposal(self.space, self.seed, index, 0)

    def observe(self, event: Event) -> None:
        """Take note of a proposal's fate or of a result."""
        self._seen.observe(event)
        if isinstance(event, Measured):
            if event.costs is None:
                self._failed[event.index] = None
            else:
                self._order[event.index, event.rung] = None

    def replay(self, history: Iterable[Event]) -> None:
        """Observe a whole history."""
        for event in history:
            self.observe(event)

    # Without the model -----------------------------------------------------------------------

    def _unguided(self, rng: np.random.Generator) -> Proposal:
        """A random genome, or plain offspring of the best as NSGA-II's, that may be trained."""
        parents = self._parents()
        plain = len(parents) > 1 and rng.random() < 0.5
        for _ in range(self.guidance.elite):
            if plain:
                made = pool.offspring(parents, 1, self.space, self.around.rates, rng)[0]
            else:
                made = pool.random_ones(self.space, 1, rng)[0]
            genome = made.offspring.genome
            if made.offspring.validity != "rejected" and self._free(genome) and self._costs(genome):
                break
        return made

    def _parents(self) -> list[pool.Parent]:
        best = order(self._seen.standings())[: self.around.population]
        return [pool.Parent(self._seen.genomes[each.index], (each.index,)) for each in best]

    # With the model --------------------------------------------------------------------------

    def _guided(self, rng: np.random.Generator) -> Proposal | None:
        judge = self._judge(rng)
        chosen: list[Proposal] = []
        taken: set[Genome] = set()

        def add(made: Iterable[Proposal]) -> list[int]:
            fresh = pool.distinct(made, lambda genome: genome in taken or not self._free(genome))
            taken.update(proposal.offspring.genome for proposal in fresh)
            kept = [each for each in fresh if self._costs(each.offspring.genome) is not None]
            chosen.extend(kept)
            genomes = [each.offspring.genome for each in kept]
            return judge.add(genomes, [self._costs(genome) or () for genome in genomes])

        ranked = add(self._pool(judge, rng))
        for _ in range(self.guidance.rounds):
            elite = [chosen[i] for i in ranked[: self.guidance.elite]]
            parents = [pool.Parent(each.offspring.genome, each.parents) for each in elite]
            ranked = add(
                pool.offspring(
                    parents, self.guidance.evolved, self.space, self.around.rates, rng, prefix="evolved+"
                )
            )
        fresh = (i for i in ranked if not self._seen.expresses(chosen[i].offspring.genome))
        best = next(fresh, ranked[0] if ranked else None)
        return None if best is None else chosen[best]

    def _judge(self, rng: np.random.Generator) -> Judge:
        """The models as they are now, and what they see as the front."""
        seen = self._seen
        measured = [seen.genomes[index] for index in sorted(seen.measured)]
        waiting = [seen.genomes[index] for index in seen.pending]
        objectives = len(self.around.objectives) or len(next(iter(seen.costs[seen.measured[0]].values())))
        results = [
            (seen.genomes[index], rung, seen.costs[index][rung])
            for index, rung in self._order
            if index in seen.genomes
        ]
        failed = [seen.genomes[i] for i in self._failed if i in seen.genomes and i not in seen.costs]
        return Judge(
            self._forecasts.models(results, failed, objectives),
            known=[(genome, self._costs(genome) or (None,) * objectives) for genome in (*measured, *waiting)],
            objectives=objectives,
            draws=self.guidance.draws,
            rng=rng,
        )

    def _pool(self, judge: Judge, rng: np.random.Generator) -> list[Proposal]:
        guidance, parents = self.guidance, self._parents()
        good = self._good(judge)
        weights = np.exp(-guidance.selection * np.arange(len(good)) / max(1, len(good)))
        sampler = Sampler(self.space, good, [float(weight) for weight in weights])
        known = [genome for genome in good if self._free(genome)][: guidance.known]
        return [
            *(Proposal(Offspring(genome, "known", "valid")) for genome in known),
            *pool.offspring(parents, guidance.offspring, self.space, self.around.rates, rng),
            *pool.generated(sampler, guidance.generated, rng),
            *pool.random_ones(self.space, guidance.random, rng),
        ]

    def _good(self, judge: Judge) -> list[Genome]:
        """All measured genomes, of here and elsewhere, that may be trained here; best first by the models."""
        seen = self._seen
        own = [seen.genomes[index] for index in sorted(seen.measured)]
        elsewhere = [each.genome for each in self._known if self.space.contains(each.genome)]
        genomes = list(dict.fromkeys((*own, *elsewhere)))
        genomes = [genome for genome in genomes if self._costs(genome) is not None]
        if not genomes:
            return []
        costs = judge.expected(genomes, [self._costs(genome) or () for genome in genomes])
        ranked = order_at([Standing(i, {0: tuple(cost)}) for i, cost in enumerate(costs)], 0)
        return [genomes[each.index] for each in ranked]

    # What is known before training -----------------------------------------------------------

    def _free(self, genome: Genome) -> bool:
        return not self._seen.holds(genome)

    def _costs(self, genome: Genome) -> tuple[float | None, ...] | None:
        """Static costs, None for those that training tells; None altogether where it may not be trained."""
        if genome not in self._static:
            if len(self._static) > _REMEMBERED:
                self._static = {g: costs for g, costs in self._static.items() if self._seen.holds(g)}
            if self.around.screen is None:
                count = len(self.around.objectives) or self._objectives()
                self._static[genome] = (None,) * count
            else:
                self._static[genome] = self.around.screen(genome)
        return self._static[genome]

    def _objectives(self) -> int:
        costs = self._seen.costs
        return len(next(iter(next(iter(costs.values())).values()))) if costs else 1


def _named(how: str, proposal: Proposal) -> Proposal:
    made = proposal.offspring
    told = Offspring(made.genome, f"{how}:{made.operator}", made.validity, made.repaired_genes)
    return Proposal(told, proposal.parents, proposal.generation)
