"""Random genomes of a run's space that keep its static constraints: what chance alone would give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from ..genome import Genome, SearchSpace, compile_genome, sample
from ..genome.variation import settle
from ..liv import BackboneSpec, LayerSpec, cost
from ..objectives import STATIC, Constraint, Subject, parse_constraint
from .patterns import Pattern, patterns

# Where constraints reject most genomes: how many are drawn for each one wanted.
_DRAWS = 4
# Of a user's own static objective, which is measured on each whole genome.
_SLOW_DRAWS = 500


@dataclass(frozen=True)
class Background:
    """Random genomes; `drawn` were sampled to find them. `counts` says how many hold each pattern."""

    genomes: tuple[Genome, ...]
    drawn: int
    counts: Counter[Pattern]

    def share(self, pattern: Pattern) -> float:
        """The share of genomes with the pattern."""
        return self.counts[pattern] / len(self.genomes) if self.genomes else float("nan")


@lru_cache(maxsize=16)
def background(
    space: SearchSpace, constraints: tuple[str, ...], length: int, count: int, seed: int
) -> Background:
    """Up to `count` genomes as a random search of the space would train them.

    Sampled and settled as the first population is; those that break a static constraint, at a training
    length of `length` tokens, are dropped. Measured constraints are not applied. There may be fewer
    genomes than asked for, even none, where most are dropped.
    """
    bounds = StaticBounds(constraints, space, length)
    rng = np.random.default_rng([seed, 0])
    genomes: list[Genome] = []
    drawn, most = 0, count * _DRAWS if bounds.fast else _SLOW_DRAWS
    while len(genomes) < count and drawn < most:
        drawn += 1
        offspring = settle(sample(space, rng), "random", space, rng)
        if offspring.validity != "rejected" and bounds.keep(offspring.genome):
            genomes.append(offspring.genome)
    counts: Counter[Pattern] = Counter()
    for genome in genomes:
        counts.update(patterns(genome))
    return Background(tuple(genomes), drawn, counts)


class StaticBounds:
    """A run's static constraints, checked fast for many genomes.

    Parameters, cache and FLOPs of a backbone are sums over layers, but for layers that share, which
    count together. So each group of layers that share is costed once, alone, and remembered. Other
    static objectives are measured on the whole genome (`fast` is then False).
    """

    def __init__(self, constraints: tuple[str, ...], space: SearchSpace, length: int) -> None:
        parsed = [parse_constraint(text) for text in constraints]
        self.constraints = tuple(c for c in parsed if c.objective.kind == STATIC)
        self.space, self.length = space, length
        self.fast = all(_additive(c.objective.name, length) is not None for c in self.constraints)
        self._costs: dict[tuple[tuple[LayerSpec, ...], str], float] = {}

    def keep(self, genome: Genome) -> bool:
        """Whether a valid genome keeps every static constraint."""
        if not self.constraints:
            return True
        spec = compile_genome(genome, self.space.sizes)
        return all(c.holds(self.value(c, genome, spec)) for c in self.constraints)

    def value(self, constraint: Constraint, genome: Genome, spec: BackboneSpec) -> float:
        """What the constraint bounds."""
        name = constraint.objective.name
        if _additive(name, self.length) is None:
            subject = Subject(genome, self.space.sizes, self.length)
            return constraint.objective.measure(subject).value
        empty = self._cost(spec, (), name)
        return empty + sum(self._cost(spec, part, name) - empty for part in linked(spec.layers))

    def _cost(self, spec: BackboneSpec, layers: tuple[LayerSpec, ...], name: str) -> float:
        key = layers, name
        if key not in self._costs:
            figure, at = _additive(name, self.length) or ("", 0)
            whole = cost(replace(spec, layers=layers), at)
            self._costs[key] = getattr(whole, figure) / (at if figure == "flops" else 1)
        return self._costs[key]


def _additive(name: str, length: int) -> tuple[str, int] | None:
    """The field of `Cost` and the length that a built-in objective stands for; None for all others."""
    base, _, at = name.partition("@")
    field = {"parameters": "parameters", "cache": "cache_bytes", "flops": "flops"}.get(base)
    return None if field is None else (field, int(at) if at else length)


def linked(layers: tuple[LayerSpec, ...]) -> Iterator[tuple[LayerSpec, ...]]:
    """The layers in groups that share nothing with one another, each numbered as if it were alone."""
    group = list(range(len(layers)))  # of each layer, the least layer it is linked with
    pools: dict[int, int] = {}
    for index, layer in enumerate(layers):
        links = [] if layer.features_from is None else [layer.features_from]
        if layer.featurizer_pool is not None:
            links.append(pools.setdefault(layer.featurizer_pool, index))
        for other in links:
            old, new = sorted((group[index], group[other]), reverse=True)
            group = [new if held == old else held for held in group]
    for least in dict.fromkeys(group):
        yield _alone(layers, [index for index, held in enumerate(group) if held == least])


def _alone(layers: tuple[LayerSpec, ...], members: list[int]) -> tuple[LayerSpec, ...]:
    places = {index: place for place, index in enumerate(members)}
    pools: dict[int, int] = {}
    return tuple(
        replace(
            layers[index],
            featurizer_pool=None
            if layers[index].featurizer_pool is None
            else pools.setdefault(int(layers[index].featurizer_pool or 0), len(pools)),
            features_from=None
            if layers[index].features_from is None
            else places[int(layers[index].features_from or 0)],
        )
        for index in members
    )
