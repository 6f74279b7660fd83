"""What is trained next, and what a score is, from made-up rows."""

import math
from collections.abc import Iterable

import pytest

from madstar.archive import EvaluationRow
from madstar.protocol import Plan
from madstar.protocol.race import Race, Wanted, next_wanted, races
from madstar.protocol.scores import TaskScore, score_of

from .conftest import plan, row, setting


def race(of: Plan, rows: Iterable[EvaluationRow] = ()) -> Race:
    (found,) = races(of, rows)
    return found


def wanted(of: Plan, rows: Iterable[EvaluationRow] = ()) -> list[tuple[int, int, int]]:
    """(place of the point, seed, rung) of what is wanted."""
    places = {str(point): place for place, point in enumerate(of.points)}
    return [(places[w.point], w.seed, w.rung) for w in race(of, rows).wanted()]


def test_all_points_begin_and_go_up_rung_by_rung() -> None:
    of = plan()
    assert of.rungs(of.settings[0]) == (4, 8, 16)
    assert wanted(of) == [(0, 0, 0), (1, 0, 0)]
    assert wanted(of, [row(of, 0, 0, 0.3)]) == [(1, 0, 0)], "nobody runs ahead of its rivals"
    both = [row(of, 0, 0, 0.3), row(of, 1, 0, 0.3)]
    assert wanted(of, both) == [(0, 0, 1), (1, 0, 1)]


def test_a_solved_setting_is_over_and_other_seeds_train_the_point_that_solved_it() -> None:
    of = plan(seeds=3)
    rows = [row(of, 0, 0, 0.2), row(of, 1, 0, 1.0, test=0.99, steps=3)]
    assert wanted(of, rows) == [(1, 1, 2), (1, 2, 2)]
    assert wanted(of, [*rows, row(of, 1, 2, 1.0, seed=1, test=1.0)]) == [(1, 2, 2)]
    score = score_of(race(of, [*rows, row(of, 1, 2, 1.0, seed=1, test=1.0)]))
    assert (score.value, score.seeds, score.reason, score.complete) == (0.995, 2, "solved", False)
    assert score.steps == 4 + 3 + 16


def test_a_setting_solved_in_a_look_is_over_though_more_examples_say_less() -> None:
    of = plan()
    rows = [row(of, 0, 0, 0.2), row(of, 1, 0, 0.998, test=0.99, steps=3, curve=((2.0, 0.5), (3.0, 1.0)))]
    assert wanted(of, rows) == []
    assert score_of(race(of, rows)).value == 0.99


def test_the_point_chosen_is_the_best_on_validation_whatever_the_test_says() -> None:
    of = plan()
    rows = [row(of, p, r, a, loss=1 / (1 + r)) for p, a in ((0, 0.5), (1, 0.6)) for r in (0, 1)]
    rows += [row(of, 0, 2, 0.7, test=0.9), row(of, 1, 2, 0.8, test=0.75)]
    assert wanted(of, rows) == []
    score = score_of(race(of, rows))
    assert (score.value, score.error, score.point) == (0.75, 0.02, str(of.points[1]))
    assert score.complete


def test_a_point_that_stopped_early_is_not_chosen_for_a_lucky_look() -> None:
    of = plan()
    rows = [row(of, p, r, 0.1, loss=1.0 + p + r) for p in (0, 1) for r in (0, 1)]
    rows[3] = row(of, 1, 1, 0.12, loss=2.5)
    rows.append(row(of, 0, 2, 0.1, test=0.11))
    score = score_of(race(of, rows))
    assert (score.value, score.point) == (0.11, str(of.points[0]))


def test_a_point_that_is_clearly_beaten_stops_and_the_other_goes_on() -> None:
    of = plan()
    rows = [row(of, 0, r, 0.2, loss=1.0) for r in (0, 1)] + [row(of, 1, r, 0.9, loss=0.1) for r in (0, 1)]
    assert wanted(of, rows) == [(1, 0, 2)]


@pytest.mark.parametrize("status", ["diverged", "timeout", "crash", "error", "memory"])
def test_a_failed_point_is_out_and_a_setting_whose_points_all_fail_says_why(status: str) -> None:
    of = plan()
    assert wanted(of, [row(of, 0, 0, 0.0, status=status)]) == [(1, 0, 0)]
    both = [row(of, p, 0, 0.0, status=status) for p in (0, 1)]
    score = score_of(race(of, both))
    assert math.isnan(score.value)
    assert score.failure == f"{status}: what it said"
    assert score.complete
    task = TaskScore("in-context-recall", (score, score_of(race(of, [row(of, 0, 2, 0.5, test=0.4)]))))
    assert (task.value, len(task.failed)) == (0.4, 1)


def test_what_runs_is_not_started_again_and_low_rungs_come_first() -> None:
    of = plan(settings=(setting(), setting(length=32)))
    found = races(of, [row(of, 0, 0, 0.3), row(of, 1, 0, 0.3)])
    running = Wanted(of.settings[0].key, str(of.points[1]), 0, 1)
    order = [(w.setting == of.settings[0].key, w.rung) for w in next_wanted(found, [running])]
    assert order == [(False, 0), (False, 0), (True, 1)]


def test_the_error_over_seeds_is_never_below_what_the_test_leaves_open() -> None:
    of = plan(seeds=2)
    same = [row(of, 0, 2, 0.5, test=0.4), row(of, 0, 2, 0.5, seed=1, test=0.4), row(of, 1, 2, 0.1, test=0.1)]
    score = score_of(race(of, same))
    assert (score.value, score.seeds) == (0.4, 2)
    assert score.error == pytest.approx(0.02 / math.sqrt(2))
    apart = [*same[:1], row(of, 0, 2, 0.5, seed=1, test=0.8), same[2]]
    assert score_of(race(of, apart)).error == pytest.approx(0.2)


def test_steps_left_count_what_is_open() -> None:
    of = plan(seeds=2)
    assert race(of).steps_left() == 2 * 16 + 16
    assert race(of, [row(of, 0, 0, 0.3)]).steps_left() == 12 + 16 + 16
    assert race(of, [row(of, 0, 0, 1.0, test=1.0)]).steps_left() == 16
