"""How surprising a count is: exact tails of counts of relatives, of several runs together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce

import numpy as np
from scipy import special


def related_counts(n: int, share: float, correlation: float) -> np.ndarray:
    """Probabilities of 0 to n successes among n relatives: the beta-binomial of that mean.

    `correlation` is that of two of them (Skellam 1948): 0 gives the binomial, 1 all or none.
    """
    k = np.arange(n + 1)
    if n == 0 or share <= 0 or share >= 1:
        return (k == (n if share >= 1 else 0)).astype(float)
    if correlation >= 1:
        return np.where(k == n, share, np.where(k == 0, 1 - share, 0.0))
    choose = -special.betaln(n - k + 1, k + 1) - np.log(n + 1)
    if correlation <= 0:
        return np.exp(choose + special.xlogy(k, share) + special.xlog1py(n - k, -share))
    weight = (1 - correlation) / correlation
    a, b = share * weight, (1 - share) * weight
    return np.exp(choose + special.betaln(k + a, n - k + b) - special.betaln(a, b))


def drawn_counts(n: int, marked: int, total: int) -> np.ndarray:
    """Probabilities of 0 to n marked ones among n drawn from `total`: the hypergeometric."""
    k = np.arange(n + 1)
    possible = (k <= marked) & (n - k <= total - marked)
    logs = _choose(marked, np.minimum(k, marked)) + _choose(total - marked, np.clip(n - k, 0, total - marked))
    return np.where(possible, np.exp(logs - _choose(total, n)), 0.0)


def together(counts: Sequence[np.ndarray]) -> np.ndarray:
    """Probabilities of the sum of independent counts."""
    return reduce(np.convolve, counts, np.ones(1))


def at_least(held: int, counts: np.ndarray) -> float:
    """The probability of that count or more."""
    return float(min(1.0, counts[held:].sum()))


def at_most(held: int, counts: np.ndarray) -> float:
    """The probability of that count or less."""
    return float(min(1.0, counts[: held + 1].sum()))


def two_sided(upper: float, lower: float) -> float:
    """One p-value of two tails: twice the smaller."""
    return min(1.0, 2 * min(upper, lower))


def smoothed(share: float, draws: float, towards: int) -> float:
    """A share estimated from draws, as if one more had gone `towards` 1 or 0: so no p-value is 0."""
    return (share * draws + towards) / (draws + 1)


def _choose(n: int, k: np.ndarray | int) -> np.ndarray:
    """The logarithm of n over k."""
    return np.asarray(special.gammaln(n + 1) - special.gammaln(np.asarray(k) + 1)) - special.gammaln(
        n - np.asarray(k) + 1
    )
