from __future__ import annotations

import numpy as np
import pytest

from madstar.genome import Genome, SearchSpace, class_number
from madstar.genome.variation import VariationRates
from madstar.search.strategies import NSGA2, Event, Measured, Proposed, RandomSearch, Strategy

SPACE = SearchSpace(min_depth=6, max_depth=6)


def asynchronous(seed: int = 0) -> NSGA2:
    return NSGA2(SPACE, seed, rates=VariationRates(), population=8)


def generational(seed: int = 0) -> NSGA2:
    return NSGA2(SPACE, seed, rates=VariationRates(), population=6, elitism=2, generational=True)


def toy_costs(genome: Genome) -> tuple[float, float]:
    """Two costs that pull apart: layers that are not GMemless, and layers that are not GConv-1."""
    numbers = [class_number(liv.operator) for liv in genome.livs]
    return float(sum(n != 9 for n in numbers)), float(sum(n != 7 for n in numbers))


def drive(strategy: Strategy, proposals: int, events: list[Event] | None = None) -> list[Genome]:
    genomes = []
    for index in range(proposals):
        proposal = strategy.propose(index)
        assert proposal is not None
        genome = proposal.offspring.genome
        genomes.append(genome)
        for event in (
            Proposed(index, genome, proposal.generation),
            Measured(index, 0, toy_costs(genome)),
        ):
            strategy.observe(event)
            if events is not None:
                events.append(event)
    return genomes


@pytest.mark.parametrize("make", [asynchronous, lambda seed=0: RandomSearch(SPACE, seed)])
def test_replay_leads_to_the_same_proposals(make: type) -> None:
    events: list[Event] = []
    first = make()
    drive(first, 30, events)
    second = make()
    second.replay(events)
    assert [first.propose(i) for i in range(30, 36)] == [second.propose(i) for i in range(30, 36)]


def test_a_proposal_is_a_function_of_seed_number_and_history() -> None:
    one, other = asynchronous(), asynchronous()
    drive(one, 20)
    drive(other, 20)
    assert one.propose(20) == one.propose(20) == other.propose(20)
    assert one.propose(20) != one.propose(21)
    assert asynchronous(1).propose(20) != asynchronous(2).propose(20)


def test_evolution_beats_random_search_on_a_landscape_with_a_slope() -> None:
    """Sum of both costs of the best after 150 proposals; on this landscape chance is far behind."""
    evolved, drawn = [], []
    for seed in range(5):
        genomes = drive(asynchronous(seed), 150)
        evolved.append(min(sum(toy_costs(g)) for g in genomes))
        genomes = drive(RandomSearch(SPACE, seed), 150)  # type: ignore[arg-type]
        drawn.append(min(sum(toy_costs(g)) for g in genomes))
    assert np.mean(evolved) < np.mean(drawn) - 0.5


def test_failed_candidates_are_no_parents() -> None:
    strategy = asynchronous()
    for index in range(20):
        proposal = strategy.propose(index)
        assert proposal is not None
        strategy.observe(Proposed(index, proposal.offspring.genome, 0))
        good = index in (3, 5, 7)
        strategy.observe(Measured(index, 0, (1.0, 1.0) if good else None))
    for index in range(20, 40):
        proposal = strategy.propose(index)
        assert proposal is not None
        assert set(proposal.parents) <= {3, 5, 7}


def test_promoted_parents_are_preferred() -> None:
    """With everyone at rung 0 but two at rung 1, tournaments between those and others go to those."""
    strategy = asynchronous()
    drive(strategy, 8)
    for index in (2, 4):
        strategy.observe(Measured(index, 1, (9.0, 9.0)))
    chosen = [p for i in range(100, 160) for p in strategy.propose(i).parents]  # type: ignore[union-attr]
    share = sum(p in (2, 4) for p in chosen) / len(chosen)
    assert share > 0.35  # 2 of 8 by chance alone would be a quarter


def test_a_generation_waits_for_its_end_and_keeps_its_elite() -> None:
    strategy = generational()
    drive(strategy, 6)
    assert strategy.propose(6) is None
    strategy.close_generation()
    assert strategy.generation == 1
    made = 0
    while (proposal := strategy.propose(6 + made)) is not None:
        assert proposal.generation == 1
        assert set(proposal.parents) <= set(range(6))
        strategy.observe(Proposed(6 + made, proposal.offspring.genome, 1))
        strategy.observe(Measured(6 + made, 0, (99.0, 99.0)))
        made += 1
    assert made == 4  # the population of 6 less 2 elite
    elite = [s.index for s in strategy._parents[:2]]
    strategy.close_generation()
    assert elite == [s.index for s in strategy._parents[:2]]


def test_dropped_proposals_do_not_count() -> None:
    strategy = generational()
    for index in range(4):
        proposal = strategy.propose(index)
        assert proposal is not None
        strategy.observe(Proposed(index, None, 0))
    drive_from = 4
    for index in range(drive_from, drive_from + 6):
        proposal = strategy.propose(index)
        assert proposal is not None
        strategy.observe(Proposed(index, proposal.offspring.genome, 0))
    assert strategy.propose(99) is None
