"""Random genomes of a search space: the first population, and the random search it is compared with."""

from __future__ import annotations

import numpy as np

from .classes import OPERATORS
from .genome import SHARED_ROLES, Genome, LIVGenes
from .space import SearchSpace


def sample(space: SearchSpace, rng: np.random.Generator) -> Genome:
    """A genome with uniform depth and classes; sharing may not fit yet (see `repair`)."""
    depth = int(rng.integers(space.min_depth, space.max_depth + 1))
    return Genome(tuple(sample_liv(space, rng) for _ in range(depth)))


def sample_liv(space: SearchSpace, rng: np.random.Generator) -> LIVGenes:
    """One layer: a class of the table and its sharing genes."""
    operator = OPERATORS[int(rng.choice(space.classes))]
    strategies = sorted(SHARED_ROLES[operator.token_mixing])[1:]
    return LIVGenes(
        operator=operator,
        featurizer_group=int(rng.integers(1, space.groups + 1)),
        featurizer_strategy=2 if rng.random() < space.sharing else 1,
        feature_group=int(rng.integers(1, space.groups + 1)),
        feature_strategy=int(rng.choice(strategies)) if rng.random() < space.sharing else 1,
    )
