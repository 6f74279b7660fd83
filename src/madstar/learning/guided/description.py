"""A genome in plain facts, by group: what the predictor of a guided search reads.

    genes       in how many layers each gene has each value, by token mixing and by role of the feature group
    places      the same in the first, second and last third of the depth
    sequence    which kind of token mixing follows which, and which stand first, second and last

Counts enter as log(1 + count). Nothing is traced or built: a description takes a tenth of a millisecond.
The names are open, so that genes that only mutation reaches, and layers by name, are columns of their own
once they are measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from itertools import pairwise
from math import log1p

from ...genome import Genome, LIVGenes, OperatorGenes
from ..predictor.description import THIRDS

GROUPS = ("genes", "places", "sequence")
Groups = Mapping[str, Mapping[str, float]]

_OPERATOR = ("sparsity", "nonlinearity", "channel_mixing")
_FEATURE = ("token_mixing", "sparsity", "nonlinearity", "channel_mixing", "expansion", "repeat")


@lru_cache(maxsize=8192)
def describe(genome: Genome) -> Groups:
    """The facts of a genome."""
    genes: Counter[str] = Counter()
    places: Counter[str] = Counter()
    for layer, liv in enumerate(genome.livs):
        third = THIRDS[layer * 3 // genome.depth]
        words = (*_operator_words(liv.operator), *_sharing_words(liv))
        genes.update(words)
        places.update(f"{word} {third}" for word in words)
    kinds = [_kind(liv.operator) for liv in genome.livs]
    sequence = Counter(f"{first} then {second}" for first, second in pairwise(kinds))
    sequence.update({f"first {kinds[0]}", f"last {kinds[-1]}", f"second {kinds[min(1, len(kinds) - 1)]}"})
    genes["layers"] = genome.depth
    return {"genes": _logs(genes), "places": _logs(places), "sequence": _logs(sequence)}


@lru_cache(maxsize=4096)
def _operator_words(operator: OperatorGenes) -> tuple[str, ...]:
    """Each gene's value, with the token mixing under which it has its meaning."""
    mixing = f"mixing {operator.token_mixing}"
    words = [mixing, f"{mixing} differential {operator.differential}"]
    words += [f"{mixing} {name} {getattr(operator, name)}" for name in _OPERATOR]
    if operator.layer:
        words.append(f"layer {operator.layer}")
    for role, genes in zip(operator.roles, operator.features, strict=True):
        words += [f"{mixing} {role} {name} {getattr(genes, name)}" for name in _FEATURE]
    return tuple(words)


def _sharing_words(liv: LIVGenes) -> list[str]:
    words = ["shares weights"] if liv.featurizer_strategy > 1 else []
    return [*words, f"shares features {liv.feature_strategy}"] if liv.feature_strategy > 1 else words


def _kind(operator: OperatorGenes) -> str:
    return operator.layer or f"{operator.token_mixing}{'d' if operator.differential else ''}"


def _logs(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: log1p(count) for name, count in counts.items()}
