"""Rank correlations with bootstrap intervals over architectures, and what a score adds to a surrogate.

Kendall's tau-b is a sum over pairs of architectures. In a bootstrap draw that takes architecture i w_i
times, pair (i, j) counts w_i w_j times, so that all draws are a few matrix products. Copies of one
architecture tie with each other and count for nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from madstar.genome import Genome
from madstar.search.strategies.features import features

LEVEL = 0.95
_FOLDS, _PENALTIES, _WEIGHTS = 5, (0.03, 0.1, 0.3, 1.0, 3.0), (0.0, 0.1, 0.3, 1.0)

Vector = Float[np.ndarray, " architectures"]


@dataclass(frozen=True)
class Estimate:
    """A figure, its bootstrap interval, and the draws it is from."""

    value: float
    draws: np.ndarray

    def minus(self, other: Estimate) -> Estimate:
        """The difference, paired draw by draw."""
        return Estimate(self.value - other.value, self.draws - other.draws)

    @property
    def interval(self) -> tuple[float, float]:
        """Percentile interval; draws in which the figure does not exist are left out."""
        drawn = self.draws[~np.isnan(self.draws)]
        if not len(drawn):
            return float("nan"), float("nan")
        low, high = np.quantile(drawn, [0.5 - LEVEL / 2, 0.5 + LEVEL / 2])
        return float(low), float(high)

    @property
    def above_zero(self) -> bool:
        """Whether the whole interval lies above 0."""
        return self.interval[0] > 0

    def to_list(self) -> list[float]:
        """Value, low, high."""
        return [self.value, *self.interval]

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:+.2f} [{low:+.2f}, {high:+.2f}]"


def draw_weights(
    count: int, draws: int, rng: np.random.Generator
) -> Float[np.ndarray, "draws architectures"]:
    """How often each architecture is taken in each bootstrap draw; the first row is all once."""
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=draws)
    return np.vstack([np.ones((1, count)), drawn])


def tau(x: Vector, y: Vector, weights: np.ndarray, strata: np.ndarray | None = None) -> Estimate:
    """Kendall's tau-b of two figures; with `strata`, over pairs within the same stratum only."""
    a, b = (np.sign(np.subtract.outer(v, v)) for v in (x, y))
    if strata is not None:
        same = np.equal.outer(strata, strata)
        a, b = a * same, b * same
    agreement, first, second = (
        ((weights @ pairs) * weights).sum(1) for pairs in (a * b, np.abs(a), np.abs(b))
    )
    whole = np.sqrt(first * second)
    taus = np.divide(agreement, whole, out=np.full(len(weights), np.nan), where=whole > 0)
    return Estimate(float(taus[0]), taus[1:])


def terciles(values: Vector) -> np.ndarray:
    """0, 1 or 2: which third by size each value is in; equal values are in the same."""
    return np.searchsorted(np.quantile(values, [1 / 3, 2 / 3]), values, side="left")


def ranks(values: Vector) -> Vector:
    """Mean ranks, from 0."""
    return (np.less.outer(values, values).sum(0) + np.less_equal.outer(values, values).sum(0) - 1) / 2


def residuals(values: Vector, nuisance: Float[np.ndarray, "architectures nuisances"]) -> Vector:
    """What is left of the ranks of values after a linear fit on nuisances and a constant."""
    design = np.column_stack([np.ones(len(nuisance)), nuisance])
    target = ranks(values)
    fitted = design @ np.linalg.lstsq(design, target, rcond=None)[0]
    # Rounding would order what is equal.
    return np.round(target - fitted, 9)


def mixing_counts(genomes: list[Genome]) -> Float[np.ndarray, "architectures 5"]:
    """Layers of each of the four token mixings, and differential ones."""
    return np.array(
        [
            [
                *(sum(liv.operator.token_mixing == kind for liv in genome.livs) for kind in (1, 2, 3, 4)),
                sum(liv.operator.differential for liv in genome.livs),
            ]
            for genome in genomes
        ],
        dtype=float,
    )


def genome_features(genomes: list[Genome]) -> Float[np.ndarray, "architectures features"]:
    """What the search's own surrogate sees of genomes, standardised; facts that never differ are left out."""
    table = np.array([features(genome) for genome in genomes], dtype=float)
    varying = np.ptp(table, axis=0) > 0
    return (table[:, varying] - table[:, varying].mean(0)) / table[:, varying].std(0)


def left_out_predictions(
    facts: Float[np.ndarray, "architectures features"],
    score: Vector | None,
    target: Vector,
    rng: np.random.Generator,
    repeats: int,
) -> Vector:
    """Ridge predictions of architectures that were left out of the fit, the mean over repeated 5-fold splits.

    The kernel is that of the genome's features, to which a score, if given, adds its own with a weight
    that may be 0. Penalty and weight are chosen within each fit by its leave-one-out error.
    """
    kernel = facts @ facts.T
    kernel = kernel / max(np.trace(kernel) / len(kernel), 1e-12)
    added = np.zeros_like(kernel)
    if score is not None:
        standard = ranks(score) - ranks(score).mean()
        standard = standard / max(standard.std(), 1e-12)
        added = np.outer(standard, standard)
    kernels = [kernel + weight * added for weight in (_WEIGHTS if score is not None else (0.0,))]
    predicted = np.zeros(len(target))
    for _ in range(repeats):
        fold = rng.permutation(len(target)) % _FOLDS
        for number in range(_FOLDS):
            seen, asked = fold != number, fold == number
            predicted[asked] += _ridge(kernels, target, seen, asked) / repeats
    return predicted


def _ridge(kernels: list[np.ndarray], target: Vector, seen: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Predictions of the kernel and penalty with the least leave-one-out error among those seen."""
    y = target[seen] - target[seen].mean()
    best, chosen = np.inf, np.zeros(asked.sum())
    for kernel in kernels:
        values, vectors = np.linalg.eigh(kernel[np.ix_(seen, seen)])
        rotated = vectors.T @ y
        for penalty in _PENALTIES:
            shrunk = 1 / (np.maximum(values, 0) + penalty * len(y) / 10)
            dual = vectors @ (shrunk * rotated)
            # A left-out residual is dual / diag(inverse), without refitting.
            error = np.square(dual / ((vectors**2) @ shrunk)).mean()
            if error < best:
                best, chosen = error, kernel[np.ix_(asked, seen)] @ dual
    return target[seen].mean() + chosen
