"""A cheap stand-in for training: costs that follow from a genome, with the known bias of early rungs."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from madstar.genome import Genome, SearchSpace
from madstar.genome.variation import VariationRates
from madstar.learning.guided import Guidance, Guided
from madstar.search.strategies import (
    Event,
    Generational,
    Measured,
    Proposal,
    Proposed,
    ScreenedSearch,
    Screening,
    Seeded,
    Strategy,
    make_strategy,
)

SPACE = SearchSpace(min_depth=6, max_depth=6)
VARIED = SearchSpace(min_depth=4, max_depth=7)
TOP = 2
FEW = Screening(random=12, offspring=12, exact=4, draws=5)
# What looks at many genomes for each proposal looks at few here.
LITTLE = Guidance(initial=6, random=6, generated=8, offspring=8, elite=4, evolved=6, rounds=1, draws=5)
NAMES = ("nsga2", "regularised", "local", "random", "screened", "guided")


def quality(genome: Genome, rung: int = TOP) -> float:
    """Convolutions help, the first most; so do two memoryless layers, and attention at the end.

    Early rungs flatter convolutions and under-rate attention.
    """
    kinds = [liv.operator.token_mixing for liv in genome.livs]
    value = 3.0 - 0.15 * kinds.count(3) - 0.1 * (kinds[0] == 3) - 0.15 * (kinds[-1] == 2)
    value -= 0.1 * min(kinds.count(1), 2) + 0.03 * sum(liv.operator.differential for liv in genome.livs)
    distance = (TOP - rung) / TOP
    return value + distance * (1.0 + 0.1 * kinds.count(2) - 0.1 * kinds.count(3))


def cache(genome: Genome) -> float:
    """Layers that keep keys and values."""
    return float(sum(liv.operator.token_mixing == 2 for liv in genome.livs))


def screen(genome: Genome) -> tuple[float | None, ...] | None:
    """The cache exactly; at least one layer with memory is demanded."""
    kinds = {liv.operator.token_mixing for liv in genome.livs}
    return None if kinds == {1} else (None, cache(genome))


def make(name: str, seed: int = 0, space: SearchSpace = SPACE, **settings: object) -> Strategy:
    """A strategy of that name on this landscape."""
    chosen: dict = {"rates": VariationRates(), "population": 8, "top_rung": TOP, "screen": screen}
    chosen |= {"objectives": ("quality", "cache"), **settings}
    strategy = make_strategy(name, space, seed, **chosen)
    inner = strategy.inner if isinstance(strategy, Seeded) else strategy
    if isinstance(inner, ScreenedSearch):
        inner.screening = FEW
    if isinstance(inner, Guided):
        inner.guidance = LITTLE
    return strategy


@dataclass
class Run:
    """What happened: every event in its order, and the proposals by number."""

    events: list[Event] = field(default_factory=list)
    proposals: dict[int, Proposal] = field(default_factory=dict)

    def as_resumed(self) -> list[Event]:
        """As a resumed run hears it: the proposals first, then the results in their order."""
        proposed = [e for e in self.events if isinstance(e, Proposed)]
        return [*proposed, *(e for e in self.events if isinstance(e, Measured))]

    @property
    def genomes(self) -> list[Genome]:
        return [e.genome for e in self.events if isinstance(e, Proposed) and e.genome is not None]


def drive(strategy: Strategy, proposals: int, *, workers: int = 2, seed: int = 0, start: int = 0) -> Run:
    """A search of that many proposals: results come late, some fail, some climb, some proposals

    are dropped.
    """
    run, rng, waiting = Run(), np.random.default_rng(seed), []
    seen: set[str] = set()

    def tell(event: Event) -> None:
        strategy.observe(event)
        run.events.append(event)

    for index in range(start, start + proposals):
        proposal = strategy.propose(index)
        if proposal is None:
            assert isinstance(strategy, Generational)
            strategy.close_generation()
            proposal = strategy.propose(index)
        assert proposal is not None
        run.proposals[index] = proposal
        genome = proposal.offspring.genome
        dropped = genome.architecture in seen or rng.random() < 0.1
        tell(Proposed(index, None if dropped else genome, proposal.generation))
        if dropped:
            continue
        seen.add(genome.architecture)
        waiting.append((index, 0, genome))
        while len(waiting) >= workers:
            number, rung, model = waiting.pop(int(rng.integers(len(waiting))))
            noise = rng.normal(0, 0.02 / (rung + 1))
            failed = rng.random() < 0.1
            tell(Measured(number, rung, None if failed else (quality(model, rung) + noise, cache(model))))
            if not failed and rung < TOP and rng.random() < 0.4:
                waiting.append((number, rung + 1, model))
    return run
