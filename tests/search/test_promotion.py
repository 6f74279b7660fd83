from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from madstar.search.promotion import next_in_line, promotable
from madstar.search.ranking import Standing


def at_first_rung(costs: list[float]) -> list[Standing]:
    return [Standing(i, {0: (c,)}) for i, c in enumerate(costs)]


def test_the_best_third_goes_on() -> None:
    standings = at_first_rung([5, 1, 4, 2, 3, 6])
    assert promotable(standings, 0, 1 / 3, set()) == [1, 3]


def test_too_few_to_tell_nobody_goes_on() -> None:
    assert promotable(at_first_rung([1.0, 2.0]), 0, 1 / 3, set()) == []


def test_who_has_gone_on_does_not_go_twice() -> None:
    standings = at_first_rung([5, 1, 4, 2, 3, 6])
    assert promotable(standings, 0, 1 / 3, {(1, 1)}) == [3]
    assert next_in_line(standings, 0, {(1, 1)}) == [3, 4, 2, 0, 5]


def test_who_is_not_at_the_rung_is_not_counted() -> None:
    standings = [*at_first_rung([3, 2, 1]), Standing(9, {1: (0.0,)})]
    assert promotable(standings, 0, 1 / 3, set()) == [2]


@given(st.lists(st.floats(0, 10), min_size=1, max_size=30), st.floats(0.05, 1.0))
def test_never_more_than_the_share_and_none_worse_than_one_left(costs: list[float], share: float) -> None:
    chosen = promotable(at_first_rung(costs), 0, share, set())
    assert len(chosen) <= len(costs) * share + 1e-6
    left = set(range(len(costs))) - set(chosen)
    assert all(costs[c] <= costs[w] for c in chosen for w in left)
