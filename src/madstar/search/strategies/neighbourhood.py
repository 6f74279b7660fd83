"""A genome's neighbours: the valid genomes that differ from it in exactly one place.

A place is a layer (its class, one of its sharing genes, or one of its operator's genes), two adjacent
layers that change places, or, where depth may vary, a layer put in or taken out.
"""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise

import numpy as np

from ...genome import FeatureGenes, Genome, LIVGenes, OperatorGenes, SearchSpace
from ...genome.classes import FEATURIZERS
from ...genome.genes import BACKBONE, FEATURIZER, OPERATOR
from ...genome.genome import SHARED_ROLES
from ...genome.repair import with_gene, with_layer, with_sharing
from ...genome.sampling import sample_liv, sample_operator
from ...genome.validity import legal_feature, legal_structure, problems

_TRIES = 15
# Share of changes of class that copy a layer with its sharing, without which sharing would not spread.
_COPY = 0.25
_FEATURE_FIELDS = tuple(field.name for field in fields(FeatureGenes))


def neighbour(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> tuple[Genome, str] | None:
    """A random neighbour that expresses another architecture, and the name of the move.

    Each kind of move that the space allows is tried in random order. None where no neighbour is found.
    """
    moves = possible_moves(genome, space)
    for kind in rng.permutation(len(moves)):
        for _ in range(_TRIES):
            changed = _MOVES[moves[kind]](genome, space, rng)
            if changed == genome or any(problems(changed, space.sizes)):
                continue
            # Most changes of sharing genes mean nothing, for want of another layer that shares.
            if changed.architecture != genome.architecture:
                return changed, moves[kind]
    return None


def possible_moves(genome: Genome, space: SearchSpace) -> list[str]:
    """Kinds of moves that the open levels and the depths of the space allow."""
    moves = []
    if BACKBONE in space.levels:
        moves += ["class", "sharing"]
        if genome.depth > 1:
            moves.append("swap")
    if OPERATOR in space.levels or FEATURIZER in space.levels:
        moves.append("gene")
    if genome.depth < space.max_depth:
        moves.append("insert")
    if genome.depth > space.min_depth:
        moves.append("delete")
    return moves


def one_change_apart(first: Genome, second: Genome) -> bool:
    """Whether two genomes differ in exactly one place."""
    a, b = first.livs, second.livs
    if abs(len(a) - len(b)) == 1:
        short, long = sorted((a, b), key=len)
        return any(long[:i] + long[i + 1 :] == short for i in range(len(long)))
    if len(a) != len(b):
        return False
    differing = [i for i in range(len(a)) if a[i] != b[i]]
    if len(differing) == 2:
        i, j = differing
        return j == i + 1 and (a[i], a[j]) == (b[j], b[i])
    return len(differing) == 1


def _class(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> Genome:
    if rng.random() < _COPY:
        layers = rng.integers(genome.depth, size=2)
        return with_layer(genome, int(layers[0]), genome.livs[layers[1]])
    return _with_operator(genome, int(rng.integers(genome.depth)), sample_operator(space, rng))


def _with_operator(genome: Genome, layer: int, operator: OperatorGenes) -> Genome:
    """Another operator in a layer; sharing that no longer fits is given up, for it is the layer's own."""
    liv = replace(genome.livs[layer], operator=operator)
    changed = with_layer(genome, layer, liv)
    if any(problem.level == BACKBONE for problem in problems(changed)):
        changed = with_layer(genome, layer, LIVGenes(operator))
    return changed


def _sharing(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> Genome:
    layer = int(rng.integers(genome.depth))
    liv = genome.livs[layer]
    values = {
        "featurizer_group": range(1, space.groups + 1),
        "featurizer_strategy": (1, 2),
        "feature_group": range(1, space.groups + 1),
        "feature_strategy": SHARED_ROLES[liv.operator.token_mixing],
    }
    field = list(values)[int(rng.integers(len(values)))]
    return with_layer(genome, layer, with_sharing(liv, field, int(rng.choice(list(values[field])))))


def _swap(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> Genome:
    pairs = list(pairwise(range(genome.depth)))
    i, j = pairs[int(rng.integers(len(pairs)))]
    livs = list(genome.livs)
    livs[i], livs[j] = livs[j], livs[i]
    return Genome(tuple(livs))


def _gene(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> Genome:
    layer = int(rng.integers(genome.depth))
    operator = genome.livs[layer].operator
    choices = []
    if OPERATOR in space.levels:
        choices += _structures(operator)
    if FEATURIZER in space.levels:
        choices += _features(operator, space)
    return _with_operator(genome, layer, choices[int(rng.integers(len(choices)))]) if choices else genome


def _structures(operator: OperatorGenes) -> list[OperatorGenes]:
    """The operator with one gene of its own level changed. A layer by name has none."""
    if operator.layer:
        return []
    changed = [
        with_gene(operator, field, value)
        for field in ("sparsity", "nonlinearity", "channel_mixing")
        for value in legal_structure(operator, field)
        if value != getattr(operator, field)
    ]
    if operator.token_mixing != 1:
        changed.append(replace(operator, differential=not operator.differential))
    fitting = [f for f in FEATURIZERS.values() if len(f) == len(operator.features)]
    return changed + [replace(operator, features=f) for f in fitting if f != operator.features]


def _features(operator: OperatorGenes, space: SearchSpace) -> list[OperatorGenes]:
    """The operator with one gene of one feature group changed."""
    return [
        with_gene(operator, field, value, role)
        for role, genes in zip(operator.roles, operator.features, strict=True)
        for field in _FEATURE_FIELDS
        for value in legal_feature(operator, role, genes, field, space.sizes)
        if value != getattr(genes, field)
    ]


def _insert(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> Genome:
    place = int(rng.integers(genome.depth + 1))
    return Genome((*genome.livs[:place], sample_liv(space, rng), *genome.livs[place:]))


def _delete(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> Genome:
    place = int(rng.integers(genome.depth))
    return Genome((*genome.livs[:place], *genome.livs[place + 1 :]))


_MOVES = {
    "class": _class,
    "sharing": _sharing,
    "swap": _swap,
    "gene": _gene,
    "insert": _insert,
    "delete": _delete,
}
