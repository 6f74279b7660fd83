"""What every strategy promises, whatever it does."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from madstar.errors import ConfigurationError
from madstar.genome.known import known_motifs
from madstar.genome.validity import problems
from madstar.search.strategies import Measured, Proposed, strategy_names

from .landscape import NAMES, SPACE, VARIED, drive, make

SEEDS = tuple(known_motifs(6).items())
CASES = [(name, seeds) for name in NAMES for seeds in ((), SEEDS)]


def test_every_strategy_is_under_test() -> None:
    assert set(NAMES) == set(strategy_names())


@pytest.mark.parametrize(("name", "seeds"), CASES)
def test_a_replayed_strategy_proposes_what_the_first_one_does(name: str, seeds: tuple) -> None:
    """Also as a resumed run replays it: all proposals first, then all results."""
    live = make(name, seeds=seeds)
    run = drive(live, 40)
    expected = [live.propose(index) for index in range(40, 43)]
    for history in (run.events, run.as_resumed()):
        again = make(name, seeds=seeds)
        again.replay(history)
        assert [again.propose(index) for index in range(40, 43)] == expected


@pytest.mark.parametrize("name", NAMES)
def test_replay_half_way_and_going_on_is_the_same_run(name: str) -> None:
    live = make(name, seeds=SEEDS)
    first = drive(live, 20)
    second = drive(live, 12, seed=1, start=20)
    again = make(name, seeds=SEEDS)
    again.replay(first.as_resumed())
    assert drive(again, 12, seed=1, start=20).proposals == second.proposals


@pytest.mark.parametrize("name", NAMES)
def test_proposals_depend_on_seed_number_and_history_alone(name: str) -> None:
    one, other, third = make(name), make(name), make(name, seed=7)
    for strategy in (one, other, third):
        drive(strategy, 25)
    random.seed(1), np.random.seed(1), torch.manual_seed(1)
    expected = one.propose(25)
    random.seed(2), np.random.seed(2), torch.manual_seed(2)
    assert one.propose(25) == expected == other.propose(25)
    assert [one.propose(i) for i in range(26, 29)] != [third.propose(i) for i in range(26, 29)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("space", [SPACE, VARIED], ids=["one depth", "many depths"])
def test_proposals_are_genomes_of_the_space(name: str, space: object) -> None:
    run = drive(make(name, space=space), 30)  # type: ignore[arg-type]
    for proposal in run.proposals.values():
        genome = proposal.offspring.genome
        assert space.min_depth <= genome.depth <= space.max_depth  # type: ignore[attr-defined]
        assert not list(problems(genome, space.sizes))  # type: ignore[attr-defined]
        assert set(proposal.parents) <= set(run.proposals)


@pytest.mark.parametrize("name", NAMES)
def test_nobody_waits_while_results_are_outstanding(name: str) -> None:
    strategy = make(name)
    for index in range(20):
        proposal = strategy.propose(index)
        assert proposal is not None
        strategy.observe(Proposed(index, proposal.offspring.genome, 0))
    for index in range(20):
        strategy.observe(Measured(index, 0, None))
    assert strategy.propose(20) is not None


@pytest.mark.parametrize("name", NAMES)
def test_one_objective_and_one_survivor_are_enough(name: str) -> None:
    strategy = make(name, screen=None, objectives=("quality",))
    for index in range(16):
        proposal = strategy.propose(index)
        assert proposal is not None
        strategy.observe(Proposed(index, proposal.offspring.genome, 0))
        strategy.observe(Measured(index, 0, (1.0,) if index == 3 else None))
    assert strategy.propose(16) is not None


def test_an_unknown_strategy_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'best': choose one of nsga2"):
        make("best")
