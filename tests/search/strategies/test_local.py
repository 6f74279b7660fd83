from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.genome import Genome, SearchSpace, sample
from madstar.genome.variation import settle
from madstar.search.strategies import LocalSearch, Measured, Proposed
from madstar.search.strategies.neighbourhood import neighbour, one_change_apart, possible_moves

from .landscape import SPACE, VARIED, drive


def random_genome(space: SearchSpace, seed: int) -> Genome:
    rng = np.random.default_rng(seed)
    return settle(sample(space, rng), "random", space, rng).genome


def places_apart(first: Genome, second: Genome) -> int:
    """Plainly, by trying every single edit: 0, 1, or 2 for more."""
    a, b = list(first.livs), list(second.livs)
    if a == b:
        return 0
    edits = []
    for i in range(len(a)):
        edits.append(a[:i] + a[i + 1 :])
        edits += [[*a[:i], layer, *a[i + 1 :]] for layer in b]
    edits += [[*a[:i], layer, *a[i:]] for i in range(len(a) + 1) for layer in b]
    for i in range(len(a) - 1):
        edits.append([*a[:i], a[i + 1], a[i], *a[i + 2 :]])
    return 1 if b in edits else 2


@given(st.integers(0, 10**6), st.sampled_from([SPACE, VARIED]))
@settings(max_examples=60)
def test_a_neighbour_is_valid_and_differs_in_exactly_one_place(seed: int, space: SearchSpace) -> None:
    genome = random_genome(space, seed)
    found = neighbour(genome, space, np.random.default_rng(seed))
    assert found is not None
    changed, move = found
    assert move in possible_moves(genome, space)
    assert places_apart(genome, changed) == 1
    assert space.contains(changed)
    assert changed.architecture != genome.architecture
    assert one_change_apart(genome, changed)
    assert one_change_apart(changed, genome)


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=40)
def test_one_change_apart_is_what_trying_every_edit_says(seed: int, steps: int) -> None:
    first = second = random_genome(VARIED, seed)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        found = neighbour(second, VARIED, rng)
        assert found is not None
        second = found[0]
    assert one_change_apart(first, second) == (places_apart(first, second) == 1)


def test_every_kind_of_move_is_made() -> None:
    genome = Genome.parse("12211-12211-71111-91111-16.1.1.1.1")
    made = {neighbour(genome, VARIED, np.random.default_rng(s))[1] for s in range(60)}  # type: ignore[index]
    assert made == {"class", "sharing", "swap", "gene", "insert", "delete"}


def test_closed_levels_stay_as_they_are() -> None:
    space = SearchSpace(min_depth=4, max_depth=4, levels=("backbone",))
    genome = random_genome(space, 0)
    moves = {neighbour(genome, space, np.random.default_rng(s))[1] for s in range(40)}  # type: ignore[index]
    assert moves <= {"class", "sharing", "swap"}


def accept(strategy: LocalSearch, index: int, genome: Genome, costs: tuple[float, ...] | None = None) -> None:
    strategy.observe(Proposed(index, genome, 0))
    if costs is not None:
        strategy.observe(Measured(index, 0, costs))


def test_it_climbs_from_the_front_member_with_the_fewest_neighbours_tried() -> None:
    strategy = LocalSearch(SPACE, 0, initial=3, patience=8)
    for index, costs in enumerate([(0.0, 1.0), (1.0, 0.0), (2.0, 2.0)]):
        accept(strategy, index, random_genome(SPACE, index), costs)
    assert strategy.front == (0, 1)
    chosen = []
    for index in range(3, 9):
        proposal = strategy.propose(index)
        assert proposal is not None
        chosen += proposal.parents
        accept(strategy, index, proposal.offspring.genome, (3.0, 3.0))
    assert chosen == [0, 1, 0, 1, 0, 1]


def test_an_exhausted_front_leads_to_restarts_and_success_renews_patience() -> None:
    strategy = LocalSearch(SPACE, 0, initial=1, patience=2)
    accept(strategy, 0, random_genome(SPACE, 0), (1.0,))
    for index in (1, 2):
        proposal = strategy.propose(index)
        assert proposal is not None
        assert proposal.parents == (0,)
        accept(strategy, index, proposal.offspring.genome, (2.0,))
    assert strategy.tried(0) == 2
    later = [strategy.propose(index) for index in range(3, 60)]
    restarts = [p for p in later if p is not None and p.offspring.operator == "restart"]
    assert 15 < len(restarts) < 45
    assert all(0 not in p.parents for p in later if p is not None)
    strategy.observe(Measured(2, 0, (1.0,)))  # as good as its parent: on the front beside it
    assert strategy.front == (0, 2)
    assert strategy.tried(0) == 0


@pytest.mark.parametrize("dropped", [3, 4, 7, 30])
def test_refused_neighbours_do_not_hold_it_up(dropped: int) -> None:
    strategy = LocalSearch(SPACE, 0, initial=2)
    for index, costs in enumerate([(0.0, 1.0), (1.0, 0.0)]):
        accept(strategy, index, random_genome(SPACE, index), costs)
    for index in range(2, 2 + dropped):
        strategy.observe(Proposed(index, None, 0))
    proposal = strategy.propose(2 + dropped)
    assert proposal is not None
    assert proposal.parents == {3: (0,), 4: (1,), 7: (1,), 30: ()}[dropped]


def test_what_was_tried_is_not_proposed_again() -> None:
    run = drive(LocalSearch(SPACE, 0), 60)
    near = [p.offspring for p in run.proposals.values() if p.offspring.operator.startswith("neighbour")]
    assert len({n.genome.architecture for n in near}) > 0.9 * len(near)
