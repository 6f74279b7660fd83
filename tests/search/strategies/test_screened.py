from __future__ import annotations

import numpy as np

from madstar.genome import Genome
from madstar.genome.variation import VariationRates
from madstar.search.ranking import hypervolume
from madstar.search.strategies import Measured, Proposed, RandomSearch, ScreenedSearch, Screening, Strategy

from .landscape import FEW, SPACE, TOP, cache, drive, make, quality, screen

SMALL = Screening(random=25, offspring=25, exact=6, draws=8)


def screened(seed: int = 0, screening: Screening = FEW, asked: list[Genome] | None = None) -> ScreenedSearch:
    def ask(genome: Genome) -> tuple[float | None, ...] | None:
        if asked is not None:
            asked.append(genome)
        return screen(genome)

    return ScreenedSearch(
        SPACE, seed, rates=VariationRates(), population=8, top_rung=TOP, screen=ask, screening=screening
    )


def test_it_beats_random_search_on_a_landscape_with_a_slope() -> None:
    """Mean over two seeds of the best five and of the hypervolume; about twice as much was seen."""

    def reached(strategy: Strategy, seed: int) -> tuple[float, float]:
        tried = drive(strategy, 45, seed=seed).genomes
        costs = np.array([(quality(genome), cache(genome)) for genome in tried])
        return float(np.sort(costs[:, 0])[:5].mean()), hypervolume(costs, (3.0, 4.0))

    chosen = np.array([reached(screened(seed, SMALL), seed) for seed in range(2)])
    drawn = np.array([reached(RandomSearch(SPACE, seed), seed) for seed in range(2)])
    best, volume = (chosen - drawn).mean(axis=0)
    assert best < -0.15
    assert volume > 0.5


def test_it_begins_at_random_and_then_tells_where_each_comes_from() -> None:
    run = drive(screened(), 40)
    operators = [proposal.offspring.operator for proposal in run.proposals.values()]
    assert set(operators[:12]) == {"random"}
    later = set(operators[12:])
    assert any(name.startswith("screened:") for name in later)
    assert later <= {"random"} | {name for name in later if name.startswith("screened:")}
    for proposal in run.proposals.values():
        made_of_parents = proposal.offspring.operator not in ("random", "screened:random")
        assert bool(proposal.parents) == made_of_parents


def test_a_share_stays_random() -> None:
    strategy = screened(screening=Screening(random=10, offspring=10, explore=0.5, draws=5))
    run = drive(strategy, 80)
    plain = sum(p.offspring.operator == "random" for i, p in run.proposals.items() if i >= 20)
    assert 15 < plain < 45


def test_static_costs_are_asked_for_the_most_promising_only_and_once() -> None:
    asked: list[Genome] = []
    strategy = screened(asked=asked)
    drive(strategy, 20)
    asked.clear()
    proposals = [strategy.propose(index) for index in range(20, 26)]
    assert len(set(asked)) == len(asked) <= 6 * 6
    asked.clear()
    assert [strategy.propose(index) for index in range(20, 26)] == proposals
    assert asked == []


def test_what_breaks_a_constraint_is_not_proposed_once_it_screens() -> None:
    run = drive(screened(), 50)
    chosen = [p.offspring.genome for i, p in run.proposals.items() if i >= 20]
    assert all(screen(genome) is not None for genome in chosen)


def test_what_has_been_accepted_is_not_proposed_again() -> None:
    accepted: set[str] = set()
    run = drive(screened(), 50)
    dropped = {e.index for e in run.events if isinstance(e, Proposed) and e.genome is None}
    for index, proposal in run.proposals.items():
        architecture = proposal.offspring.genome.architecture
        assert index < 12 or proposal.offspring.operator == "random" or architecture not in accepted
        if index not in dropped:
            accepted.add(architecture)


def test_a_cost_known_before_training_decides_between_equals() -> None:
    """All train alike; only the exact cache tells candidates apart."""
    strategy = ScreenedSearch(
        SPACE, 0, rates=VariationRates(), top_rung=0, screen=lambda g: (None, cache(g) + 1), screening=FEW
    )
    rng_costs = []
    for index in range(30):
        proposal = strategy.propose(index)
        assert proposal is not None
        genome = proposal.offspring.genome
        strategy.observe(Proposed(index, genome, 0))
        strategy.observe(Measured(index, 0, (1.0, cache(genome) + 1)))
        rng_costs.append(cache(genome))
    assert np.mean(rng_costs[12:]) < np.mean(rng_costs[:12])


def test_three_objectives_and_no_screen() -> None:
    strategy = make("screened", screen=None)
    for index in range(20):
        proposal = strategy.propose(index)
        assert proposal is not None
        genome = proposal.offspring.genome
        strategy.observe(Proposed(index, genome, 0))
        strategy.observe(Measured(index, 0, (quality(genome), cache(genome), float(genome.depth))))


def test_where_no_genome_keeps_the_constraints_it_still_proposes() -> None:
    """The coordinator drops it, and says why."""
    strategy = ScreenedSearch(
        SPACE, 0, rates=VariationRates(), top_rung=0, screen=lambda genome: None, screening=FEW
    )
    for index in range(14):
        proposal = strategy.propose(index)
        assert proposal is not None
        strategy.observe(Proposed(index, proposal.offspring.genome, 0))
        strategy.observe(Measured(index, 0, (1.0, 1.0)))
    assert strategy.propose(14) is not None
