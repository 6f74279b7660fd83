from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.search.forecast import Forecast
from madstar.search.promotion import (
    CLEAR_LOSER,
    Prospect,
    _contributions,
    next_in_line,
    promotable,
    prospects,
)


def certain(costs: list[list[float]], spread: float = 0.0) -> Forecast:
    mean = np.array(costs, dtype=float)
    return Forecast(tuple(range(len(costs))), mean, np.full_like(mean, spread))


def standing(worths: list[float], hopes: list[float] | None = None) -> list[Prospect]:
    """Prospects in order of worth, numbered 0, 1, ...; without worth means a clear loser."""
    hopes = worths if hopes is None else hopes
    return [Prospect(i, w, h, float(w > 0), 0.0) for i, (w, h) in enumerate(zip(worths, hopes, strict=True))]


def naive_hypervolume(points: list[tuple[float, ...]], corner: np.ndarray) -> float:
    """By inclusion and exclusion over all subsets."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for chosen in itertools.combinations(points, size):
            sides = corner - np.max(np.array(chosen), axis=0)
            total += (-1) ** (size + 1) * float(np.prod(np.clip(sides, 0, None)))
    return total


@pytest.mark.parametrize("objectives", [1, 2, 3])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_contributions_are_hypervolume_lost_without_the_point(objectives: int, seed: int) -> None:
    costs = np.random.default_rng(seed).random((5, objectives))
    corner = np.maximum(costs.max(axis=0), 1.0) + 0.1
    points = [tuple(row) for row in costs]
    ranks = [any(all(b <= a for a, b in zip(p, q, strict=True)) for q in points if q != p) for p in points]
    front = [p for p, dominated in zip(points, ranks, strict=True) if not dominated]
    whole = naive_hypervolume(front, corner)
    for point, dominated, found in zip(points, ranks, _contributions(costs), strict=True):
        without = naive_hypervolume([p for p in front if p != point], corner)
        expected = 0.0 if dominated else whole - without
        if objectives == 1 and not dominated:
            # Against the next best and not the next on the front, of which there is none.
            expected = sorted(costs[:, 0])[1] - costs[:, 0].min()
        assert found == pytest.approx(expected, abs=1e-9)


def test_without_noise_worth_is_what_the_front_would_lose() -> None:
    found = prospects(certain([[0, 1], [1, 0], [0.4, 0.4], [0.9, 0.9]]), seed=0)
    assert [one.index for one in found][:1] == [2]
    assert found[-1].index == 3
    assert found[-1].chance == 0.0


def test_noise_gives_the_second_a_chance_and_leaves_a_clear_loser_none() -> None:
    costs = [[2.00], [2.01], [3.0]]
    sure = {one.index: one for one in prospects(certain(costs), seed=0)}
    unsure = {one.index: one for one in prospects(certain(costs, 0.05), seed=0)}
    assert sure[1].chance == 0.0
    assert 0.3 < unsure[1].chance < 0.6
    assert unsure[2].chance < CLEAR_LOSER


def test_prospects_repeat_from_their_seed() -> None:
    forecast = certain([[1, 2], [2, 1], [1.5, 1.4]], 0.2)
    assert prospects(forecast, seed=4) == prospects(forecast, seed=4)
    assert prospects(forecast, seed=4) != prospects(forecast, seed=5)


def test_the_best_share_goes_on_less_the_places_of_hope() -> None:
    # Twenty-four, a third: eight places, of which one goes to the highest hope among the others.
    hopes = [0.0] * 24
    hopes[19] = 5.0
    worths = [float(24 - i) for i in range(24)]
    assert promotable(standing(worths, hopes), 1 / 3, set()) == [0, 1, 2, 3, 4, 5, 6, 19]


def test_a_taken_place_of_hope_is_not_given_again() -> None:
    worths = [float(24 - i) for i in range(24)]
    assert promotable(standing(worths), 1 / 3, {0, 1, 2, 3, 4, 5, 17}) == [6]


def test_too_few_to_tell_nobody_goes_on() -> None:
    assert promotable(standing([2.0, 1.0]), 1 / 3, set()) == []


def test_clear_losers_do_not_fill_places() -> None:
    assert promotable(standing([1.0, 0.0, 0.0, 0.0]), 0.5, set()) == [0]
    assert next_in_line(standing([1.0, 0.5, 0.0]), {0}) == [1, 2]


def test_a_share_of_one_promotes_all() -> None:
    assert promotable(standing([1.0, 0.0, 0.0]), 1.0, set()) == [0, 1, 2]


@given(
    st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=30),
    st.floats(0.05, 0.9),
    st.data(),
)
def test_places_are_never_more_than_the_share_and_nobody_goes_twice(
    pairs: list[tuple[float, float]], share: float, data: st.DataObject
) -> None:
    pairs = sorted(pairs, reverse=True)
    cohort = standing([worth for worth, _ in pairs], [hope for _, hope in pairs])
    fresh = promotable(cohort, share, set())
    assert len(fresh) <= len(cohort) * share + 1e-6
    started = set(data.draw(st.lists(st.sampled_from(range(len(cohort))), unique=True)))
    later = promotable(cohort, share, started)
    assert not started & set(later)
    assert len(later) == len(set(later)) <= len(cohort) * share + 1e-6
    assert not promotable(cohort, share, started | set(later))


def test_no_more_than_the_places_and_one_go_on_however_the_standing_changes() -> None:
    """Each newcomer is better than all before: without counting, each would go on."""
    started: set[int] = set()
    cohort: list[Prospect] = []
    for index in range(40):
        cohort = [Prospect(index, float(index + 1), 0.0, 1.0, 0.0), *cohort]
        started |= set(promotable(cohort, 0.5, started))
        assert len(started) <= len(cohort) // 2 + 1
    assert len(started) >= 19
