"""Who is better: Pareto dominance, crowding, and candidates at different rungs.

Scores are compared at equal rungs only. A candidate at a higher rung stands before one at a lower:
it got there by being among the best of the lower rung, which is the comparison at equal rungs.
Within a rung the order is that of NSGA-II (Deb et al. 2002, sections III-A and III-B): front by
front, and within a front the less crowded first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from jaxtyping import Float

Costs = tuple[float, ...]


@dataclass(frozen=True)
class Standing:
    """What a candidate has shown: its costs (to be minimised) at each rung it has reached."""

    index: int
    costs: Mapping[int, Costs]

    @property
    def rung(self) -> int:
        """The highest rung reached."""
        return max(self.costs)


def order(standings: Sequence[Standing]) -> list[Standing]:
    """Best first: higher rungs first, within a rung by front and crowding, ties by index."""
    ordered: list[Standing] = []
    for rung in sorted({standing.rung for standing in standings}, reverse=True):
        ordered += order_at([s for s in standings if s.rung == rung], rung)
    return ordered


def order_at(standings: Sequence[Standing], rung: int) -> list[Standing]:
    """Best first at one rung, which all must have reached."""
    if not standings:
        return []
    # Equal points share their crowding by position, so the position must not depend on arrival.
    standings = sorted(standings, key=lambda standing: standing.index)
    costs = np.array([standing.costs[rung] for standing in standings], dtype=float)
    fronts = front_ranks(costs)
    crowding = np.empty(len(standings))
    for front in np.unique(fronts):
        members = fronts == front
        crowding[members] = crowding_distance(costs[members])
    return [standings[i] for i in np.lexsort((-crowding, fronts))]


def front_ranks(costs: Float[np.ndarray, "points objectives"]) -> np.ndarray:
    """0 for the points nothing dominates, 1 for those only they dominate, and so on."""
    return np.asarray(moocore.pareto_rank(costs), dtype=int)


def nondominated(costs: Float[np.ndarray, "points objectives"]) -> np.ndarray:
    """True for the points nothing dominates; of equal points all."""
    return front_ranks(costs) == 0


def crowding_distance(costs: Float[np.ndarray, "points objectives"]) -> Float[np.ndarray, " points"]:
    """How much room a point has to its neighbours in its front; infinite at the ends."""
    points, objectives = costs.shape
    distance = np.zeros(points)
    for column in range(objectives):
        by_value = np.argsort(costs[:, column], kind="stable")
        values = costs[by_value, column]
        distance[by_value[[0, -1]]] = np.inf
        spread = values[-1] - values[0]
        if spread > 0 and points > 2:
            distance[by_value[1:-1]] += (values[2:] - values[:-2]) / spread
    return distance


def hypervolume(costs: Float[np.ndarray, "points objectives"], reference: Sequence[float]) -> float:
    """Volume dominated by the points and bounded by the reference; 0 without points."""
    inside = costs[np.all(costs < np.asarray(reference), axis=1)] if len(costs) else costs
    return float(moocore.hypervolume(inside, ref=reference)) if len(inside) else 0.0
