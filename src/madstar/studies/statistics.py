"""Means over seeds with intervals, differences, verdicts, and the few tests that studies use.

Textbook methods with two-sided intervals. Nothing here knows what a run is.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

BETTER, WORSE, TIE = "better", "worse", "tie"
_NAN = math.nan


@dataclass(frozen=True)
class Interval:
    """An estimate and its interval: `mean` within `low` to `high` at `level`.

    `error` is the standard error, `n` the number of independent observations; of two samples the
    smaller one's. Bounds and error are nan where n is too small to know them.
    """

    mean: float
    low: float
    high: float
    error: float
    n: int
    level: float

    def __str__(self) -> str:
        return f"{self.mean:.4g} [{self.low:.4g}, {self.high:.4g}]"

    def to_dict(self) -> dict[str, float]:
        """Plain data, for JSON."""
        return {
            "mean": self.mean,
            "low": self.low,
            "high": self.high,
            "error": self.error,
            "n": self.n,
            "level": self.level,
        }


def mean_interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of independent values, with Student's t interval.

    One value gives itself with bounds of nan; no value, or one that is not finite, nan throughout.
    """
    n = len(values)
    if n == 0 or not all(map(math.isfinite, values)):
        return Interval(_NAN, _NAN, _NAN, _NAN, n, _checked(level))
    mean = math.fsum(values) / n
    if n == 1:
        return Interval(mean, _NAN, _NAN, _NAN, 1, _checked(level))
    error = math.sqrt(_variance(values) / n)
    return _student(mean, error, n - 1, n, level)


def paired_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of a - b over pairs, with Student's t interval of the differences.

    Raises ValueError where the two are not equally long.
    """
    return mean_interval([x - y for x, y in zip(a, b, strict=True)], level)


def unpaired_difference(a: Sequence[float], b: Sequence[float], level: float = 0.95) -> Interval:
    """The mean of a less the mean of b, with Welch's interval (Welch 1947): no equal variances assumed.

    A sample of one has no variance: bounds of nan.
    """
    n = min(len(a), len(b))
    mean = mean_interval(a).mean - mean_interval(b).mean
    if n < 2 or not math.isfinite(mean):
        return Interval(mean, _NAN, _NAN, _NAN, n, _checked(level))
    parts = _variance(a) / len(a), _variance(b) / len(b)
    error = math.sqrt(sum(parts))
    # Satterthwaite's degrees of freedom; with no spread at all any number does. Shares and not the
    # variances themselves, whose squares may be too small for a float.
    first = parts[0] / sum(parts) if sum(parts) else 0.5
    freedom = 1 / (first**2 / (len(a) - 1) + (1 - first) ** 2 / (len(b) - 1))
    return _student(mean, error, freedom, n, level)


def verdict(interval: Interval, better: str = "lower") -> str:
    """What a difference says of the first of the two: "better", "worse", or "tie".

    A tie unless the interval excludes 0, and always from fewer than two observations. `better` is
    "lower" where lower figures are better, else "higher".
    """
    if better not in ("lower", "higher"):
        raise ValueError(f"better is {better!r}: write lower or higher")
    if interval.n < 2 or not (interval.low > 0 or interval.high < 0):
        return TIE
    return BETTER if (interval.mean < 0) == (better == "lower") else WORSE


def wilson(successes: int, n: int, level: float = 0.95) -> Interval:
    """A share with Wilson's score interval (Wilson 1927), which holds for small n and shares near 0 or 1.

    `mean` is the share observed, `error` its binomial standard error; without trials the interval is
    all of 0 to 1.
    """
    if not 0 <= successes <= n:
        raise ValueError(
            f"{successes} successes of {n} trials: there cannot be more of them, nor fewer than 0"
        )
    if n == 0:
        return Interval(_NAN, 0.0, 1.0, _NAN, 0, _checked(level))
    z = statistics.NormalDist().inv_cdf(0.5 + _checked(level) / 2)
    share = successes / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else middle - half
    high = 1.0 if successes == n else middle + half
    return Interval(share, low, high, math.sqrt(share * (1 - share) / n), n, level)


def kendall(x: Sequence[float], y: Sequence[float]) -> tuple[float, float]:
    """Kendall's rank correlation tau-b, and the p-value of no association (two-sided).

    Exact without ties, else by the normal approximation. nan for fewer than two pairs, or where all of
    x or all of y are equal. Raises ValueError where the two are not equally long.
    """
    if len(x) != len(y):
        raise ValueError(f"{len(x)} and {len(y)} values: ranks are compared pair by pair")
    if len(x) < 2:
        return _NAN, _NAN
    from scipy.stats import kendalltau  # here, because it takes seconds to load

    found = kendalltau(x, y, variant="b")
    return float(found.statistic), float(found.pvalue)


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    samples: Sequence[Any] | np.ndarray,
    rng: np.random.Generator,
    draws: int = 2000,
    level: float = 0.95,
) -> Interval:
    """The percentile bootstrap (Efron 1979) of any statistic of independent samples.

    `samples` is an array whose first axis counts the samples; `statistic` takes such an array. `mean`
    is the statistic of the samples themselves, `error` the standard deviation over the draws. Draws
    where the statistic is nan are left out. With fewer than two samples the bounds are nan.
    """
    observed = np.asarray(samples)
    n = len(observed)
    estimate = float(statistic(observed)) if n else _NAN
    if n < 2:
        return Interval(estimate, _NAN, _NAN, _NAN, n, _checked(level))
    drawn = np.array([float(statistic(observed[rng.integers(n, size=n)])) for _ in range(draws)])
    drawn = drawn[~np.isnan(drawn)]
    if len(drawn) < 2:
        return Interval(estimate, _NAN, _NAN, _NAN, n, _checked(level))
    low, high = np.quantile(drawn, [0.5 - _checked(level) / 2, 0.5 + level / 2])
    return Interval(estimate, float(low), float(high), float(drawn.std(ddof=1)), n, level)


def benjamini_hochberg(p_values: Sequence[float]) -> list[float]:
    """q-values: the false discovery rate at which each of many tests would be called (Benjamini and
    Hochberg 1995), in the order given. Raises ValueError for what is no probability.
    """
    p = np.asarray(p_values, dtype=float)
    if not np.all((p >= 0) & (p <= 1)):
        raise ValueError("p-values lie between 0 and 1")
    if not len(p):
        return []
    order = np.argsort(p)
    scaled = p[order] * len(p) / np.arange(1, len(p) + 1)
    q = np.empty(len(p))
    q[order] = np.minimum.accumulate(scaled[::-1])[::-1].clip(max=1.0)
    return [float(value) for value in q]


def binomial_tail(k: int, n: int, p0: float) -> float:
    """The probability of k or more successes in n trials, each with probability p0.

    The one-sided p-value of an enrichment: k of n have what chance gives to a share p0.
    """
    if not (0 <= p0 <= 1 and n >= 0):
        raise ValueError(f"{n} trials with probability {p0}: there is no such thing")
    if k <= 0:
        return 1.0
    if k > n:
        return 0.0
    return float(special.betainc(k, n - k + 1, p0))


def _student(mean: float, error: float, freedom: float, n: int, level: float) -> Interval:
    half = float(special.stdtrit(freedom, 0.5 + _checked(level) / 2)) * error
    return Interval(mean, mean - half, mean + half, error, n, level)


def _variance(values: Sequence[float]) -> float:
    """The unbiased variance. Exactly 0 for equal values, which a rounded mean would not give."""
    if min(values) == max(values):
        return 0.0
    return float(np.var(np.asarray(values, dtype=float), ddof=1))


def _checked(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"level {level}: give a share between 0 and 1, such as 0.95")
    return level
