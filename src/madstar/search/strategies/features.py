"""A genome as a vector of plain facts, for surrogates that predict its cost.

Counts of classes, kinds and sharing; which token mixing stands first, second, last and in each third
of the depth; which follows which. The length does not depend on the genome's depth.

A layer by name counts as one of another class, and among token mixings as the one nearest to it. Where a
space offers such layers, counts of each come after all else, so that the columns of others stay the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from ...genome import OPERATORS, Genome, OperatorGenes, class_number
from ...genome.classes import kin
from ...genome.genes import CLASS_NAMES, GIVEN_LAYERS, TOKEN_MIXING

_MIXINGS = tuple(TOKEN_MIXING)
_CLASSES = tuple(OPERATORS)
_PLACES = ("first", "second", "last")
_THIRDS = ("early", "middle", "late")
_KINDS = ("differential", "banded", "convolved featurizer", "attention without softmax", "grouped queries")
_SHARING = ("tied weights", "shared features", "shared keys and values")

FEATURES: tuple[str, ...] = (
    "depth",
    *(f"layers of {CLASS_NAMES[number]}" for number in _CLASSES),
    "layers of another class",
    *(f"{kind} layers" for kind in _KINDS),
    *(f"layers with {kind}" for kind in _SHARING),
    *(f"{place} is {TOKEN_MIXING[mixing]}" for place in _PLACES for mixing in _MIXINGS),
    *(f"{third} share of {TOKEN_MIXING[mixing]}" for third in _THIRDS for mixing in _MIXINGS),
    *(f"{third} share of differential" for third in _THIRDS),
    *(f"{TOKEN_MIXING[a]} then {TOKEN_MIXING[b]}" for a in _MIXINGS for b in _MIXINGS),
    *(f"layers of {TOKEN_MIXING[mixing]}" for mixing in _MIXINGS),
)
# Those whose effect may grow or shrink with training: the last, the counts of token mixings.
CHANGING: tuple[int, ...] = tuple(range(len(FEATURES) - len(_MIXINGS), len(FEATURES)))


def offered_features(classes: Sequence[int]) -> tuple[str, ...]:
    """The names of the columns after FEATURES in a space of those classes."""
    return tuple(f"layers of {GIVEN_LAYERS[number][0]}" for number in _offered(classes))


def features(genome: Genome, classes: Sequence[int] = ()) -> Float[np.ndarray, " features"]:
    """The facts that FEATURES names, in that order, then those of `offered_features(classes)`.

    `classes` are a space's; without layers by name among them there are no more columns than FEATURES.
    """
    facts = [_facts(liv.operator) for liv in genome.livs]
    depth = len(facts)
    numbers = [class_number(liv.operator) for liv in genome.livs]
    counts = np.bincount([column for column, *_ in facts], minlength=len(_CLASSES) + 1)
    mixing = np.zeros((depth, len(_MIXINGS)))
    for layer, (_, place, _) in enumerate(facts):
        if place is not None:
            mixing[layer, place] = 1.0
    kinds = np.array([kinds for *_, kinds in facts], dtype=float)
    places = np.stack([mixing[0], mixing[1] if depth > 1 else np.zeros(len(_MIXINGS)), mixing[-1]])
    thirds = np.zeros((3, len(_MIXINGS) + 1))
    third = np.arange(depth) * 3 // depth
    for number in set(third.tolist()):
        thirds[number, :-1] = mixing[third == number].mean(axis=0)
        thirds[number, -1] = kinds[third == number, 0].mean()
    pairs = mixing[:-1].T @ mixing[1:]
    return np.concatenate(
        [
            [depth],
            counts,
            kinds.sum(axis=0),
            _sharing(genome),
            places.ravel(),
            thirds[:, :-1].ravel(),
            thirds[:, -1],
            pairs.ravel(),
            mixing.sum(axis=0),
            [numbers.count(number) for number in _offered(classes)],
        ]
    )


def _offered(classes: Sequence[int]) -> list[int]:
    return sorted(set(classes) & set(GIVEN_LAYERS))


@lru_cache(maxsize=4096)
def _facts(operator: OperatorGenes) -> tuple[int, int | None, tuple[bool, ...]]:
    """Its column among the classes, its token mixing's place among the mixings, its kinds."""
    number = class_number(operator)
    mixing = kin(operator)
    attention = operator.token_mixing == 2
    kinds = (
        operator.differential,
        operator.sparsity == 2,
        any(genes.token_mixing == 3 for genes in operator.features[:3]),
        attention and operator.nonlinearity != 2,
        attention and any(genes.repeat > 1 for genes in operator.features),
    )
    column = _CLASSES.index(number) if number in OPERATORS else len(_CLASSES)
    return column, None if mixing is None else _MIXINGS.index(mixing), kinds


def _sharing(genome: Genome) -> tuple[int, int, int]:
    """Layers that use weights of a group of at least two; that take features from another; all of them."""
    groups = Counter(liv.featurizer_group for liv in genome.livs if liv.featurizer_strategy > 1)
    tied = sum(members for members in groups.values() if members > 1)
    owned: set[int] = set()
    taken = whole = 0
    for liv in genome.livs:
        if liv.feature_strategy > 1:
            taken += liv.feature_group in owned
            whole += liv.feature_group in owned and liv.feature_strategy == 2
            owned.add(liv.feature_group)
    return tied, taken, whole
