"""How much a training's seed alone moves a score, rung by rung.

Small budgets are noisy: at 50 steps the spread over seeds is five times that at 400. What a rung's
comparison is worth depends on it. The prior was measured on text (docs/benchmarks.md, "Seed noise");
finalists that a run trains again with other seeds correct it for that run's own data and sizes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..objectives import TRAINED, Objective
from ..training import Budget
from .ranking import Costs

# Standard deviation over seeds, bits per byte, at (steps); between them a power law, outside the ends.
SEED_NOISE = ((50, 0.050), (100, 0.033), (200, 0.020), (400, 0.012))
# The prior counts as much as this many replicates.
_WEIGHT = 4.0
# Budgets in seconds have no steps: their highest rung counts as this many.
_STEPS = 400.0


# Spread of what a candidate gains from a rung to the next beyond seed noise, bits per byte, before any is
# seen (docs/benchmarks.md, "Rungs").
PRIOR_SPREAD = 0.08


@dataclass(frozen=True)
class Noise:
    """Standard deviations of one training's costs: `at[rung][objective]`; 0 where a figure is exact.

    `drift` is for each objective the spread, beyond this noise, of its change from a rung to the next,
    before any change has been seen; 0 where more training changes nothing.
    """

    at: tuple[tuple[float, ...], ...]
    drift: tuple[float, ...]

    def of_mean(self, rung: int, trainings: int) -> tuple[float, ...]:
        """Standard errors of a mean over trainings with different seeds."""
        return tuple(sd / trainings**0.5 for sd in self.at[rung])


def seed_noise(
    objectives: Sequence[Objective],
    budgets: Sequence[Budget],
    tokens_per_step: int,
    repeats: Mapping[int, Sequence[Costs]],
    reported: Mapping[str, float],
) -> Noise:
    """The noise of a run's rungs.

    `repeats` are the costs of candidates at the highest rung, one for each seed it was trained with;
    `reported` are standard errors that objectives gave themselves, which stand for those that the
    prior knows nothing of.
    """
    rungs = [prior_sd(steps) for steps in _steps(budgets, tokens_per_step)]
    columns, drift = [], []
    for place, objective in enumerate(objectives):
        if objective.kind != TRAINED:
            columns.append([reported.get(objective.name, 0.0)] * len(rungs))
            drift.append(0.0)
            continue
        # Of others than quality only their own errors are known: their noise is taken to fall alike.
        unit = 1.0 if objective.name == "quality" else reported.get(objective.name, 0.0) / rungs[-1]
        prior = [unit * sd for sd in rungs]
        drift.append(unit * PRIOR_SPREAD)
        factor = _factor([[costs[place] for costs in one] for one in repeats.values()], prior[-1])
        columns.append([factor * sd for sd in prior])
    return Noise(tuple(zip(*columns, strict=True)), tuple(drift))


def prior_sd(steps: float) -> float:
    """Seed noise of bits per byte after so many steps."""
    at, sd = np.log([point[0] for point in SEED_NOISE]), np.log([point[1] for point in SEED_NOISE])
    return float(np.exp(np.interp(np.log(max(steps, 1.0)), at, sd)))


def _factor(groups: Sequence[Sequence[float]], prior: float) -> float:
    """By how much the spread within groups differs from the prior, shrunk towards 1."""
    freedom = sum(len(group) - 1 for group in groups)
    squares = sum(float(np.var(group)) * len(group) for group in groups if len(group) > 1)
    if prior <= 0:
        return 1.0
    return float(np.sqrt((_WEIGHT + squares / prior**2) / (_WEIGHT + freedom)))


def _steps(budgets: Sequence[Budget], tokens_per_step: int) -> list[float]:
    steps = [budget.steps(tokens_per_step) for budget in budgets]
    if None in steps:
        return [_STEPS * budget.amount / budgets[-1].amount for budget in budgets]
    return [float(step) for step in steps if step is not None]
