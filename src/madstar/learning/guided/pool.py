"""Genomes to choose from: offspring, random ones, ones that the model of good genomes writes, known good
ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ...genome import Genome, SearchSpace, sample, vary
from ...genome.variation import VariationRates, settle
from ...search.strategies.contract import Proposal
from .sampler import Sampler


@dataclass(frozen=True)
class Parent:
    """A genome that may be varied, and the numbers of the proposals that a child of it comes from."""

    genome: Genome
    numbers: tuple[int, ...]


def random_ones(space: SearchSpace, count: int, rng: np.random.Generator) -> list[Proposal]:
    """Random genomes, settled."""
    return [Proposal(settle(sample(space, rng), "random", space, rng)) for _ in range(count)]


def generated(sampler: Sampler, count: int, rng: np.random.Generator) -> list[Proposal]:
    """Genomes that the model of good ones writes, settled."""
    space = sampler.space
    return [Proposal(settle(sampler.sample(rng), "generated", space, rng)) for _ in range(count)]


def offspring(
    parents: Sequence[Parent],
    count: int,
    space: SearchSpace,
    rates: VariationRates,
    rng: np.random.Generator,
    prefix: str = "",
) -> list[Proposal]:
    """Children of parents that are in order, best first, chosen by tournaments of two."""
    made = []
    for _ in range(count if len(parents) > 1 else 0):
        first = _tournament(len(parents), rng)
        second = _tournament(len(parents) - 1, rng)
        second += second >= first
        one, other = parents[first], parents[second]
        child = vary(one.genome, other.genome, space, rates, rng)
        numbers = one.numbers
        if "crossover" in child.operator:
            numbers = tuple(dict.fromkeys((*one.numbers, *other.numbers)))
        named = type(child)(child.genome, f"{prefix}{child.operator}", child.validity, child.repaired_genes)
        made.append(Proposal(named, numbers[:2]))
    return made


def distinct(made: Iterable[Proposal], taken: Callable[[Genome], bool]) -> list[Proposal]:
    """Those that were not rejected, the first of each genome, without those that are taken."""
    found: dict[Genome, Proposal] = {}
    for proposal in made:
        genome = proposal.offspring.genome
        if proposal.offspring.validity != "rejected" and not taken(genome):
            found.setdefault(genome, proposal)
    return list(found.values())


def _tournament(count: int, rng: np.random.Generator) -> int:
    return int(rng.integers(count, size=2).min())
