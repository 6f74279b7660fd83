"""The rule of the race on made-up curves."""

import math
from collections.abc import Callable, Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from madstar.errors import ConfigurationError
from madstar.training import Evaluation, decide, replay, rungs_of

TOTAL = 800
RUNGS = rungs_of(TOTAL)
GRID = tuple(range(50, TOTAL + 1, 50))
CHANCE = 0.1


def curve(accuracy: Callable[[int], float], until: int = TOTAL, error: float = 0.0) -> list[Evaluation]:
    """Evaluations on the grid, the loss falling as the accuracy rises."""
    steps = [step for step in GRID if step <= until]
    return [Evaluation(s, accuracy(s), error, 2.0 * (1 - accuracy(s)) + 0.1) for s in steps]


def flat(until: int = TOTAL, loss: float = 2.3) -> list[Evaluation]:
    return [Evaluation(step, CHANCE, 0.01, loss) for step in GRID if step <= until]


def late(until: int = TOTAL) -> list[Evaluation]:
    """At chance until past a quarter, then rising above all."""
    return curve(lambda s: CHANCE if s <= 250 else CHANCE + 0.8 * (s - 250) / 550, until)


def reasons(points: dict[str, Sequence[Evaluation]], **other: object) -> dict[str, str]:
    found = decide(points, RUNGS, chance=CHANCE, **other)
    assert all((verdict.reason == "going on") == verdict.go_on for verdict in found.values())
    return {key: verdict.reason for key, verdict in found.items()}


def test_rungs() -> None:
    assert RUNGS == (100, 200, 400, 800)
    assert rungs_of(4) == (1, 2, 4)


def test_a_solved_setting_stops_at_once() -> None:
    points = {"a": curve(lambda s: 0.999, 50), "b": flat(50), "c": []}
    assert reasons(points) == {"a": "solved", "b": "solved", "c": "solved"}
    assert reasons(points, solved=0.9999)["a"] == "going on"


def test_clear_losers_stop_at_the_first_rung_and_close_ones_do_not() -> None:
    points = {
        "best": curve(lambda s: 0.8, 100),
        "close": curve(lambda s: 0.79, 100),
        "loser": curve(lambda s: 0.3, 100),
        "rising": curve(lambda s: 0.3 + 0.004 * (s - 50), 100),
    }
    assert reasons(points) == {
        "best": "going on",
        "close": "going on",
        "loser": "beaten",
        "rising": "going on",
    }


def test_nobody_is_judged_before_the_first_rung() -> None:
    points = {"best": curve(lambda s: 0.8, 50), "loser": curve(lambda s: 0.3, 50)}
    assert set(reasons(points).values()) == {"going on"}


def test_noise_is_given_its_due() -> None:
    def at(error: float) -> str:
        return reasons({"a": curve(lambda s: 0.5, 100, error), "b": curve(lambda s: 0.4, 100, error)})["b"]

    assert at(0.01) == "beaten"
    assert at(0.05) == "going on"


def test_late_risers_are_given_half_the_budget() -> None:
    good = lambda s: 0.6  # noqa: E731
    for until in (100, 200, 350):
        assert reasons({"good": curve(good, until), "late": late(until)})["late"] == "going on"
    assert reasons({"good": curve(good, 400), "flat": flat(400)})["flat"] == "flat"
    assert reasons({"good": curve(good), "late": late()}) == {"good": "complete", "late": "complete"}
    race = replay({"good": curve(good), "late": late()}, RUNGS, chance=CHANCE)
    assert race.reached == race.possible == pytest.approx(0.9)


def test_a_flat_point_stops_where_another_has_solved_it() -> None:
    assert reasons({"good": curve(lambda s: 1.0, 100), "late": late(100)})["late"] == "solved"


def test_of_flat_points_the_lowest_loss_is_carried_on() -> None:
    points = {"low": flat(400, 2.2), "also": flat(400, 2.2), "high": flat(400, 2.3)}
    assert reasons(points) == {"low": "going on", "also": "going on", "high": "flat"}
    before = {key: past[:-1] for key, past in points.items()}
    assert set(reasons(before).values()) == {"going on"}
    # One that has not come so far is not compared with yet.
    assert reasons({"low": flat(350, 2.2), "high": flat(400, 2.3)})["high"] == "going on"


def test_who_trains_faster_has_no_advantage() -> None:
    ahead, behind = curve(lambda s: 0.3 + s / 2000, 400), curve(lambda s: 0.35 + s / 2000, 100)
    assert reasons({"ahead": ahead, "behind": behind})["behind"] == "going on"


def test_a_rival_counts_up_to_its_own_rung() -> None:
    """Each would be ahead of the other where the other is judged, if all evaluations counted."""
    quick = [Evaluation(s, 0.2 if s < 150 else 0.6, 0.0, 1.0) for s in GRID[:3]]
    steady = [Evaluation(s, 0.4, 0.0, 1.0) for s in GRID[:4]]
    assert reasons({"quick": quick, "steady": steady}) == {"quick": "beaten", "steady": "going on"}
    # Not yet at a rung itself, it stops nobody.
    early = [Evaluation(50, 0.9, 0.0, 1.0)]
    assert reasons({"early": early, "steady": steady})["steady"] == "going on"


def test_who_is_behind_in_everything_at_half_the_steps_stops() -> None:
    """Two that stand still, too near each other for either to be beaten."""

    def still(accuracy: float, loss: float, until: int = 400) -> list[Evaluation]:
        return [Evaluation(step, accuracy, 0.02, loss) for step in GRID if step <= until]

    ahead, behind = still(0.31, 1.6), still(0.30, 1.7)
    assert reasons({"ahead": ahead, "behind": behind}) == {"ahead": "going on", "behind": "behind"}
    # Not before half the steps, nor against one that has not come as far.
    assert set(reasons({"ahead": ahead[:4], "behind": behind[:4]}).values()) == {"going on"}
    assert set(reasons({"ahead": ahead[:4], "behind": behind}).values()) == {"going on"}
    # Nor who is better in one thing: accuracy, loss, or what its loss promises.
    for other in (still(0.32, 1.7), still(0.30, 1.5), still(0.31, 1.6)):
        assert set(reasons({"ahead": ahead, "other": other}).values()) == {"going on"}
    falling = [Evaluation(step, 0.30, 0.02, 2.1 - step / 1000) for step in GRID if step <= 400]
    assert set(reasons({"ahead": ahead, "falling": falling}).values()) == {"going on"}


def test_where_each_would_stop_for_another_the_highest_forecast_goes_on() -> None:
    """One is beaten by the other's accuracy, which is flat and has the higher loss."""
    unsure = [Evaluation(s, 0.28, 0.1, 2.3) for s in GRID[:8]]
    lower = [Evaluation(s, 0.0, 0.0, 2.2) for s in GRID[:8]]
    assert reasons({"unsure": unsure, "lower": lower}) == {"unsure": "going on", "lower": "flat"}


def test_ties_stay_together() -> None:
    points = {key: curve(lambda s: 0.5, 400) for key in "abc"}
    assert set(reasons(points).values()) == {"going on"}


def test_what_has_come_apart_stops_and_rivals_nobody() -> None:
    bad = [*curve(lambda s: 0.9, 50), Evaluation(100, math.nan, math.nan, math.nan)]
    points = {"bad": bad, "said": curve(lambda s: 0.95, 100), "poor": curve(lambda s: 0.2, 100)}
    assert reasons(points, diverged=["said"]) == {"bad": "diverged", "said": "diverged", "poor": "going on"}
    assert reasons({"bad": bad}) == {"bad": "diverged"}
    assert reasons({"poor": curve(lambda s: 0.2, 100, math.nan)}) == {"poor": "going on"}


def test_bad_input() -> None:
    for rungs in ((), (0, 5), (5, 5), (8, 4)):
        with pytest.raises(ConfigurationError, match="rungs"):
            decide({}, rungs)
    with pytest.raises(ConfigurationError, match="rising order"):
        decide({"a": flat(400)[::-1]}, RUNGS)
    assert decide({}, RUNGS) == {}


def test_replay_counts() -> None:
    race = replay({"a": curve(lambda s: 0.8), "b": curve(lambda s: 0.3)}, RUNGS, chance=CHANCE)
    assert race.stopped == {"a": (800, "complete"), "b": (100, "beaten")}
    assert (race.spent, race.full) == (900, 1600)
    assert race.reached == race.possible == 0.8
    quick = {"a": curve(lambda s: 1.0 if s >= 150 else 0.5), "b": curve(lambda s: 0.5)}
    assert replay(quick, RUNGS).stopped == {"a": (150, "solved"), "b": (150, "solved")}


shares = st.floats(0.05, 0.95)
NON_CROSSING = st.tuples(
    st.lists(shares, min_size=1, max_size=6),
    st.lists(st.floats(0, 1), min_size=len(GRID), max_size=len(GRID)),
    st.sampled_from([0.0, 0.02]),
)


@given(NON_CROSSING)
def test_the_best_of_curves_that_do_not_cross_is_never_dropped(
    drawn: tuple[list[float], list[float], float],
) -> None:
    """All points share a shape over time, up or down, each at its own height."""
    heights, shape, error = drawn
    points = {
        place: [
            Evaluation(step, height * level * 0.99, error, 3 - height * level)
            for step, level in zip(GRID, shape, strict=True)
        ]
        for place, height in enumerate(heights)
    }
    race = replay(points, RUNGS, chance=CHANCE)
    best = max(range(len(heights)), key=lambda place: heights[place])
    assert race.stopped[best] == (TOTAL, "complete")
    assert race.reached >= race.possible


ANY_CURVE = st.lists(
    st.tuples(st.floats(0, 0.99), st.floats(0, 0.2), st.one_of(st.floats(0, 5), st.just(math.nan))),
    max_size=len(GRID),
).map(lambda rows: [Evaluation(step, *row) for step, row in zip(GRID, rows, strict=False)])


@given(st.dictionaries(st.integers(0, 9), ANY_CURVE, min_size=1, max_size=6), st.randoms())
def test_one_survives_and_the_order_of_points_does_not_matter(
    points: dict[int, list[Evaluation]], random: Random
) -> None:
    verdicts = decide(points, RUNGS, chance=CHANCE)
    assert list(verdicts) == list(points)
    sound = [key for key, past in points.items() if all(math.isfinite(one.loss) for one in past)]
    carried = [key for key in sound if verdicts[key].go_on or verdicts[key].reason == "complete"]
    assert carried or not sound
    shuffled = list(points)
    random.shuffle(shuffled)
    again = decide({key: points[key] for key in shuffled}, RUNGS, chance=CHANCE)
    # As text, for nan is not itself.
    assert {key: repr(again[key]) for key in points} == {key: repr(verdicts[key]) for key in points}


@given(st.lists(ANY_CURVE, min_size=1, max_size=5))
def test_a_race_always_carries_one_to_the_end(curves: list[list[Evaluation]]) -> None:
    full = {
        place: [
            Evaluation(step, *(past[index][1:] if index < len(past) else (0.1, 0.01, 2.0)))
            for index, step in enumerate(GRID)
        ]
        for place, past in enumerate(curves)
    }
    race = replay(full, RUNGS, chance=CHANCE)
    sound = [key for key, past in full.items() if all(math.isfinite(one.loss) for one in past)]
    if sound:
        assert any(race.stopped[key] == (TOTAL, "complete") for key in sound)
    assert race.spent <= race.full
