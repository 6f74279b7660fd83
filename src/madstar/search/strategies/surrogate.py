"""A ridge regression that predicts costs at the top rung from results at all rungs.

Early rungs are biased: they flatter convolutions and under-rate attention and recurrences, and the
bias shrinks towards the top. So it is a part of the model. For candidate x at rung r

    cost(x, r) = level(r) + w f(x) + d(r) v g(x) + e,

with features f, their part g (counts of token mixings), and d(r) the distance to the top rung, from 1
at rung 0 to 0 at the top. All results of all candidates are fitted at once, each weighted by what its
rung's noise is worth. The ridge is the one with the least error on candidates left out, each with all
its results, in closed form; the spread comes from a bootstrap over candidates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

RIDGES = tuple(float(r) for r in np.geomspace(0.1, 300, 9))
# What features cannot explain of a candidate, on the scale of `default_noise`.
MISFIT = 0.05
# Levels of the rungs are all but free; one that has not been reached stays at the last that was.
_LEVEL_RIDGE = 1e-6


def default_noise(rungs: int) -> tuple[float, ...]:
    """Standard deviation between seeds by rung, in bits per byte, halving from rung to rung.

    Like what was measured at width 64: about .05 at 50-100 steps, .014 at 200, .0075 at 400.
    """
    return tuple(min(0.05, 0.0075 * 2.0 ** (rungs - 1 - rung)) for rung in range(rungs))


@dataclass(frozen=True)
class Results:
    """Results to be fitted: whose (row of the features), at which rung, and the cost."""

    rows: Int[np.ndarray, " results"]
    rungs: Int[np.ndarray, " results"]
    costs: Float[np.ndarray, " results"]

    @classmethod
    def of(cls, costs: Sequence[Mapping[int, float]]) -> Results:
        """From each candidate's costs by rung."""
        flat = [(row, rung, by_rung[rung]) for row, by_rung in enumerate(costs) for rung in sorted(by_rung)]
        rows, rungs, values = zip(*flat, strict=True)
        return cls(np.array(rows), np.array(rungs), np.array(values, dtype=float))


@dataclass(frozen=True)
class Surrogate:
    """A fitted model: `coefficients` of all data first, then of each bootstrap draw.

    `misfit` is the standard deviation of what the features do not explain, in the cost's own unit;
    `ridge` the one chosen, `error` the weighted mean square error on candidates left out.
    """

    centre: Float[np.ndarray, " features"]
    scale: Float[np.ndarray, " features"]
    changing: tuple[int, ...]
    noise: tuple[float, ...]
    coefficients: Float[np.ndarray, "draws_and_one columns"]
    misfit: float
    ridge: float
    error: float

    @property
    def top(self) -> int:
        """The top rung, which is predicted by default."""
        return len(self.noise) - 1

    def predict(
        self, features: Float[np.ndarray, "genomes features"], rung: int | None = None
    ) -> Float[np.ndarray, " genomes"]:
        """Expected costs, at the top rung or at another."""
        return self._design(features, rung) @ self.coefficients[0]

    def draw(self, features: Float[np.ndarray, "genomes features"]) -> Float[np.ndarray, "draws genomes"]:
        """Costs at the top rung that each bootstrap draw expects."""
        return self.coefficients[1:] @ self._design(features, None).T

    def settle(
        self, features: Float[np.ndarray, "genomes features"], results: Results
    ) -> Float[np.ndarray, " genomes"]:
        """Costs at the top rung of candidates with results: the model's, moved by what it missed of them.

        The best linear prediction where each candidate has a deviation of its own beside the noise.
        """
        known = design(self._scaled(features)[results.rows], results.rungs, self.changing, self.top)
        missed = results.costs - known @ self.coefficients[0]
        precision = 1 / np.asarray(self.noise)[results.rungs] ** 2
        total = np.bincount(results.rows, precision, minlength=len(features))
        moved = np.bincount(results.rows, precision * missed, minlength=len(features))
        return self.predict(features) + moved / (total + 1 / MISFIT**2)

    def _scaled(self, features: np.ndarray) -> np.ndarray:
        return (features - self.centre) / self.scale

    def _design(self, features: np.ndarray, rung: int | None) -> np.ndarray:
        at = np.full(len(features), self.top if rung is None else rung)
        return design(self._scaled(features), at, self.changing, self.top)


def fit(
    features: Float[np.ndarray, "candidates features"],
    results: Results,
    *,
    noise: Sequence[float],
    changing: Sequence[int] = (),
    draws: int = 20,
    rng: np.random.Generator,
) -> Surrogate:
    """Fit all results; `noise` has one standard deviation for each rung, the top rung last."""
    top = len(noise) - 1
    centre, spread = features.mean(axis=0), features.std(axis=0)
    scale = np.where(spread > 1e-12, spread, 1.0)
    X = design(((features - centre) / scale)[results.rows], results.rungs, tuple(changing), top)
    weights = 1 / (np.asarray(noise)[results.rungs] ** 2 + MISFIT**2)
    mean_weight = weights.mean()
    weights = weights / mean_weight
    penalties = np.full(X.shape[1], 1.0)
    penalties[: top + 1] = 0.0
    errors = [
        float(np.mean(weights * left_out_errors(X, results, weights, ridge * penalties + _LEVEL_RIDGE) ** 2))
        for ridge in RIDGES
    ]
    best = int(np.argmin(errors))
    penalty = RIDGES[best] * penalties + _LEVEL_RIDGE
    drawn = rng.multinomial(len(features), np.full(len(features), 1 / len(features)), size=draws)
    all_weights = np.vstack([weights, weights * drawn[:, results.rows]])
    return Surrogate(
        centre=centre,
        scale=scale,
        changing=tuple(changing),
        noise=tuple(noise),
        coefficients=np.stack([ridge_solution(X, results.costs, w, penalty) for w in all_weights]),
        # Errors are in the weights' scale: back to the cost's unit, and to the part that is no noise.
        misfit=float(np.sqrt(errors[best] * mean_weight) * MISFIT),
        ridge=RIDGES[best],
        error=errors[best],
    )


def design(
    scaled: Float[np.ndarray, "results features"],
    rungs: Int[np.ndarray, " results"],
    changing: Sequence[int],
    top: int,
) -> Float[np.ndarray, "results columns"]:
    """Levels as steps from rung to rung, then features, then those that change times the distance."""
    levels = (rungs[:, None] >= np.arange(top + 1)).astype(float)
    distance = (top - rungs)[:, None] / max(top, 1)
    return np.hstack([levels, scaled, scaled[:, list(changing)] * distance])


def ridge_solution(
    X: Float[np.ndarray, "results columns"],
    y: Float[np.ndarray, " results"],
    weights: Float[np.ndarray, " results"],
    penalty: Float[np.ndarray, " columns"],
) -> Float[np.ndarray, " columns"]:
    """The coefficients with the least weighted square error plus penalised squares."""
    weighted = X * weights[:, None]
    return np.linalg.solve(weighted.T @ X + np.diag(penalty), weighted.T @ y)


def left_out_errors(
    X: Float[np.ndarray, "results columns"],
    results: Results,
    weights: Float[np.ndarray, " results"],
    penalty: Float[np.ndarray, " columns"],
) -> Float[np.ndarray, " results"]:
    """Each result's error under the fit without any result of its candidate, without fitting again.

    With the hat matrix H and errors e of the whole fit, those of left-out candidate c are
    (I - H_cc)^-1 e_c. All candidates are solved at once, their blocks padded to one size.
    """
    weighted = X * weights[:, None]
    inverse = np.linalg.inv(weighted.T @ X + np.diag(penalty))
    errors = results.costs - X @ (inverse @ (weighted.T @ results.costs))
    counts = np.bincount(results.rows)
    slots = np.concatenate([np.arange(count) for count in counts])
    order = np.argsort(results.rows, kind="stable")
    place = np.empty(len(order), dtype=int)
    place[order] = slots
    size = int(counts.max())
    X_of = np.zeros((len(counts), size, X.shape[1]))
    wX_of = np.zeros_like(X_of)
    e_of = np.zeros((len(counts), size))
    X_of[results.rows, place], wX_of[results.rows, place] = X, weighted
    e_of[results.rows, place] = errors
    hat = X_of @ inverse @ wX_of.transpose(0, 2, 1)
    left_out = np.linalg.solve(np.eye(size) - hat, e_of[:, :, None])[:, :, 0]
    return left_out[results.rows, place]
