"""The table of LIV classes: seventeen operators, nine featurizers (STAR, arXiv 2411.17800, appendix).

An operator's code is featurizer class, token mixing, sparsity, nonlinearity, channel mixing.
"""

from __future__ import annotations

from .genes import CLASS_NAMES
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

_OPERATOR_NUMBERS = {operator: number for number, operator in OPERATORS.items()}
_FEATURIZER_NUMBERS = {features: number for number, features in FEATURIZERS.items()}


def class_number(operator: OperatorGenes) -> int | None:
    """The class an operator stands for in the table, or None if it is not in it."""
    return _OPERATOR_NUMBERS.get(operator)


def featurizer_number(features: tuple[FeatureGenes, ...]) -> int | None:
    """The featurizer class of these feature groups, or None if the table has none such."""
    return _FEATURIZER_NUMBERS.get(features)


def class_name(operator: OperatorGenes) -> str:
    """A short name for people: the table's, or the nearest kind with a star if it is not in it."""
    number = class_number(operator)
    if number is not None:
        return CLASS_NAMES[number]
    kind = {1: "GMemless", 2: "SA", 3: "GConv", 4: "Rec"}[operator.token_mixing]
    return ("Diff" if operator.differential else "") + kind + "*"
