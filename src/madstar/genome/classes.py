"""The table of LIV classes: seventeen operators, nine featurizers (STAR, arXiv 2411.17800, appendix).

An operator's code is featurizer class, token mixing, sparsity, nonlinearity, channel mixing. After the
seventeen come layers known by name, which a search uses where its space names them.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from ..errors import GenomeError
from ..liv.layers.catalogue import CATALOGUE
from ..liv.layers.choice import layer_names
from .genes import CLASS_NAMES, GIVEN, GIVEN_LAYERS
from .genome import FeatureGenes, OperatorGenes

_DENSE = FeatureGenes()
_CONVOLVED = FeatureGenes(token_mixing=3, sparsity=2)
_DECAY = FeatureGenes(channel_mixing=3)

FEATURIZERS: dict[int, tuple[FeatureGenes, ...]] = {
    1: (_DENSE, _DENSE, _DENSE),
    2: (_CONVOLVED, _CONVOLVED, _CONVOLVED),
    3: (_DENSE, FeatureGenes(repeat=4), FeatureGenes(repeat=4)),
    4: (_DENSE, FeatureGenes(repeat=2), FeatureGenes(repeat=2)),
    5: (FeatureGenes(expansion=16), FeatureGenes(expansion=16), _DECAY, _DENSE),
    6: (FeatureGenes(expansion=2), FeatureGenes(expansion=2), _DECAY, _DENSE),
    7: (_DENSE, _DENSE, _DENSE, FeatureGenes(token_mixing=3, sparsity=2, channel_mixing=1, expansion=3)),
    8: (_CONVOLVED, _CONVOLVED, _CONVOLVED, FeatureGenes(token_mixing=3, sparsity=1, channel_mixing=1)),
    9: (FeatureGenes(expansion=3), FeatureGenes(expansion=3)),
}

_CODES = {
    1: (1, 2, 1, 2, 3),
    2: (2, 2, 1, 2, 3),
    3: (3, 2, 1, 2, 3),
    4: (4, 2, 1, 2, 3),
    5: (5, 4, 1, 1, 1),
    6: (6, 4, 1, 1, 1),
    7: (7, 3, 1, 1, 1),
    8: (8, 3, 1, 1, 1),
    9: (9, 1, 1, 4, 2),
}


def _operator(code: tuple[int, int, int, int, int], differential: bool) -> OperatorGenes:
    featurizer, token_mixing, sparsity, nonlinearity, channel_mixing = code
    features = FEATURIZERS[featurizer]
    return OperatorGenes(features, token_mixing, sparsity, nonlinearity, channel_mixing, differential)


OPERATORS: dict[int, OperatorGenes] = {
    **{number: _operator(code, False) for number, code in _CODES.items()},
    **{9 + number: _operator(_CODES[number], True) for number in range(1, 9)},
}


def named_layer(name: str) -> OperatorGenes:
    """The operator that is the layer of that name.

    Raises GenomeError for an unknown one, offering the nearest.
    """
    # What other packages offer is looked for only where the name is not ours: that takes a while.
    if name not in CATALOGUE and name not in (known := layer_names()):
        raise GenomeError(
            f"unknown layer '{_shown(name)}'{_nearest(name, known)}: madstar layers lists those there are, "
            "and another package's needs that package"
        )
    return OperatorGenes((), GIVEN, 1, 1, 1, layer=name)


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, known, n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _shown(name: str) -> str:
    return name if len(name) <= 60 else name[:60] + "..."


CLASSES: dict[int, OperatorGenes] = {
    **OPERATORS,
    **{number: named_layer(name) for number, (name, _) in GIVEN_LAYERS.items()},
}
"""Every class with a number: the seventeen of the table, and the layers by name."""

_OPERATOR_NUMBERS = {operator: number for number, operator in CLASSES.items()}
_FEATURIZER_NUMBERS = {features: number for number, features in FEATURIZERS.items()}
_KIN = dict(GIVEN_LAYERS.values())


def class_number(operator: OperatorGenes) -> int | None:
    """The class an operator stands for, or None if none has its genes."""
    return _OPERATOR_NUMBERS.get(operator)


def class_numbers(words: str) -> tuple[int, ...]:
    """The classes of a list such as "1,9,mamba,22", in that order.

    Raises GenomeError for a name that has no number, offering the nearest.
    """
    numbers = {name: number for number, name in names().items()}
    found = []
    for word in (part.strip() for part in words.split(",")):
        number = int(word) if word.isascii() and word.isdigit() and len(word) <= 6 else numbers.get(word)
        if number is None:
            raise GenomeError(
                f"there is no class '{_shown(word)}'{_nearest(word, numbers)}: write numbers with commas, "
                "or names, such as 1,9,mamba; madstar genes lists them"
            )
        found.append(number)
    return tuple(found)


def names() -> dict[int, str]:
    """The name of every class with a number."""
    return {**CLASS_NAMES, **{number: name for number, (name, _) in GIVEN_LAYERS.items()}}


def featurizer_number(features: tuple[FeatureGenes, ...]) -> int | None:
    """The featurizer class of these feature groups, or None if the table has none such."""
    return _FEATURIZER_NUMBERS.get(features)


def class_name(operator: OperatorGenes) -> str:
    """A short name for people: the table's, or the nearest kind with a star if it is not in it."""
    number = class_number(operator)
    if number in CLASS_NAMES:
        return CLASS_NAMES[number]
    if operator.layer:
        return operator.layer if number is not None else f"{operator.layer}*"
    kind = {1: "GMemless", 2: "SA", 3: "GConv", 4: "Rec"}[operator.token_mixing]
    return ("Diff" if operator.differential else "") + kind + "*"


def kin(operator: OperatorGenes) -> int | None:
    """Its token mixing, or of a layer by name the nearest one; None for a layer that has no number."""
    return _KIN.get(operator.layer) if operator.layer else operator.token_mixing
