from __future__ import annotations

import numpy as np
import pytest

from madstar.genome import Genome
from madstar.objectives import find_objective
from madstar.search.forecast import _ridge, forecast, traits
from madstar.search.noise import PRIOR_SPREAD, SEED_NOISE, Noise, prior_sd, seed_noise
from madstar.training import Budget

QUALITY, CACHE = find_objective("quality"), find_objective("cache")
BUDGETS = [Budget.parse(rung) for rung in ("100", "200", "400")]


def noise(repeats: dict | None = None, reported: dict | None = None) -> Noise:
    return seed_noise([QUALITY, CACHE], BUDGETS, 2048, repeats or {}, reported or {})


def test_the_prior_goes_through_what_was_measured_and_falls() -> None:
    for steps, sd in SEED_NOISE:
        assert prior_sd(steps) == pytest.approx(sd)
    assert prior_sd(10) == pytest.approx(SEED_NOISE[0][1])
    values = [prior_sd(steps) for steps in (100, 150, 200, 300, 400, 800)]
    assert values == sorted(values, reverse=True)


def test_exact_objectives_have_no_noise_and_tokens_count_as_steps() -> None:
    at = noise().at
    assert [cache for _, cache in at] == [0.0, 0.0, 0.0]
    tokens = [Budget.parse(f"{2048 * steps} tokens") for steps in (100, 200, 400)]
    assert seed_noise([QUALITY], tokens, 2048, {}, {}).at == tuple((quality,) for quality, _ in at)


def test_repeats_move_the_noise_of_all_rungs_towards_what_they_show() -> None:
    prior = noise().at
    calm = {i: [(2.0, 1.0), (2.0, 1.0), (2.0, 1.0)] for i in range(20)}
    rng = np.random.default_rng(0)
    loud = {i: [(2.0 + 5 * prior[-1][0] * rng.standard_normal(), 1.0) for _ in range(3)] for i in range(20)}
    assert noise(calm).at[0][0] < 0.5 * prior[0][0]
    assert noise(loud).at[0][0] == pytest.approx(5 * prior[0][0], rel=0.3)
    # One candidate alone says little against the prior.
    assert noise({0: calm[0]}).at[0][0] > 0.7 * prior[0][0]


def test_measured_objectives_have_the_noise_they_report() -> None:
    latency = find_objective("decode@64")
    at = seed_noise([latency], BUDGETS, 2048, {}, {latency.name: 0.003}).at
    assert at == ((0.003,), (0.003,), (0.003,))


def test_a_mean_over_seeds_is_surer() -> None:
    assert noise().of_mean(2, 4)[0] == pytest.approx(noise().at[2][0] / 2)


def test_traits_are_shares_of_layers() -> None:
    assert traits(Genome.parse("11111-16.1.1.1.1-51111-91111")) == (0.25, 0.25, 0.25, 0.25)


def test_with_nobody_promoted_costs_stay_and_the_spread_grows_downwards() -> None:
    costs = {0: {0: (3.0, 5.0)}, 1: {0: (2.5, 7.0)}}
    found = forecast(costs, {0: (0,) * 4, 1: (1,) * 4}, 0, noise(), {})
    np.testing.assert_allclose(found.mean, [[3.0, 5.0], [2.5, 7.0]])
    expected = np.sqrt(noise().at[0][0] ** 2 + 2 * PRIOR_SPREAD**2)
    np.testing.assert_allclose(found.spread, [[expected, 0.0]] * 2)


def test_late_risers_are_foreseen_from_what_they_are_made_of() -> None:
    """Attention improves by 0.8 from rung 0 to 1, convolution by 0.2; both then by 0.1."""
    rng = np.random.default_rng(1)
    costs, kinds = {}, {}
    for index in range(24):
        attention = index % 2
        kinds[index] = (float(attention), 0.0, float(1 - attention), 0.0)
        start = 3.0 + 0.5 * attention + 0.02 * rng.standard_normal()
        costs[index] = {0: (start, 1.0)}
        if index < 16:
            costs[index][1] = (start - (0.8 if attention else 0.2), 1.0)
            costs[index][2] = (costs[index][1][0] - 0.1, 1.0)
    found = forecast(costs, kinds, 0, noise(), {})
    by_index = dict(zip(found.indices, found.mean[:, 0], strict=True))
    early, late = by_index[22], by_index[23]
    assert costs[23][0][0] > costs[22][0][0] + 0.3
    assert late < early
    assert early == pytest.approx(2.7, abs=0.1)
    assert late == pytest.approx(2.6, abs=0.1)


def test_what_improved_fast_is_expected_to_go_on() -> None:
    """The improvement from rung 1 to 2 is half of that from 0 to 1."""
    rng = np.random.default_rng(2)
    costs = {}
    for index in range(30):
        drop = float(rng.uniform(0.1, 0.9))
        costs[index] = {0: (3.0, 1.0), 1: (3.0 - drop, 1.0)}
        if index < 20:
            costs[index][2] = (3.0 - 1.5 * drop, 1.0)
    alike = dict.fromkeys(costs, (0.0,) * 4)
    found = forecast(costs, alike, 1, noise(), {})
    for index, mean in zip(found.indices, found.mean[:, 0], strict=True):
        dropped = 3.0 - costs[index][1][0]
        assert mean == pytest.approx(3.0 - 1.5 * dropped, abs=0.12)


def test_ridge_is_that_of_least_squares_with_added_rows() -> None:
    rng = np.random.default_rng(3)
    x, y, asked = rng.normal(size=(12, 3)), rng.normal(size=12), rng.normal(size=(4, 3))
    predicted, residual = _ridge(x, y, asked)
    z = (x - x.mean(0)) / x.std(0)
    stacked = np.vstack([z, np.sqrt(6.0) * np.eye(3)])
    weights = np.linalg.lstsq(stacked, np.concatenate([y - y.mean(), np.zeros(3)]), rcond=None)[0]
    np.testing.assert_allclose(predicted, y.mean() + (asked - x.mean(0)) / x.std(0) @ weights)
    np.testing.assert_allclose(residual, y - y.mean() - z @ weights)
