"""Random genomes of a search space: the first population, and the random search it is compared with."""

from __future__ import annotations

import numpy as np

from .classes import CLASSES
from .genome import SHARED_ROLES, Genome, LIVGenes, OperatorGenes
from .space import SearchSpace


def sample(space: SearchSpace, rng: np.random.Generator) -> Genome:
    """A genome of uniform depth; sharing may not fit yet (see `repair`)."""
    depth = int(rng.integers(space.min_depth, space.max_depth + 1))
    return Genome(tuple(sample_liv(space, rng) for _ in range(depth)))


def sample_operator(space: SearchSpace, rng: np.random.Generator) -> OperatorGenes:
    """A class of the space: first a token mixing, each as likely, then a class of it.

    Eight of the seventeen classes are attention and one is memoryless; drawn by class, half the layers
    of a genome would be attention and hardly one a gated linear unit. Layers by name are one kind more.
    """
    by_mixing: dict[int, list[OperatorGenes]] = {}
    for number in space.classes:
        by_mixing.setdefault(CLASSES[number].token_mixing, []).append(CLASSES[number])
    mixing = sorted(by_mixing)[int(rng.integers(len(by_mixing)))]
    return by_mixing[mixing][int(rng.integers(len(by_mixing[mixing])))]


def sample_liv(space: SearchSpace, rng: np.random.Generator) -> LIVGenes:
    """One layer: a class of the table and its sharing genes."""
    operator = sample_operator(space, rng)
    if operator.layer:
        return LIVGenes(operator)  # it shares nothing
    strategies = sorted(SHARED_ROLES[operator.token_mixing])[1:]
    return LIVGenes(
        operator=operator,
        featurizer_group=int(rng.integers(1, space.groups + 1)),
        featurizer_strategy=2 if rng.random() < space.sharing else 1,
        feature_group=int(rng.integers(1, space.groups + 1)),
        feature_strategy=int(rng.choice(strategies)) if rng.random() < space.sharing else 1,
    )
