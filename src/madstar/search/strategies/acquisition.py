"""What a candidate is expected to add to the front: expected hypervolume improvement.

Emmerich et al. 2006: the mean, over what a model thinks possible, of the volume a point adds to what
the front dominates. With one objective this is expected improvement.
"""

from __future__ import annotations

import moocore
import numpy as np
from jaxtyping import Float

from ..ranking import nondominated


def reference_point(
    costs: Float[np.ndarray, "points objectives"],
) -> Float[np.ndarray, " objectives"]:
    """A tenth of the range beyond the worst, in each objective, as in a run's summary."""
    worst, best = costs.max(axis=0), costs.min(axis=0)
    spread = np.where(worst > best, worst - best, np.maximum(np.abs(worst), 1.0))
    return worst + 0.1 * spread


def improvements(
    points: Float[np.ndarray, "points objectives"],
    known: Float[np.ndarray, "known objectives"],
    reference: Float[np.ndarray, " objectives"],
) -> Float[np.ndarray, " points"]:
    """The volume that each point, alone, adds to what the known points dominate."""
    known = known[np.all(known < reference, axis=1)]
    front = known[nondominated(known)] if len(known) else known
    if len(reference) == 1:
        best = front.min() if len(front) else reference[0]
        return np.maximum(best - points[:, 0], 0.0)
    added = np.zeros(len(points))
    dominated = np.any(np.all(front[None] <= points[:, None], axis=2), axis=1)
    candidates = np.flatnonzero(~dominated & np.all(points < reference, axis=1))
    volume = moocore.Hypervolume(ref=reference)
    if not len(front):
        added[candidates] = np.prod(reference - points[candidates], axis=1)
        return added
    for i in candidates:
        # What the point and the front dominate together is dominated by the front moved up to the point.
        overlap = volume(np.maximum(front, points[i]))
        added[i] = np.prod(reference - points[i]) - overlap
    return np.maximum(added, 0.0)


def expected_improvements(
    draws: Float[np.ndarray, "draws points objectives"],
    known: Float[np.ndarray, "known objectives"],
    reference: Float[np.ndarray, " objectives"],
) -> Float[np.ndarray, " points"]:
    """The mean of the improvements over draws."""
    count, points, objectives = draws.shape
    flat = improvements(draws.reshape(-1, objectives), known, reference)
    return flat.reshape(count, points).mean(axis=0)
