from __future__ import annotations

import numpy as np
import pytest

from madstar.search.strategies.surrogate import (
    Results,
    Surrogate,
    default_noise,
    design,
    fit,
    left_out_errors,
    ridge_solution,
)

RUNGS = 4
TOP = RUNGS - 1


def some(candidates: int = 15, columns: int = 6, seed: int = 0) -> tuple[np.ndarray, Results]:
    """Random features, and results at one to four rungs."""
    rng = np.random.default_rng(seed)
    reached = rng.integers(1, RUNGS + 1, candidates)
    costs = [{rung: float(rng.normal()) for rung in range(count)} for count in reached]
    return rng.normal(size=(candidates, columns)), Results.of(costs)


def test_the_solution_is_that_of_augmented_least_squares() -> None:
    features, results = some()
    rng = np.random.default_rng(1)
    X = design(features[results.rows], results.rungs, (0, 2), TOP)
    weights, penalty = rng.uniform(0.1, 3, len(X)), rng.uniform(0.1, 3, X.shape[1])
    augmented = np.vstack([X * np.sqrt(weights)[:, None], np.diag(np.sqrt(penalty))])
    target = np.concatenate([results.costs * np.sqrt(weights), np.zeros(X.shape[1])])
    expected = np.linalg.lstsq(augmented, target, rcond=None)[0]
    np.testing.assert_allclose(ridge_solution(X, results.costs, weights, penalty), expected, atol=1e-10)


def test_left_out_errors_are_those_of_fits_without_the_candidate() -> None:
    features, results = some()
    shuffled = np.random.default_rng(3).permutation(len(results.rows))
    results = Results(results.rows[shuffled], results.rungs[shuffled], results.costs[shuffled])
    X = design(features[results.rows], results.rungs, (1,), TOP)
    weights = np.random.default_rng(2).uniform(0.1, 3, len(X))
    penalty = np.full(X.shape[1], 0.7)
    expected = np.empty(len(X))
    for candidate in range(len(features)):
        out = results.rows == candidate
        coefficients = ridge_solution(X[~out], results.costs[~out], weights[~out], penalty)
        expected[out] = results.costs[out] - X[out] @ coefficients
    np.testing.assert_allclose(left_out_errors(X, results, weights, penalty), expected, atol=1e-9)


def planted(
    candidates: int, reach: float, seed: int, noise: tuple[float, ...] = default_noise(RUNGS)
) -> tuple[np.ndarray, np.ndarray, Results]:
    """Costs that are linear in eight features; the first is penalised twice as much at early rungs."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(candidates, 8))
    top = 2.0 + features @ np.array([-0.3, 0.1, 0.1, 0, 0, 0, 0.2, -0.1])
    costs = []
    for row in range(candidates):
        reached = [rung for rung in range(RUNGS) if rung == 0 or rng.random() < reach**rung]
        costs.append(
            {
                rung: top[row]
                + (TOP - rung) / TOP * (1.0 + 0.6 * features[row, 0])
                + float(rng.normal(0, noise[rung]))
                for rung in reached
            }
        )
    return features, top, Results.of(costs)


def fitted(
    features: np.ndarray, results: Results, changing: tuple[int, ...] = (0, 1), **more: int
) -> Surrogate:
    return fit(
        features,
        results,
        noise=default_noise(RUNGS),
        changing=changing,
        rng=np.random.default_rng(0),
        **more,
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_truth_is_recovered(seed: int) -> None:
    features, _, results = planted(120, 0.7, seed)
    model = fitted(features, results)
    unseen, top, _ = planted(200, 0.7, seed + 100)
    assert np.std(model.predict(unseen) - top) < 0.05
    early = model.predict(unseen, 0) - model.predict(unseen)
    np.testing.assert_allclose(early, 1.0 + 0.6 * unseen[:, 0], atol=0.2)


@pytest.mark.parametrize("seed", range(3))
def test_the_bias_of_early_rungs_is_corrected(seed: int) -> None:
    """The feature that is good at the top looks bad at rung 0, where nearly all results are."""
    features, top, results = planted(60, 0.4, seed)
    at_zero = results.costs[results.rungs == 0]
    assert np.corrcoef(at_zero, features[:, 0])[0, 1] > 0.4 > 0 > np.corrcoef(top, features[:, 0])[0, 1]
    unseen, truth, _ = planted(200, 0.4, seed + 100)
    corrected = np.corrcoef(fitted(features, results).predict(unseen), truth)[0, 1]
    blind = np.corrcoef(fitted(features, results, changing=()).predict(unseen), truth)[0, 1]
    assert corrected > 0.9
    assert corrected > blind + 0.1


def test_the_ridge_grows_with_the_noise() -> None:
    features, _, clear = planted(40, 0.5, 0)
    rng = np.random.default_rng(0)
    nothing = Results(clear.rows, clear.rungs, rng.normal(size=len(clear.costs)))
    assert fitted(features, nothing).ridge > 10 * fitted(features, clear).ridge


def test_a_scale_changes_nothing_but_the_scale() -> None:
    features, _, results = planted(40, 0.5, 0)
    small = fitted(features, results)
    large = fitted(features * 100 + 7, Results(results.rows, results.rungs, results.costs * 1e6))
    np.testing.assert_allclose(large.predict(features * 100 + 7), small.predict(features) * 1e6, rtol=1e-5)
    assert large.misfit == pytest.approx(1e6 * small.misfit, rel=1e-5)
    assert large.ridge == small.ridge


def test_candidates_are_settled_between_model_and_result() -> None:
    """A result at the top counts nearly whole, one at rung 0 about half."""
    features, _, results = planted(40, 0.0, 0)
    rungs = np.where(np.arange(40) < 20, 0, TOP)
    results = Results(results.rows, rungs, np.where(rungs == 0, 2.5, 2.0))
    model = fitted(features, results)
    moved = Results(results.rows, rungs, results.costs + 1.0)
    difference = model.settle(features, moved) - model.settle(features, results)
    np.testing.assert_allclose(difference[:20], 0.5, atol=1e-9)
    assert np.all(difference[20:] > 0.95)
    assert np.all(difference[20:] < 1)


def test_draws_scatter_more_where_less_is_known() -> None:
    few, many = (planted(count, 0.6, 5) for count in (20, 200))
    unseen, _, _ = planted(50, 0.6, 105)
    spread = [fitted(f, r, draws=30).draw(unseen).std(axis=0).mean() for f, _, r in (few, many)]
    assert spread[0] > 2 * spread[1] > 0


def test_a_rung_never_reached_stays_at_the_level_of_the_last() -> None:
    features, _, results = planted(30, 0.0, 0)
    assert set(results.rungs) == {0}
    model = fitted(features, results, changing=())
    np.testing.assert_allclose(model.predict(features), model.predict(features, 0), atol=1e-3)


def test_one_candidate_is_enough_to_fit() -> None:
    model = fitted(np.ones((1, 4)), Results.of([{0: 3.0, 1: 2.0}]), changing=(0,))
    assert model.predict(np.ones((1, 4)), 0) == pytest.approx([3.0], abs=1e-3)
    assert model.predict(np.zeros((1, 4)), 1) == pytest.approx([2.0], abs=1e-3)


def test_default_noise_falls_towards_the_top() -> None:
    assert default_noise(4) == pytest.approx((0.05, 0.03, 0.015, 0.0075))
    assert default_noise(1) == (0.0075,)
