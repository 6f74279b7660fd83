"""What learners answer where a word or a number does not do; what is asked stands in `examples.py`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, slots=True)
class Sources:
    """For each removed edge the scores of all nodes before its target; for it and each decoy: is one missing?

    `missing` has the removed edges first, then the decoys. Higher is likelier.
    """

    scores: tuple[Float[np.ndarray, " earlier"], ...]
    missing: Float[np.ndarray, " asked"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How likely something is missing, and how likely at each node of the view that is shown."""

    score: float
    places: Float[np.ndarray, " nodes"]


@dataclass(frozen=True, slots=True)
class Next:
    """The operation that comes next, and for each of its data edges the scores of the nodes given."""

    op: str
    scores: tuple[Float[np.ndarray, " given"], ...]
