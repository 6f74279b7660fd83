"""Which genes go together: operators that have a meaning, and sharing between layers that can share.

Every rule is a set of legal values per gene given the others, so that checking, repairing and
mutating all read the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import GenomeError
from .genes import GIVEN, MAX_GROUP
from .genome import ROLES, SHARED_ROLES, FeatureGenes, Genome, OperatorGenes
from .sizes import Sizes

_STRUCTURE_FIELDS = ("sparsity", "nonlinearity", "channel_mixing")
_FEATURE_FIELDS = ("token_mixing", "sparsity", "nonlinearity", "channel_mixing", "expansion", "repeat")


@dataclass(frozen=True)
class Problem:
    """One gene that does not go with the others.

    `layer` counts from 0; `role` is set on the featurizer level.
    """

    layer: int
    level: str
    gene: str
    value: int
    legal: tuple[int, ...]
    role: str | None = None

    @property
    def name(self) -> str:
        """The gene as reports count it, such as "operator sparsity"."""
        return f"{self.level} {self.gene.replace('_', ' ')}"

    def __str__(self) -> str:
        where = f" of {self.role}" if self.role else ""
        gene = self.gene.replace("_", " ")
        what = f"LIV {self.layer + 1}: gene '{gene}'{where} is {self.value}"
        if not self.legal:
            return (
                f"{what}, but LIVs of another class share in that group: choose another of 1-{MAX_GROUP}, "
                f"or {gene.replace('group', 'strategy')} 1"
            )
        legal = ", ".join(map(str, self.legal))
        return f"{what}, which does not go with its other genes: possible here {legal}"


def require_compatible(genome: Genome) -> None:
    """Raise GenomeError for the first gene that does not go with the others."""
    for problem in problems(genome):
        raise GenomeError(str(problem))


def problems(genome: Genome, sizes: Sizes | None = None) -> Iterator[Problem]:
    """Every gene that does not go with the others, or, where sizes are given, with those sizes."""
    for layer, liv in enumerate(genome.livs):
        yield from operator_problems(layer, liv.operator, sizes)
    yield from sharing_problems(genome)


def operator_problems(layer: int, operator: OperatorGenes, sizes: Sizes | None = None) -> Iterator[Problem]:
    """Genes of an operator and its featurizer without a meaning together."""
    for field in _STRUCTURE_FIELDS:
        legal, value = legal_structure(operator, field), getattr(operator, field)
        if value not in legal:
            yield Problem(layer, "operator", field, value, legal)
    if operator.layer:
        if operator.differential:
            yield Problem(layer, "operator", "differential", True, (False,))
        return
    for role, genes in zip(operator.roles, operator.features, strict=True):
        for field in _FEATURE_FIELDS:
            legal, value = legal_feature(operator, role, genes, field, sizes), getattr(genes, field)
            if value not in legal:
                yield Problem(layer, "featurizer", field, value, legal, role)


def sharing_problems(genome: Genome) -> Iterator[Problem]:
    """Layers that claim to share with a group they do not fit: sharing needs equal operators."""
    weights: dict[int, OperatorGenes] = {}
    features: dict[int, tuple[OperatorGenes, int]] = {}
    for layer, liv in enumerate(genome.livs):
        if liv.feature_strategy not in SHARED_ROLES[liv.operator.token_mixing]:
            legal = tuple(SHARED_ROLES[liv.operator.token_mixing])
            yield Problem(layer, "backbone", "feature_strategy", liv.feature_strategy, legal)
        elif liv.feature_strategy > 1:
            # The first layer of a group owns it; all others must be of its class and strategy.
            owner = features.setdefault(liv.feature_group, (liv.operator, liv.feature_strategy))
            if owner[0] != liv.operator:
                yield Problem(layer, "backbone", "feature_group", liv.feature_group, ())
            elif owner[1] != liv.feature_strategy:
                yield Problem(layer, "backbone", "feature_strategy", liv.feature_strategy, (1, owner[1]))
        if liv.featurizer_strategy > 1 and liv.operator.layer:
            yield Problem(layer, "backbone", "featurizer_strategy", liv.featurizer_strategy, (1,))
        elif liv.featurizer_strategy > 1:
            first = weights.setdefault(liv.featurizer_group, liv.operator)
            if first != liv.operator:
                yield Problem(layer, "backbone", "featurizer_group", liv.featurizer_group, ())


def legal_structure(operator: OperatorGenes, field: str) -> tuple[int, ...]:
    """Values of an operator's gene that have a meaning, given its token mixing."""
    mixing = operator.token_mixing
    if mixing == GIVEN:
        return (1,)
    if field == "sparsity":
        if mixing == 2:
            return (1, 2)
        # Only a kernel as long as the sequence can be cut to a band.
        implicit = mixing == 3 and operator.features[ROLES[3].index("kernel")].sparsity == 1
        return (1, 2) if implicit else (1,)
    if field == "nonlinearity":
        return (1, 2, 3, 4) if mixing == 2 else (1, 3, 4)
    return {1: (2, 3), 2: (2, 3), 3: (1, 3), 4: (1, 3)}[mixing]


def legal_feature(
    operator: OperatorGenes, role: str, genes: FeatureGenes, field: str, sizes: Sizes | None = None
) -> tuple[int, ...]:
    """Values of a featurizer's gene that have a meaning for that feature, given the other genes."""
    if role == "kernel":
        return {
            "token_mixing": (3,),
            "sparsity": (1, 2),
            "nonlinearity": (1,),
            "channel_mixing": (1,),
            "expansion": (3, 4, 7, 15) if genes.sparsity == 2 else (1,),
            "repeat": (1,),
        }[field]
    if field == "token_mixing":
        return (1, 3)
    if field == "sparsity":
        return (2,) if genes.token_mixing == 3 else (1,)
    if field == "nonlinearity":
        return (1,) if role == "a" else (1, 3, 4)
    if field == "expansion":
        return _legal_expansion(operator, role)
    if field == "repeat":
        return _legal_repeat(operator, role, sizes)
    if operator.token_mixing == 4 and role in ("b", "c"):
        return (2,)  # the state's size need not be divisible by the heads
    legal = [2]
    # A diagonal map keeps the width; one decay a head is narrower than the input.
    if genes.expansion == 1 and genes.repeat == 1 and not (role == "a" and operator.channel_mixing == 3):
        legal.append(1)
    if sizes is None or (sizes.width // sizes.heads) % genes.repeat == 0:
        legal.append(3)
    return tuple(sorted(legal))


def _legal_expansion(operator: OperatorGenes, role: str) -> tuple[int, ...]:
    if operator.token_mixing == 4 and role in ("c", "b"):
        # c reads what b has written: one state size. b decides, c follows.
        return (2, 4, 8, 16) if role == "b" else (operator.features[1].expansion,)
    if operator.token_mixing == 1:
        return (1, 2, 3, 4) if role == "gate" else (operator.features[0].expansion,)
    return (1,)


def _legal_repeat(operator: OperatorGenes, role: str, sizes: Sizes | None) -> tuple[int, ...]:
    if operator.token_mixing != 2 or role == "q" or operator.channel_mixing != 3:
        return (1,)
    if role == "v":
        return (operator.features[1].repeat,)
    return tuple(r for r in (1, 2, 4, 8) if sizes is None or sizes.heads % r == 0)
