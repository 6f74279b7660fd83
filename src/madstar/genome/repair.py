"""Repair: genes that do not go together are re-sampled (STAR, arXiv 2411.17800, section 4.2)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from .genome import Genome, LIVGenes, OperatorGenes
from .space import SearchSpace
from .validity import Problem, problems, sharing_problems

# Each repair settles one gene for good or turns one sharing off; this bound is never met in practice.
_ROUNDS = 1000


def repair(genome: Genome, space: SearchSpace, rng: np.random.Generator) -> tuple[Genome, tuple[str, ...]]:
    """A valid genome, and the names of the genes that were re-sampled to make it so."""
    repaired: list[str] = []
    for _ in range(_ROUNDS):
        problem = next(problems(genome, space.sizes), None)
        if problem is None:
            return genome, tuple(repaired)
        genome, name = _resample(genome, problem, space, rng)
        repaired.append(name)
    raise AssertionError(f"repair does not end: {genome}")


def _resample(
    genome: Genome, problem: Problem, space: SearchSpace, rng: np.random.Generator
) -> tuple[Genome, str]:
    """The genome without that problem, and the name of the gene that was re-sampled."""
    liv = genome.livs[problem.layer]
    if problem.level == "backbone":
        if problem.gene in ("feature_group", "featurizer_group"):
            return _resample_group(genome, problem, space, rng)
        value = int(rng.choice(problem.legal))
        return with_layer(genome, problem.layer, with_sharing(liv, problem.gene, value)), problem.name
    value = int(rng.choice(problem.legal))
    operator = with_gene(liv.operator, problem.gene, value, problem.role)
    return with_layer(genome, problem.layer, replace(liv, operator=operator)), problem.name


def _resample_group(
    genome: Genome, problem: Problem, space: SearchSpace, rng: np.random.Generator
) -> tuple[Genome, str]:
    """Another group the layer fits into; where there is none, it no longer shares."""
    liv = genome.livs[problem.layer]
    fitting = []
    for group in range(1, space.groups + 1):
        candidate = with_layer(genome, problem.layer, with_sharing(liv, problem.gene, group))
        if not any(p.layer == problem.layer and p.gene == problem.gene for p in sharing_problems(candidate)):
            fitting.append(candidate)
    if fitting:
        return fitting[int(rng.integers(len(fitting)))], problem.name
    strategy = problem.gene.replace("group", "strategy")
    alone = with_layer(genome, problem.layer, with_sharing(liv, strategy, 1))
    return alone, problem.name.replace("group", "strategy")


def with_layer(genome: Genome, layer: int, liv: LIVGenes) -> Genome:
    """The genome with one layer replaced."""
    return Genome((*genome.livs[:layer], liv, *genome.livs[layer + 1 :]))


def with_sharing(liv: LIVGenes, gene: str, value: int) -> LIVGenes:
    """The layer with one of its four sharing genes replaced."""
    changed: dict[str, Any] = {gene: value}
    return replace(liv, **changed)


def with_gene(operator: OperatorGenes, gene: str, value: int, role: str | None = None) -> OperatorGenes:
    """The operator with one gene replaced: its own, or of the feature group of that role."""
    changed: dict[str, Any] = {gene: value}
    if role is None:
        return replace(operator, **changed)
    features = tuple(
        replace(genes, **changed) if name == role else genes
        for name, genes in zip(operator.roles, operator.features, strict=True)
    )
    return replace(operator, features=features)
