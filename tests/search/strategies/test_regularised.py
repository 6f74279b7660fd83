from __future__ import annotations

from madstar.genome.variation import VariationRates
from madstar.search.strategies import Measured, Proposed, RegularisedEvolution

from .landscape import SPACE, drive


def evolution(population: int = 5, sample: int | None = None, seed: int = 0) -> RegularisedEvolution:
    return RegularisedEvolution(SPACE, seed, rates=VariationRates(), population=population, sample=sample)


def begun(strategy: RegularisedEvolution, costs: list[float]) -> None:
    for index, cost in enumerate(costs):
        proposal = strategy.propose(index)
        assert proposal is not None
        strategy.observe(Proposed(index, proposal.offspring.genome, 0))
        strategy.observe(Measured(index, 0, (cost,)))


def test_the_oldest_dies_whatever_it_scored() -> None:
    strategy = evolution()
    begun(strategy, [0.0, 9.0, 9.0, 9.0, 9.0])
    assert strategy.living == (0, 1, 2, 3, 4)
    begun_with = {p for i in range(100, 130) for p in strategy.propose(i).parents}  # type: ignore[union-attr]
    assert 0 in begun_with
    genome = strategy.propose(5).offspring.genome  # type: ignore[union-attr]
    strategy.observe(Proposed(5, genome, 0))
    strategy.observe(Measured(5, 0, (9.0,)))
    assert strategy.living == (1, 2, 3, 4, 5)
    assert all(0 not in strategy.propose(i).parents for i in range(100, 130))  # type: ignore[union-attr]


def test_age_counts_from_the_first_result_and_failures_are_not_members() -> None:
    strategy = evolution(population=2)
    begun(strategy, [1.0, 1.0])
    for index in (2, 3):
        genome = strategy.propose(index).offspring.genome  # type: ignore[union-attr]
        strategy.observe(Proposed(index, genome, 0))
    strategy.observe(Measured(3, 0, (1.0,)))
    strategy.observe(Measured(2, 0, None))
    strategy.observe(Measured(0, 1, (0.5,)))
    assert strategy.living == (1, 3)


def test_a_tournament_of_all_is_won_by_the_best_at_the_highest_rung() -> None:
    strategy = evolution(sample=5)
    begun(strategy, [5.0, 4.0, 1.0, 3.0, 2.0])
    assert {strategy.propose(i).parents for i in range(5, 15)} == {(2,)}  # type: ignore[union-attr]
    strategy.observe(Measured(0, 1, (5.0,)))
    assert {strategy.propose(i).parents for i in range(5, 15)} == {(0,)}  # type: ignore[union-attr]


def test_children_are_mutants_that_express_something_else() -> None:
    """Also with rates at which a mutation hardly ever happens."""
    for rates in (VariationRates(), VariationRates(mutation=0.0, below=0.0)):
        strategy = RegularisedEvolution(SPACE, 0, rates=rates, population=5)
        run = drive(strategy, 30)
        born = [p for p in run.proposals.values() if p.parents]
        assert len(born) > 15
        for proposal in born:
            (parent,) = proposal.parents
            assert "crossover" not in proposal.offspring.operator
            before = run.proposals[parent].offspring.genome.architecture
            assert proposal.offspring.genome.architecture != before
