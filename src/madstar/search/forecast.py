"""What a candidate's costs will be at the highest rung, and how sure that is.

From rung to rung candidates do not improve alike: attention and recurrences start late, convolutions
early. From the candidates that have gone on, the improvement is fitted (ridge) on what an operator
is made of and on how fast the candidate improved so far; few have gone on, so it is shrunk towards
their mean. What the fit leaves, and the noise of seeds, is the forecast's spread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..genome import Genome
from ..genome.classes import kin
from .noise import Noise
from .ranking import Costs

# The number of candidates that the prior of what changes from rung to rung counts as much as.
_PRIOR_WEIGHT = 4.0
# Ridge penalty: a predictor must be borne out by about so many candidates.
_PENALTY = 6.0


@dataclass(frozen=True)
class Forecast:
    """Costs at the highest rung: mean and standard deviation for each candidate and objective."""

    indices: tuple[int, ...]
    mean: Float[np.ndarray, "candidates objectives"]
    spread: Float[np.ndarray, "candidates objectives"]


def traits(genome: Genome) -> tuple[float, ...]:
    """Shares of layers that are attention, recurrence, convolution, and differential.

    A layer by name counts as what is nearest to it.
    """
    kinds = [kin(liv.operator) for liv in genome.livs]
    shares = [kinds.count(kind) / len(kinds) for kind in (2, 4, 3)]
    return (*shares, sum(liv.operator.differential for liv in genome.livs) / len(kinds))


def forecast(
    costs: Mapping[int, Mapping[int, Costs]],
    traits_of: Mapping[int, tuple[float, ...]],
    rung: int,
    noise: Noise,
    trainings: Mapping[int, int],
) -> Forecast:
    """Forecast all candidates measured at a rung, from the costs of all at all rungs.

    `trainings` says over how many seeds a candidate's costs at the highest rung are a mean.
    """
    indices = tuple(sorted(index for index, by_rung in costs.items() if rung in by_rung))
    top, width = len(noise.at) - 1, len(noise.at[0])
    mean = np.array([costs[index][rung] for index in indices], dtype=float).reshape(-1, width)
    counts = [trainings.get(index, 1) if rung == top else 1 for index in indices]
    spread = np.array([noise.of_mean(rung, count) for count in counts]).reshape(-1, width)
    for lower in range(rung, top):
        change, left = _improvement(costs, traits_of, indices, lower, rung, noise)
        mean = mean + change
        spread = np.sqrt(spread**2 + left**2)
    return Forecast(indices, mean, spread)


def _improvement(
    costs: Mapping[int, Mapping[int, Costs]],
    traits_of: Mapping[int, tuple[float, ...]],
    indices: Sequence[int],
    lower: int,
    rung: int,
    noise: Noise,
) -> tuple[Float[np.ndarray, "candidates objectives"], Float[np.ndarray, " objectives"]]:
    """Change from a rung to the next for each candidate, and the spread that the fit leaves."""
    unseen = np.array(noise.drift)
    changing = unseen > 0
    went = [i for i, by_rung in sorted(costs.items()) if lower in by_rung and lower + 1 in by_rung]
    width = len(noise.at[lower])
    # Slopes are known for the first step only: further on, what they would be is itself a forecast.
    sloped = lower == rung and lower > 0
    if not went:
        return np.zeros((len(indices), width)), unseen
    changes = np.array([np.subtract(costs[i][lower + 1], costs[i][lower]) for i in went])
    predicted, left = np.empty((len(indices), width)), np.empty(width)
    for place in range(width):
        design = _predictors(costs, traits_of, went, place, lower, sloped)
        asked = _predictors(costs, traits_of, indices, place, lower, sloped)
        predicted[:, place], residual = _ridge(design, changes[:, place], asked)
        squares = _PRIOR_WEIGHT * unseen[place] ** 2 + float(residual @ residual)
        left[place] = np.sqrt(squares / (_PRIOR_WEIGHT + len(went)))
    return np.where(changing, predicted, 0.0), np.where(changing, left, 0.0)


def _predictors(
    costs: Mapping[int, Mapping[int, Costs]],
    traits_of: Mapping[int, tuple[float, ...]],
    indices: Sequence[int],
    place: int,
    lower: int,
    sloped: bool,
) -> Float[np.ndarray, "candidates predictors"]:
    rows = []
    for index in indices:
        row = list(traits_of[index])
        if sloped:
            before = costs[index].get(lower - 1, costs[index].get(lower, ()))
            row.append(costs[index][lower][place] - before[place] if before else 0.0)
        rows.append(row)
    return np.array(rows, dtype=float)


def _ridge(
    design: Float[np.ndarray, "seen predictors"],
    target: Float[np.ndarray, " seen"],
    asked: Float[np.ndarray, "asked predictors"],
) -> tuple[Float[np.ndarray, " asked"], Float[np.ndarray, " seen"]]:
    """Predictions, and the residuals of those seen; the mean is not penalised."""
    centre, scale = design.mean(axis=0), design.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)
    x, y = (design - centre) / scale, target - target.mean()
    weights = np.linalg.solve(x.T @ x + _PENALTY * np.eye(x.shape[1]), x.T @ y)
    return target.mean() + (asked - centre) / scale @ weights, y - x @ weights
