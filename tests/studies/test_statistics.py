import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from madstar.studies.statistics import (
    Interval,
    benjamini_hochberg,
    binomial_tail,
    bootstrap_interval,
    kendall,
    mean_interval,
    paired_difference,
    unpaired_difference,
    verdict,
    wilson,
)

VALUES = st.lists(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), min_size=2, max_size=8)
LEVELS = st.sampled_from([0.5, 0.9, 0.95, 0.99])
SPREAD = 1e-6


def spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


@given(VALUES, LEVELS)
def test_mean_interval_is_students(values: list[float], level: float) -> None:
    found = mean_interval(values, level)
    assert found.mean == pytest.approx(np.mean(values))
    assert (found.n, found.level) == (len(values), level)
    if spread(values) > SPREAD:
        error = stats.sem(values)
        assert found.error == pytest.approx(error)
        low, high = stats.t.interval(level, len(values) - 1, loc=np.mean(values), scale=error)
        assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))


def test_mean_interval_by_hand() -> None:
    # 1, 2, 3: variance 1, error 1/sqrt(3), t of two degrees of freedom 4.3027
    found = mean_interval([1.0, 2.0, 3.0])
    assert found.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2 - found.low == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_equal_values_have_no_spread() -> None:
    found = mean_interval([0.1] * 7)
    assert found.error == 0
    assert found.low == found.high == found.mean


def test_what_is_too_little_has_no_bounds() -> None:
    one = mean_interval([4.0])
    assert (one.mean, one.n) == (4.0, 1)
    assert all(map(math.isnan, (one.low, one.high, one.error)))
    for nothing in (mean_interval([]), mean_interval([1.0, math.nan]), mean_interval([1.0, math.inf, 2.0])):
        assert all(map(math.isnan, (nothing.mean, nothing.low, nothing.high, nothing.error)))
    assert math.isnan(unpaired_difference([1.0, 2.0], [1.0]).low)
    assert unpaired_difference([1.0, 2.0], [1.0]).mean == 0.5
    assert math.isnan(unpaired_difference([1.0, 2.0], []).mean)


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=2, max_size=8))
def test_paired_difference_agrees_with_the_paired_t_test(pairs: list[tuple[int, int]]) -> None:
    a, b = [float(x) for x, _ in pairs], [float(y) for _, y in pairs]
    found = paired_difference(a, b)
    assert found.mean == pytest.approx(np.mean(a) - np.mean(b), abs=1e-9)
    if spread([x - y for x, y in zip(a, b, strict=True)]):
        test = stats.ttest_rel(a, b)
        bounds = test.confidence_interval(0.95)
        assert (found.low, found.high) == (pytest.approx(bounds.low), pytest.approx(bounds.high))
        assert (verdict(found) != "tie") == (test.pvalue < 0.05)


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError):
        paired_difference([1.0, 2.0], [1.0])


@given(VALUES, VALUES)
def test_unpaired_difference_is_welchs(a: list[float], b: list[float]) -> None:
    found = unpaired_difference(a, b)
    assert found.n == min(len(a), len(b))
    if spread(a) > SPREAD or spread(b) > SPREAD:
        bounds = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
        assert (found.low, found.high) == (pytest.approx(bounds.low), pytest.approx(bounds.high))


def test_unpaired_difference_survives_the_least_of_spreads() -> None:
    found = unpaired_difference([1.0, 1.0 + 1e-200, 1.0], [0.0, 1e-160])
    assert found.low <= 1.0 <= found.high


@pytest.mark.parametrize(
    ("values", "lower", "higher"),
    [
        ([-1.0, -1.1, -0.9], "better", "worse"),
        ([1.0, 1.1, 0.9], "worse", "better"),
        ([1.0, -1.1, 0.9], "tie", "tie"),
        ([0.0, 0.0, 0.0], "tie", "tie"),
        ([-1.0, -1.0], "better", "worse"),
        ([-1.0], "tie", "tie"),
        ([], "tie", "tie"),
        ([-1.0, math.nan], "tie", "tie"),
    ],
)
def test_verdicts(values: list[float], lower: str, higher: str) -> None:
    interval = mean_interval(values)
    assert verdict(interval) == lower
    assert verdict(interval, better="higher") == higher


def test_a_verdict_needs_two_observations_and_a_direction() -> None:
    assert verdict(Interval(-1.0, -2.0, -0.5, 0.1, 1, 0.95)) == "tie"
    with pytest.raises(ValueError, match="lower or higher"):
        verdict(mean_interval([1.0, 2.0]), better="more")


@given(st.integers(0, 60), st.integers(1, 60), LEVELS)
def test_wilson_agrees_with_scipy(successes: int, n: int, level: float) -> None:
    successes = min(successes, n)
    bounds = stats.binomtest(successes, n).proportion_ci(level, method="wilson")
    found = wilson(successes, n, level)
    assert found.mean == successes / n
    assert (found.low, found.high) == (
        pytest.approx(bounds.low, abs=1e-12),
        pytest.approx(bounds.high, abs=1e-12),
    )


def test_wilson_of_nothing() -> None:
    assert (wilson(0, 0).low, wilson(0, 0).high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes of 2"):
        wilson(3, 2)


def plain_tau(x: Sequence[float], y: Sequence[float]) -> float:
    """Tau-b by its definition: concordant less discordant pairs, over those not tied in x and in y."""
    pairs = list(itertools.combinations(zip(x, y, strict=True), 2))
    score = sum(np.sign(a - c) * np.sign(b - d) for (a, b), (c, d) in pairs)
    untied_x = sum(a != c for (a, _), (c, _) in pairs)
    untied_y = sum(b != d for (_, b), (_, d) in pairs)
    return float(score / math.sqrt(untied_x * untied_y)) if untied_x and untied_y else math.nan


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=10))
def test_kendall_is_tau_b(pairs: list[tuple[int, int]]) -> None:
    x, y = [float(a) for a, _ in pairs], [float(b) for _, b in pairs]
    assert kendall(x, y)[0] == pytest.approx(plain_tau(x, y), nan_ok=True)


def test_kendalls_p_value_counts_permutations() -> None:
    y = [1.0, 2.0, 4.0, 3.0, 5.0]
    tau, p = kendall(range(5), y)
    assert tau == pytest.approx(0.8)
    taus = [plain_tau(range(5), order) for order in itertools.permutations(range(5))]
    assert p == pytest.approx(np.mean([abs(t) >= 0.8 - 1e-9 for t in taus]))


def test_kendall_of_too_little() -> None:
    assert all(map(math.isnan, kendall([1.0], [1.0])))
    with pytest.raises(ValueError, match="pair by pair"):
        kendall([1.0, 2.0], [1.0])


def test_bootstrap_of_a_mean_comes_near_the_normal_interval() -> None:
    rng = np.random.default_rng(3)
    samples = rng.normal(5, 2, size=400)
    found = bootstrap_interval(np.mean, samples, rng)
    assert found.mean == pytest.approx(samples.mean())
    assert found.error == pytest.approx(stats.sem(samples), rel=0.1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * stats.sem(samples), rel=0.1)
    assert found == bootstrap_interval(np.mean, samples, restored(3))


def restored(seed: int) -> np.random.Generator:
    """The generator as it stands after the samples have been drawn."""
    rng = np.random.default_rng(seed)
    rng.normal(5, 2, size=400)
    return rng


def test_bootstrap_draws_whole_rows() -> None:
    pairs = [(1.0, 10.0), (2.0, 20.0), (3.0, 30.0)]

    def tied(rows: np.ndarray) -> float:
        assert np.all(rows[:, 1] == 10 * rows[:, 0])
        return float(rows[:, 0].mean())

    found = bootstrap_interval(tied, pairs, np.random.default_rng(0), draws=200)
    assert 1 <= found.low < found.mean == 2 < found.high <= 3
    assert math.isnan(bootstrap_interval(tied, pairs[:1], np.random.default_rng(0)).low)


@given(st.lists(st.floats(0, 1), max_size=12))
def test_q_values_agree_with_scipy(p_values: list[float]) -> None:
    found = benjamini_hochberg(p_values)
    if p_values:
        assert found == pytest.approx(stats.false_discovery_control(p_values))
    else:
        assert found == []


def test_q_values_refuse_what_is_no_probability() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        benjamini_hochberg([0.5, math.nan])


@given(st.integers(-1, 13), st.integers(0, 12), st.floats(0, 1))
def test_binomial_tail_is_a_sum(k: int, n: int, p0: float) -> None:
    plain = math.fsum(math.comb(n, j) * p0**j * (1 - p0) ** (n - j) for j in range(max(k, 0), n + 1))
    assert binomial_tail(k, n, p0) == pytest.approx(plain, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize("level", [0.0, 1.0, 95.0])
def test_a_level_is_a_share(level: float) -> None:
    for call in (lambda: mean_interval([1.0, 2.0], level), lambda: wilson(1, 2, level)):
        with pytest.raises(ValueError, match="between 0 and 1"):
            call()
