"""Replays of promotion rules on tables whose outcome is known by hand."""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import pytest
from benchmarks.evaluated import Evaluated, Table
from benchmarks.promotion import (
    ALL,
    EQUAL,
    REFERENCE,
    Histories,
    Outcome,
    Truth,
    _one_seed,
    differences,
    everyone,
    judge,
    markdown,
    of_the_search,
    replay,
    replay_all,
    step_costs,
    successive_halving,
    summarise,
)

from madstar.search.ledger import Ledger
from madstar.training import Budget, TrainingSettings

from .conftest import table_of

COST = [1, 10, 100]


def seen_of(scores: list[list[float]]) -> list[list[tuple[float, float]]]:
    return [[(score, 0.0) for score in own] for own in scores]


def test_steps_are_those_of_the_search() -> None:
    settings = TrainingSettings()
    budgets = tuple(Budget(steps) for steps in (50, 100, 200, 400))
    ledger = Ledger((), budgets, settings.tokens_per_step, settings.decay_fraction)
    expected = [ledger.steps_between(rung - 1, rung) for rung in range(4)]
    assert step_costs([50, 100, 200, 400], settings.decay_fraction) == expected == [50, 60, 120, 240]


def test_everyone_goes_to_the_end() -> None:
    seen = seen_of([[3, 2, 1], [5, 4, 3], [4, 3, 2]])
    found, spent = replay([2, 0, 1], seen, everyone, COST)
    assert spent == 3 * 111
    assert found == {i: dict(enumerate(seen[i])) for i in range(3)}


def test_halving_by_hand() -> None:
    """Half of a rung goes on as it stands: the second of two, the best two of four."""
    seen = seen_of([[4, 4, 4], [3, 3, 3], [2, 2, 2], [1, 1, 1]])
    half = successive_halving(1 / 2)
    found, spent = replay([0, 1, 2, 3], seen, half, COST)
    assert {i: max(costs) for i, costs in found.items()} == {0: 0, 1: 1, 2: 2, 3: 2}
    # 1 is the better of two; 2 is the best of three, and of the two then at the next rung; so is 3.
    assert spent == 4 * 1 + 3 * 10 + 2 * 100
    best_first, spent = replay([3, 2, 1, 0], seen, half, COST)
    assert {i: max(costs) for i, costs in best_first.items()} == {3: 2, 2: 1, 1: 0, 0: 0}
    assert spent == 4 * 1 + 2 * 10 + 1 * 100


def test_halving_keeps_both_ends_of_a_front() -> None:
    seen = [[(1.0, 9.0)] * 3, [(9.0, 1.0)] * 3, [(5.0, 9.5)] * 3, [(9.5, 5.0)] * 3]
    found, _ = replay([2, 3, 0, 1], seen, successive_halving(1 / 2), COST)
    assert 1 in found[0]
    assert 1 in found[1]


def test_a_budget_ends_the_arrivals() -> None:
    seen = seen_of([[1.0, 1.0, 1.0]] * 5)
    found, spent = replay(range(5), seen, everyone, COST, budget=3 * 111 + 110)
    assert (len(found), spent) == (3, 3 * 111)
    assert replay(range(5), seen, everyone, COST, budget=110) == ({}, 0)


def test_a_rule_is_asked_again_after_each_result() -> None:
    """Who has gone on is not offered twice, and results of higher rungs are seen by lower ones."""
    asked = []

    def rule(histories: Histories, rung: int, gone_on: Collection[int]) -> list[int]:
        asked.append((rung, sorted(gone_on), max(map(len, histories.values()))))
        return [i for i, costs in histories.items() if rung in costs and i not in gone_on]

    replay([0], seen_of([[3.0, 2.0, 1.0]]), rule, COST)
    assert asked == [(0, [], 1), (1, [], 2), (1, [0], 3), (0, [0], 3)]


def test_judged_by_hand() -> None:
    """Eight candidates; the best quarter at the end are 0, and 7, which began last."""
    final = np.array([[1.0, 5.0], [3, 4], [4, 3], [5, 6], [6, 7], [7, 8], [8, 9], [2, 9]])
    first = np.array([1.0, 2, 3, 4, 5, 6, 7, 8])
    truth = Truth(final, first)
    costs = [tuple(row) for row in final.tolist()]
    histories = {i: {0: costs[i]} for i in range(8)}
    for i in (1, 2):
        histories[i] |= {1: costs[i], 2: costs[i]}
    seven = {**histories, 7: {0: costs[7], 1: costs[7], 2: costs[7]}}
    plain, late = (judge(found, 123, range(8), truth, 2) for found in (histories, seven))
    assert (plain.steps, plain.arrived, plain.to_the_end) == (123, 8, 2)
    assert plain.regret == 2.0
    # The front is 0, 1, 2: the others cost more and score worse than one of them.
    assert plain.front_kept == pytest.approx(2 / 3)
    assert (plain.quarter_kept, plain.late_kept) == (0, 0)
    assert (late.to_the_end, late.regret, late.quarter_kept, late.late_kept) == (3, 1.0, 0.5, 1.0)
    assert 0 < plain.hypervolume < 1
    whole = judge({i: dict.fromkeys(range(3), costs[i]) for i in range(8)}, 0, range(8), truth, 2)
    assert (whole.regret, whole.front_kept, whole.hypervolume) == (0, 1, 1)


def test_the_best_is_chosen_by_what_was_measured() -> None:
    """A lucky training is chosen, and its true quality counts."""
    truth = Truth(np.array([[2.0, 0.0], [1.0, 0.0]]), np.array([1.0, 2.0]))
    lucky = {0: {0: (0.5, 0.0)}, 1: {0: (1.1, 0.0)}}
    assert judge(lucky, 0, range(2), truth, 0).regret == 1.0


def test_no_late_risers_is_nan_and_left_out() -> None:
    truth = Truth(np.array([[float(i), 0.0] for i in range(8)]), np.arange(8.0))
    outcome = judge({0: {0: (0.0, 0.0)}}, 0, range(8), truth, 0)
    assert math.isnan(outcome.late_kept)
    known = Outcome(**{**vars(outcome), "late_kept": 0.5})
    assert summarise([outcome, known])["late_kept"] == [0.5, 0.5, 0.5]
    assert all(math.isnan(value) for value in summarise([outcome])["late_kept"])


def crossing(count: int) -> list[list[float]]:
    """Late risers: those that begin worst end best."""
    return [[2 + i / count, 2.0, 2 - i / count] for i in range(count)]


def test_a_rule_that_drops_late_risers_shows_it() -> None:
    table = table_of(crossing(16), [float(i) for i in range(16)])
    rules = {REFERENCE: successive_halving(1 / 3), "everyone": everyone}
    outcomes = replay_all(table, rules, replays=10, sample=0.5, seed=0)
    plain, whole = (summarise(outcomes[ALL][name]) for name in rules)
    assert whole["late_kept"] == whole["front_kept"] == whole["hypervolume"] == [1, 1, 1]
    assert whole["regret"] == [0, 0, 0]
    assert plain["steps"][0] < whole["steps"][0]
    assert plain["regret"][0] > 0
    assert plain["late_kept"][0] < 0.5
    # At equal cost everyone sees fewer, and nobody spends more than the reference did.
    limits = [outcome.steps for outcome in outcomes[ALL][REFERENCE]]
    for found in outcomes[EQUAL].values():
        assert all(one.steps <= limit for one, limit in zip(found, limits, strict=True))
    assert summarise(outcomes[EQUAL]["everyone"])["arrived"][0] < 8
    gap = differences(outcomes[ALL]["everyone"], outcomes[ALL][REFERENCE])
    assert gap["regret"][0] == pytest.approx(-plain["regret"][0])
    assert differences(outcomes[ALL][REFERENCE], outcomes[ALL][REFERENCE])["steps"] == [0, 0, 0]
    text = markdown(table, outcomes)
    assert len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1


def test_replays_are_repeatable_and_see_one_seed() -> None:
    table = table_of(crossing(9))
    twice = tuple(
        Evaluated(r.text, r.genome, np.vstack([r.scores, r.scores + 1]), r.parameters, r.cache)
        for r in table.rows
    )
    table = Table(table.steps, twice)
    rules = {REFERENCE: everyone}
    first, again = (replay_all(table, rules, replays=3, sample=0.5, seed=1) for _ in range(2))
    other = replay_all(table, rules, replays=3, sample=0.5, seed=2)
    assert str(first) == str(again) != str(other)
    rng = np.random.default_rng(0)
    drawn = {tuple(_one_seed(twice[0].scores, 3.0, rng)) for _ in range(20)}
    assert drawn == {tuple((float(s), 3.0) for s in own) for own in twice[0].scores}


def test_the_searchs_own_rule_can_be_replayed() -> None:
    table = table_of(crossing(10), [float(i % 3) for i in range(10)])
    seen = [[(float(s), row.cache) for s in row.scores[0]] for row in table.rows]
    found, spent = replay(range(10), seen, of_the_search(table, 1 / 2), COST)
    assert len(found) == 10
    assert any(2 in costs for costs in found.values())
    assert spent < 10 * 111
    assert replay(range(10), seen, of_the_search(table, 1 / 2), COST) == (found, spent)
