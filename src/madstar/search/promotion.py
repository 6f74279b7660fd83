"""Promotion from rung to rung: who is worth more training.

Successive halving without waiting (ASHA, Li et al., arXiv 1810.05934) promotes the best share of a
rung as it stands; with several objectives in the order of NSGA-II at that rung. Two things are added.
What a candidate may add to the front at the highest rung is estimated: its forecast there (see
`forecast`) is drawn many times, and its exclusive hypervolume averaged. Clear losers, who add
something in fewer than one draw in twenty, are not promoted while there is anything else to do; and
of the promotions every eighth goes to the best optimistic case, for early rungs under-rate what starts
late. To promote by that estimate alone was measured to be worse (docs/decisions/0010).
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import moocore
import numpy as np
from jaxtyping import Float

from .forecast import Forecast

_DRAWS = 256
# A candidate that adds to the front in fewer draws than this is a clear loser.
CLEAR_LOSER = 0.05
# Every so many promotions one goes by the optimistic case.
OPTIMISTIC = 8
_OPTIMISM = 0.9
# One more than a rung's places may have gone on, so that a new best need not wait for a place.
_GRACE = 1


@dataclass(frozen=True)
class Prospect:
    """What a candidate may add to the final front.

    `worth` is its expected exclusive hypervolume in units of the cohort's ranges, `hope` the same in
    its better cases, `chance` the share of draws in which it adds anything, `cost` its mean cost in those
    units, which decides between candidates that add nothing.
    """

    index: int
    worth: float
    hope: float
    chance: float
    cost: float


def prospects(forecast: Forecast, seed: int) -> list[Prospect]:
    """The prospects of all candidates of a forecast, the most worth first; deterministic from the seed."""
    if not forecast.indices:
        return []
    draws = _normalised_draws(forecast, np.random.default_rng([seed, len(forecast.indices)]))
    added = np.stack([_contributions(draw) for draw in draws])
    chance = (added > 0).mean(axis=0)
    hope = np.quantile(added, _OPTIMISM, axis=0)
    cost = draws.mean(axis=(0, 2))
    found = [
        Prospect(index, float(added[:, i].mean()), float(hope[i]), float(chance[i]), float(cost[i]))
        for i, index in enumerate(forecast.indices)
    ]
    return sorted(found, key=lambda one: (-one.worth, one.cost, one.index))


def promotable(
    standing: list[Prospect], share: float, started: Collection[int], *, optimistic: int = OPTIMISTIC
) -> list[int]:
    """Whom to promote now, the best first.

    `standing` are the prospects of a rung's cohort in the order in which it stands, `started` who of it has
    gone on already. The best share goes on, less every eighth place, which those with the best
    optimistic case get. Clear losers get no place. A standing changes as a rung fills, and whoever once
    was among its best has gone on; so that no more than the share does, places once given count.
    """
    places = math.floor(len(standing) * share + 1e-9)
    hopeful = places // optimistic if share < 1 else 0
    # Who wants to see all at the end, wants the losers too.
    candidates = [one for one in standing if share >= 1 or one.chance >= CLEAR_LOSER]
    best = candidates[: places - hopeful]
    rest = sorted(candidates[places - hopeful :], key=lambda one: (-one.hope, -one.worth, one.index))
    # Places of hope are counted over the whole rung, or each new candidate would open another.
    taken = sum(one.index in started for one in standing if one not in best)
    chosen = [*best, *[one for one in rest if one.index not in started][: max(0, hopeful - taken)]]
    free = places + _GRACE - sum(one.index in started for one in standing)
    return [one.index for one in chosen if one.index not in started][: max(0, free)]


def next_in_line(standing: list[Prospect], started: Collection[int]) -> list[int]:
    """All of a rung who have not gone on, the best first, clear losers last.

    For the end of a run, when there is time for one more promotion but not for another candidate.
    """
    waiting = [one for one in standing if one.index not in started]
    ordered = sorted(waiting, key=lambda one: one.chance < CLEAR_LOSER)
    return [one.index for one in ordered]


def _normalised_draws(
    forecast: Forecast, rng: np.random.Generator
) -> Float[np.ndarray, "draws candidates objectives"]:
    """Costs drawn from the forecasts, each objective scaled to 0 for the best mean and 1 for the worst."""
    best, worst = forecast.mean.min(axis=0), forecast.mean.max(axis=0)
    extent = np.where(worst > best, worst - best, 1.0)
    noise = rng.standard_normal((_DRAWS, *forecast.mean.shape))
    return (forecast.mean + forecast.spread * noise - best) / extent


def _contributions(costs: Float[np.ndarray, "candidates objectives"]) -> Float[np.ndarray, " candidates"]:
    """Exclusive hypervolume of each point, against a corner a tenth beyond the worst."""
    corner = np.maximum(costs.max(axis=0), 1.0) + 0.1
    if costs.shape[1] == 1:
        # With one objective only the best adds anything: its lead.
        added = np.zeros(len(costs))
        ordered = np.sort(costs[:, 0])
        lead = (ordered[1] if len(ordered) > 1 else corner[0]) - ordered[0]
        added[int(costs[:, 0].argmin())] = max(lead, 1e-12)
        return added
    return np.asarray(moocore.hv_contributions(costs, ref=corner), dtype=float)
