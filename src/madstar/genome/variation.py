"""Variation: two-point crossover and mutation on all three levels (STAR, arXiv 2411.17800, section 4.2).

Beyond the paper, depth may vary where the space allows it: layers are inserted, deleted, duplicated.
Mutation draws from a gene's whole range, so offspring may be invalid; what becomes of them is the
space's choice, and every offspring says what happened to it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .classes import FEATURIZERS, OPERATORS
from .genes import BACKBONE, FEATURIZER, OPERATOR, gene, genes
from .genome import ROLES, Genome, LIVGenes, OperatorGenes
from .repair import repair, with_gene, with_layer, with_sharing
from .sampling import sample_liv, sample_operator
from .space import SearchSpace
from .validity import problems

_SHARING_GENES = ("featurizer_group", "featurizer_strategy", "feature_group", "feature_strategy")


@dataclass(frozen=True)
class Offspring:
    """A proposed genome and its history: the operator of variation, and what repair had to do.

    `validity` is "valid", "repaired" (then `repaired_genes` names them, with repetition) or "rejected".
    """

    genome: Genome
    operator: str
    validity: str
    repaired_genes: tuple[str, ...] = ()


@dataclass(frozen=True)
class VariationRates:
    """How offspring are made.

    `crossover`: chance that two parents are combined. `mutation`: chance of each backbone gene to
    be re-drawn. `below`: chance of each layer to have one gene of each lower level re-drawn.
    `depth`: chance of one layer to be inserted, deleted or duplicated, where depth may vary.
    `cuts`: crossover cuts between layers ("liv") or between any two backbone genes ("gene").
    """

    crossover: float = 0.9
    mutation: float = 0.1
    below: float = 0.05
    depth: float = 0.2
    cuts: str = "liv"


def vary(
    first: Genome, second: Genome, space: SearchSpace, rates: VariationRates, rng: np.random.Generator
) -> Offspring:
    """One offspring of two parents."""
    operators = []
    child = first
    if rng.random() < rates.crossover and first != second:
        child = crossover(first, second, rates.cuts, rng)
        operators.append("crossover")
    if space.min_depth < space.max_depth and rng.random() < rates.depth:
        changed, name = change_depth(child, space, rng)
        if changed != child:
            child = changed
            operators.append(name)
    mutated = mutate(child, space, rates, rng)
    if mutated != child:
        child = mutated
        operators.append("mutation")
    return settle(child, "+".join(operators) or "copy", space, rng)


def settle(genome: Genome, operator: str, space: SearchSpace, rng: np.random.Generator) -> Offspring:
    """An offspring from a genome that may be invalid: as it is, repaired, or rejected."""
    if not any(problems(genome, space.sizes)):
        return Offspring(genome, operator, "valid")
    if space.invalid == "reject":
        wrong = tuple(problem.name for problem in problems(genome, space.sizes))
        return Offspring(genome, operator, "rejected", wrong)
    repaired, names = repair(genome, space, rng)
    return Offspring(repaired, operator, "repaired", names)


def crossover(first: Genome, second: Genome, cuts: str, rng: np.random.Generator) -> Genome:
    """Two-point crossover: a middle part of the second parent in the place of the first's.

    The child is as deep as the first parent. Parents of unequal depth are cut within the depth
    they have in common.
    """
    if cuts == "gene":
        a, b = _flat(first), _flat(second)
    else:
        a, b = list(first.livs), list(second.livs)
    common = min(len(a), len(b))
    start, end = sorted(int(cut) for cut in rng.choice(common + 1, size=2, replace=False))
    child = [*a[:start], *b[start:end], *a[end:]]
    return _unflat(child) if cuts == "gene" else Genome(tuple(child))


def mutate(genome: Genome, space: SearchSpace, rates: VariationRates, rng: np.random.Generator) -> Genome:
    """Genes re-drawn on every level the space has open."""
    for layer in range(genome.depth):
        liv = genome.livs[layer]
        if BACKBONE in space.levels:
            liv = _mutate_backbone(liv, space, rates.mutation, rng)
        if OPERATOR in space.levels and rng.random() < rates.below:
            liv = replace(liv, operator=_mutate_operator(liv.operator, rng))
        if FEATURIZER in space.levels and rng.random() < rates.below:
            liv = replace(liv, operator=_mutate_featurizer(liv.operator, rng))
        genome = with_layer(genome, layer, liv)
    return genome


def change_depth(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> tuple[Genome, str]:
    """One layer more or less, within the space's depths; returns what was done."""
    possible = []
    if genome.depth < space.max_depth:
        possible += ["insert", "duplicate"]
    if genome.depth > space.min_depth:
        possible.append("delete")
    if not possible:
        return genome, "copy"
    name = possible[int(rng.integers(len(possible)))]
    livs = list(genome.livs)
    if name == "insert":
        livs.insert(int(rng.integers(len(livs) + 1)), sample_liv(space, rng))
    else:
        place = int(rng.integers(len(livs)))
        livs[place : place + 1] = [] if name == "delete" else [livs[place], livs[place]]
    return Genome(tuple(livs)), name


def _mutate_backbone(liv: LIVGenes, space: SearchSpace, rate: float, rng: np.random.Generator) -> LIVGenes:
    if rng.random() < rate:
        liv = replace(liv, operator=sample_operator(space, rng))
    for field in _SHARING_GENES:
        if rng.random() < rate:
            values = sorted(gene(BACKBONE, field.replace("_", " ")).values)
            if field.endswith("group"):
                values = values[: space.groups]
            liv = with_sharing(liv, field, int(rng.choice(values)))
    return liv


def _mutate_operator(operator: OperatorGenes, rng: np.random.Generator) -> OperatorGenes:
    """One gene of the operator level. Token mixing stays: to change it is to change the class."""
    if operator.layer:
        return operator
    choice = int(rng.integers(5))
    if choice == 0:
        fitting = [f for f in FEATURIZERS.values() if _fits(f, operator.token_mixing)]
        return replace(operator, features=fitting[int(rng.integers(len(fitting)))])
    if choice == 1:
        return replace(operator, differential=not operator.differential and operator.token_mixing != 1)
    name = ("sparsity", "nonlinearity", "channel mixing")[choice - 2]
    value = int(rng.choice(sorted(gene(OPERATOR, name).values)))
    return with_gene(operator, name.replace(" ", "_"), value)


def _fits(features: tuple, token_mixing: int) -> bool:
    return any(
        operator.features == features and operator.token_mixing == token_mixing
        for operator in OPERATORS.values()
    )


def _mutate_featurizer(operator: OperatorGenes, rng: np.random.Generator) -> OperatorGenes:
    """One gene of one feature group."""
    if operator.layer:
        return operator
    roles = ROLES[operator.token_mixing]
    table = genes(FEATURIZER)
    chosen = table[int(rng.integers(len(table)))]
    value = int(rng.choice(sorted(chosen.values)))
    return with_gene(operator, chosen.name.replace(" ", "_"), value, roles[int(rng.integers(len(roles)))])


def _flat(genome: Genome) -> list:
    return [
        value
        for liv in genome.livs
        for value in (liv.operator, *(getattr(liv, field) for field in _SHARING_GENES))
    ]


def _unflat(values: list) -> Genome:
    size = 1 + len(_SHARING_GENES)
    return Genome(tuple(LIVGenes(*values[i : i + size]) for i in range(0, len(values), size)))
