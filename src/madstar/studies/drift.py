"""What winners would hold if no pattern mattered: genes dropped anew through the run's own pedigree.

Winners of an evolution are relatives. What one founder happened to hold, many of its descendants hold,
whether or not it helps, and variation has leanings of its own: operators that are in no table arise by
mutation only. So each replicate keeps who descends from whom, and by which operators of variation, but
gives every founder a fresh random genome and varies anew down to the winners (gene dropping: MacCluer
et al. 1986, Zoo Biology 5). How often a pattern is then among the winners is what drift alone gives.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..archive import CandidateRow
from ..genome import Genome, SearchSpace
from ..genome.variation import VariationRates, change_depth, crossover, mutate, settle
from ..search.strategies.neighbourhood import neighbour
from .background import StaticBounds
from .patterns import Pattern, patterns

SEED = "seed:"
_DEPTHS = frozenset({"insert", "delete", "duplicate"})
# Offspring that are invalid, infeasible or there already are drawn again, as the search goes on.
_TRIES = 12
_LEAST_SUM = 1e-9

Family = tuple[str, str, int]


@dataclass(frozen=True)
class Pedigree:
    """Winners and all their ancestors, in the order they were proposed."""

    rows: tuple[CandidateRow, ...]
    winners: tuple[int, ...]

    @classmethod
    def of(cls, candidates: Sequence[CandidateRow], winners: Sequence[int]) -> Pedigree:
        """The pedigree of winners, given by their numbers, among a run's candidates."""
        by_index = {row.index: row for row in candidates}
        found: set[int] = set()
        open_ones = list(winners)
        while open_ones:
            index = open_ones.pop()
            if index not in found:
                found.add(index)
                open_ones += by_index[index].parents
        return cls(tuple(by_index[index] for index in sorted(found)), tuple(winners))

    @property
    def founders(self) -> tuple[int, ...]:
        """Those without parents."""
        return tuple(row.index for row in self.rows if not row.parents)

    @property
    def planted(self) -> tuple[int, ...]:
        """Founders that were not drawn at random, but given: known good motifs."""
        return tuple(row.index for row in self.rows if not row.parents and row.operator.startswith(SEED))

    @property
    def offspring(self) -> int:
        """How many were varied from parents."""
        return len(self.rows) - len(self.founders)


@dataclass(frozen=True)
class Drift:
    """What drift gives: `held` counts winners with a pattern over all replicates.

    `correlation` is, by family of patterns, the correlation of two winners in holding one (0 for
    independent genomes, 1 for copies): how much two of them are one by descent.
    """

    replicates: int
    winners: int
    held: Counter[Pattern]
    correlation: dict[Family, float]

    def share(self, pattern: Pattern) -> float:
        """The expected share of winners with the pattern."""
        return self.held[pattern] / (self.replicates * self.winners)

    def effective(self, family: Family) -> float:
        """How many independent genomes the winners are worth in patterns of a family."""
        return self.winners / (1 + (self.winners - 1) * self.correlation.get(family, 0.0))


def drift(
    pedigree: Pedigree,
    pool: Sequence[Genome],
    space: SearchSpace,
    rates: VariationRates,
    bounds: StaticBounds,
    *,
    replicates: int,
    rng: np.random.Generator,
) -> Drift:
    """Drop genes through a pedigree `replicates` times, its founders drawn from a pool of genomes."""
    count = len(pedigree.winners)
    sums: Counter[Pattern] = Counter()
    squares: Counter[Pattern] = Counter()
    for _ in range(replicates):
        held: Counter[Pattern] = Counter()
        for genome in drop(pedigree, pool, space, rates, bounds, rng):
            held.update(patterns(genome))
        for pattern, number in held.items():
            sums[pattern] += number
            squares[pattern] += number * number
    return Drift(replicates, count, sums, _correlations(sums, squares, count, replicates))


def drop(
    pedigree: Pedigree,
    pool: Sequence[Genome],
    space: SearchSpace,
    rates: VariationRates,
    bounds: StaticBounds,
    rng: np.random.Generator,
) -> list[Genome]:
    """The winners' genomes in one replicate. Planted founders keep theirs."""
    genomes: dict[int, Genome] = {}
    taken: set[Genome] = set()
    planted = set(pedigree.planted)
    for row in pedigree.rows:
        if row.index in planted:
            genome = Genome.parse(row.genome)
        elif not row.parents:
            genome = pool[int(rng.integers(len(pool)))]
        else:
            parents = [genomes[parent] for parent in row.parents]
            genome = _child(row.operator, parents, taken, space, rates, bounds, rng)
        genomes[row.index] = genome
        taken.add(genome)
    return [genomes[index] for index in pedigree.winners]


def _child(
    operator: str,
    parents: list[Genome],
    taken: set[Genome],
    space: SearchSpace,
    rates: VariationRates,
    bounds: StaticBounds,
    rng: np.random.Generator,
) -> Genome:
    """A child that the search could have trained; after too many tries a copy of its first parent."""
    for _ in range(_TRIES):
        child = _varied(operator, parents, space, rates, rng)
        if child is not None and child not in taken and (not bounds.fast or bounds.keep(child)):
            return child
    return parents[0]


def _varied(
    operator: str, parents: list[Genome], space: SearchSpace, rates: VariationRates, rng: np.random.Generator
) -> Genome | None:
    """A child by the operators that made the real one; None where it is rejected."""
    if operator.startswith("neighbour"):
        moved = neighbour(parents[0], space, rng)
        return None if moved is None else moved[0]
    names = operator.rpartition(":")[2].split("+")
    child = parents[0]
    if "crossover" in names and len(parents) > 1:
        child = crossover(child, parents[1], rates.cuts, rng)
    if _DEPTHS & set(names):
        child = change_depth(child, space, rng)[0]
    if "mutation" in names or child == parents[0]:
        child = mutate(child, space, rates, rng)
    offspring = settle(child, operator, space, rng)
    return None if offspring.validity == "rejected" else offspring.genome


def _correlations(
    sums: Counter[Pattern], squares: Counter[Pattern], count: int, replicates: int
) -> dict[Family, float]:
    """Of each family, from how much more the number of winners varies than independent ones would.

    The variance of that number is n m (1 - m) (1 + (n - 1) r) for a pattern of share m. Ratio of sums
    over the family's patterns, since one pattern alone says little.
    """
    excess: defaultdict[Family, float] = defaultdict(float)
    scale: defaultdict[Family, float] = defaultdict(float)
    if count < 2 or replicates < 2:
        return {}
    for pattern, total in sums.items():
        share = total / (replicates * count)
        variance = (squares[pattern] - total * total / replicates) / (replicates - 1)
        independent = count * share * (1 - share)
        excess[pattern.family] += variance - independent
        scale[pattern.family] += (count - 1) * independent
    return {
        family: min(1.0, max(0.0, excess[family] / scale[family]))
        for family in excess
        if scale[family] > _LEAST_SUM
    }
