from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from madstar.search.ranking import (
    Standing,
    crowding_distance,
    front_ranks,
    hypervolume,
    nondominated,
    order,
    order_at,
)

costs = st.tuples(st.integers(1, 8), st.integers(1, 3)).flatmap(
    lambda shape: arrays(float, shape, elements=st.integers(0, 4).map(float))
)


def dominates(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.all(a <= b) and np.any(a < b))


@given(costs)
def test_fronts_equal_peeling_by_definition(points: np.ndarray) -> None:
    left, rank, expected = set(range(len(points))), 0, {}
    while left:
        best = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        expected |= dict.fromkeys(best, rank)
        left, rank = left - best, rank + 1
    assert front_ranks(points).tolist() == [expected[i] for i in range(len(points))]
    assert nondominated(points).tolist() == [expected[i] == 0 for i in range(len(points))]


@given(costs)
def test_hypervolume_counts_dominated_cells(points: np.ndarray) -> None:
    corner = (5.0,) * points.shape[1]
    # Costs are integers, so the volume is the number of unit cells that some point dominates.
    cells = itertools.product(range(5), repeat=points.shape[1])
    expected = sum(any(np.all(p <= np.array(cell)) for p in points) for cell in cells)
    assert hypervolume(points, corner) == pytest.approx(expected)


def test_hypervolume_of_nothing_is_zero() -> None:
    assert hypervolume(np.empty((0, 2)), (1.0, 1.0)) == 0
    assert hypervolume(np.array([[2.0, 0.0]]), (1.0, 1.0)) == 0


def test_crowding_is_the_room_to_the_neighbours() -> None:
    points = np.array([[0.0, 4.0], [1.0, 2.0], [4.0, 0.0], [2.0, 1.0]])
    distance = crowding_distance(points)
    assert np.isinf(distance[[0, 2]]).all()
    assert distance[1] == pytest.approx(2 / 4 + 3 / 4)
    assert distance[3] == pytest.approx(3 / 4 + 2 / 4)


def test_a_higher_rung_stands_first_whatever_the_costs() -> None:
    low = Standing(0, {0: (1.0,)})
    high = Standing(1, {0: (2.0,), 1: (9.0,)})
    assert order([low, high]) == [high, low]
    assert order_at([low, high], 0) == [low, high]


def test_costs_are_compared_within_a_rung_only() -> None:
    a, b, c = Standing(0, {0: (3.0,)}), Standing(1, {0: (1.0,)}), Standing(2, {0: (5.0,), 1: (0.0,)})
    assert [s.index for s in order([a, b, c])] == [2, 1, 0]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=8), st.randoms())
def test_order_does_not_depend_on_the_order_of_arrival(values: list[tuple[int, int]], random: object) -> None:
    standings = [Standing(i, {0: (float(a), float(b))}) for i, (a, b) in enumerate(values)]
    shuffled = list(standings)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert order(standings) == order(shuffled)
