"""Operators in words: a letter for a line, a sentence for a picture."""

from __future__ import annotations

from collections.abc import Iterator

from ..genome import OPERATORS, FeatureGenes, Genome, OperatorGenes, class_name, class_number
from ..genome.classes import kin
from ..genome.genes import CLASS_MEANINGS, CLASS_NAMES, GIVEN_MEANINGS
from ..liv.layers.catalogue import CATALOGUE

# By token mixing; a layer by name is of the family nearest to it, where that is known.
LETTERS = {2: "A", 4: "R", 3: "C", 1: "M", None: "L"}
FAMILIES = {
    "A": "attention",
    "R": "recurrence",
    "C": "gated convolution",
    "M": "memoryless",
    "L": "layer by name",
}
LEGEND = (
    ", ".join(f"{letter} {family}" for letter, family in FAMILIES.items() if letter != "L")
    + "; d difference of two, * not in the table of classes, @ a layer by name"
)

_NONLINEARITY = {1: "no nonlinearity", 2: "softmax", 3: "ReLU", 4: "swish"}
_OPERATOR_WORDS = {
    "sparsity": {1: "the whole past", 2: "a window of the last tokens"},
    "nonlinearity": _NONLINEARITY,
    "channel_mixing": {1: "a mixing for each channel", 2: "one head", 3: "a mixing for each head"},
}
_FEATURE_WORDS = {
    "nonlinearity": _NONLINEARITY,
    "channel_mixing": {1: "channels apart", 2: "dense channels", 3: "channels mixed by head"},
}
# By token mixing and sparsity; without a convolution sparsity says nothing.
_CONVOLUTION = {(3, 1): "a convolution over the whole past", (3, 2): "a short convolution"}
_NO_CONVOLUTION = "no convolution"


def letter(operator: OperatorGenes) -> str:
    """The operator's family, of `FAMILIES`."""
    return LETTERS[kin(operator)]


def letters(genome: Genome) -> str:
    """A genome's layers from input to output, as `LEGEND` explains: "C M C M A M dR* M"."""
    return " ".join(
        ("d" if liv.operator.differential else "")
        + letter(liv.operator)
        + ("@" if liv.operator.layer else "")
        + ("*" if class_number(liv.operator) is None else "")
        for liv in genome.livs
    )


def name(operator: OperatorGenes) -> str:
    """The operator's class, with a star where it is not in the table."""
    return class_name(operator)


def describe(operator: OperatorGenes) -> str:
    """What an operator is: its class's meaning, or how it differs from the nearest class."""
    number = class_number(operator)
    if number is not None:
        return (CLASS_MEANINGS | GIVEN_MEANINGS)[number]
    if operator.layer:
        return (
            CATALOGUE[operator.layer].summary if operator.layer in CATALOGUE else "a layer of another package"
        )
    alike = [n for n, other in OPERATORS.items() if other.token_mixing == operator.token_mixing]
    nearest = min(alike, key=lambda n: len(list(_differences(operator, OPERATORS[n]))))
    return f"{CLASS_NAMES[nearest]}, but " + "; ".join(_differences(operator, OPERATORS[nearest]))


def _differences(operator: OperatorGenes, other: OperatorGenes) -> Iterator[str]:
    if operator.differential != other.differential:
        yield "the difference of two" if operator.differential else "not a difference"
    for field, words in _OPERATOR_WORDS.items():
        mine, its = getattr(operator, field), getattr(other, field)
        if mine != its:
            yield f"{words[mine]}, not {words[its]}"
    roles: dict[str, list[str]] = {}
    for role, ours, theirs in zip(operator.roles, operator.features, other.features, strict=True):
        for difference in _feature_differences(ours, theirs):
            roles.setdefault(difference, []).append(role)
    for difference, named in roles.items():
        yield f"{', '.join(named)}: {difference}"


def _feature_differences(ours: FeatureGenes, theirs: FeatureGenes) -> Iterator[str]:
    mine = _CONVOLUTION.get((ours.token_mixing, ours.sparsity), _NO_CONVOLUTION)
    its = _CONVOLUTION.get((theirs.token_mixing, theirs.sparsity), _NO_CONVOLUTION)
    if mine != its:
        yield f"{mine}, not {its}"
    for field, words in _FEATURE_WORDS.items():
        if getattr(ours, field) != getattr(theirs, field):
            yield f"{words[getattr(ours, field)]}, not {words[getattr(theirs, field)]}"
    for field in ("expansion", "repeat"):
        if getattr(ours, field) != getattr(theirs, field):
            yield f"{field} {getattr(ours, field)}, not {getattr(theirs, field)}"
