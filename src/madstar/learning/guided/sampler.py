"""A model of good genomes, learned from measured ones: layer by layer, gene by gene, from left to right.

The operator of a layer depends on the third of the depth it stands in and on the operators of the two
layers before; what it shares depends on its token mixing and on whether an earlier layer has what could be
shared. Each context backs off to the one with its farthest part left out, and the last to the space's own
distribution:

    p(x | c1..ck) = (n(c1..ck, x) + strength p(x | c1..c(k-1))) / (n(c1..ck) + strength),

with n a sum of the weights of the measured genomes (Pitman-Yor without discount; MacKay and Peto 1995, "A
hierarchical Dirichlet language model"). Better genomes weigh more: this is the model of an estimation of
distribution algorithm, with a memory as long as the run.

Group numbers mean nothing by themselves: two layers share where theirs are equal. So a layer's group is
learned as the group of which earlier layer it joins, counted from the last, or as a new one.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ...genome import CLASSES, Genome, LIVGenes, OperatorGenes, SearchSpace
from ...genome.genome import SHARED_ROLES

Context = tuple[int, ...]
Allowed = tuple[tuple[int, float], ...]
NEW = -1
_START = -1
# A space that never samples sharing may still be shown it.
_LEAST = 1e-9
_SHARED = ("featurizer", "feature")


class Decision(NamedTuple):
    """One step of writing a genome: what kind, in which context (the nearest part first), and what."""

    kind: str
    context: Context
    value: int


class Layer(NamedTuple):
    """A layer with its operator as a number; of each of `_SHARED`, strategy and group."""

    operator: int
    mixing: int
    strategies: tuple[int, int]
    groups: tuple[int, int]


class Sampler:
    """The model; `strength` is how much a context must have been seen before it is believed.

    `weights` may be of any positive scale; they are made to have mean one. Layers by name that the space does
    not offer, and token mixings that it has no class of, are learned from but never written.
    """

    def __init__(
        self, space: SearchSpace, genomes: Sequence[Genome], weights: Sequence[float], strength: float = 2.0
    ) -> None:
        self.space, self.strength = space, strength
        self._numbers: dict[OperatorGenes, int] = {}
        base = _base(space)
        for operator in base:
            self._number(operator)
        self._counts: defaultdict[tuple[str, Context], Counter[int]] = defaultdict(Counter)
        mean = float(np.mean(weights)) if len(weights) else 1.0
        for genome, weight in zip(genomes, weights, strict=True):
            for kind, context, value in self.decisions(genome):
                for length in range(len(context) + 1):
                    self._counts[kind, context[:length]][value] += weight / mean  # type: ignore[assignment]
        self._operators = tuple(self._numbers)
        # Mutation makes operators that are no class of the space: written where they were seen.
        offered = {operator.token_mixing for operator in base}
        self._writable: Allowed = tuple(
            (number, base.get(operator, 0.0))
            for operator, number in self._numbers.items()
            if operator in base or (operator.token_mixing in offered and not operator.layer)
        )
        depths = range(space.min_depth, space.max_depth + 1)
        self._depths: Allowed = tuple((depth, 1.0 / len(depths)) for depth in depths)
        self._edges: dict[tuple[str, Context, Allowed], np.ndarray] = {}

    def sample(self, rng: np.random.Generator) -> Genome:
        """A genome of the space; its genes go together."""
        depth = self._draw("depth", (), self._depths, rng)
        layers: list[Layer] = []
        for place in range(depth):
            number = self._draw("operator", _before(layers, place, depth), self._writable, rng)
            layers.append(self._shared(number, layers, rng))
        return Genome(tuple(self._liv(layer) for layer in layers))

    def decisions(self, genome: Genome) -> Iterator[Decision]:
        """The decisions that write a genome, in their order; operators are numbered as they are seen."""
        yield Decision("depth", (), genome.depth)
        layers: list[Layer] = []
        for place, liv in enumerate(genome.livs):
            layer = Layer(
                self._number(liv.operator),
                liv.operator.token_mixing,
                (liv.featurizer_strategy, liv.feature_strategy),
                (liv.featurizer_group, liv.feature_group),
            )
            yield Decision("operator", _before(layers, place, genome.depth), layer.operator)
            if not liv.operator.layer:
                for which, what in enumerate(_SHARED):
                    strategy = layer.strategies[which]
                    yield Decision(what, _able(layer.operator, layer.mixing, layers, which), strategy)
                    if strategy > 1:
                        partners = _partners(layer.operator, layers, which, strategy)
                        group = layer.groups[which]
                        joined = partners.index(group) if group in partners else NEW
                        yield Decision(f"{what} group", (layer.mixing,), joined)
            layers.append(layer)

    def chances(self, kind: str, context: Context, allowed: Allowed) -> np.ndarray:
        """The chance of each allowed value; with each stands what it has before anything was seen."""
        found = np.array([chance for _, chance in allowed])
        found = found / found.sum()
        for length in range(len(context) + 1):
            seen = self._counts.get((kind, context[:length]))
            if not seen:
                break
            held = np.array([seen.get(value, 0.0) for value, _ in allowed])
            found = (held + self.strength * found) / (held.sum() + self.strength)
        return found

    def _shared(self, number: int, layers: list[Layer], rng: np.random.Generator) -> Layer:
        operator = self._operators[number]
        strategies, groups = [1, 1], [1, 1]
        for which, what in enumerate(() if operator.layer else _SHARED):
            able = _able(number, operator.token_mixing, layers, which)
            strategy = self._draw(what, able, self._strategies(operator.token_mixing, which), rng)
            partners = _partners(number, layers, which, strategy)
            free = self._free(layers, which)
            if strategy > 1 and (partners or free):
                places = [*range(len(partners)), *([NEW] if free else [])]
                allowed = tuple((place, 1.0 / len(places)) for place in places)
                joined = self._draw(f"{what} group", (operator.token_mixing,), allowed, rng)
                strategies[which] = strategy
                groups[which] = free[0] if joined == NEW else partners[joined]
        return Layer(number, operator.token_mixing, (strategies[0], strategies[1]), (groups[0], groups[1]))

    def _draw(self, kind: str, context: Context, allowed: Allowed, rng: np.random.Generator) -> int:
        key = kind, context, allowed
        edges = self._edges.get(key)
        if edges is None:
            edges = self._edges[key] = np.cumsum(self.chances(kind, context, allowed))
        place = int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))
        return allowed[min(place, len(allowed) - 1)][0]

    def _free(self, layers: Sequence[Layer], which: int) -> list[int]:
        """The groups in which no layer shares."""
        taken = {layer.groups[which] for layer in layers if layer.strategies[which] > 1}
        return [group for group in range(1, self.space.groups + 1) if group not in taken]

    def _strategies(self, mixing: int, which: int) -> Allowed:
        """As random genomes share: not at all, or in one of the ways that the token mixing has."""
        ways = (2,) if which == 0 else sorted(SHARED_ROLES[mixing])[1:]
        shared = self.space.sharing + _LEAST
        return ((1, 1 - self.space.sharing + _LEAST), *((way, shared / len(ways)) for way in ways))

    def _liv(self, layer: Layer) -> LIVGenes:
        (weights, features), (weight_group, feature_group) = layer.strategies, layer.groups
        return LIVGenes(self._operators[layer.operator], weight_group, weights, feature_group, features)

    def _number(self, operator: OperatorGenes) -> int:
        return self._numbers.setdefault(operator, len(self._numbers))


def _base(space: SearchSpace) -> dict[OperatorGenes, float]:
    """As random genomes are drawn: a token mixing first, then a class of it."""
    by_mixing: defaultdict[int, list[OperatorGenes]] = defaultdict(list)
    for number in space.classes:
        by_mixing[CLASSES[number].token_mixing].append(CLASSES[number])
    groups = [by_mixing[mixing] for mixing in sorted(by_mixing)]
    return {operator: 1 / len(group) / len(groups) for group in groups for operator in group}


def _before(layers: Sequence[Layer], place: int, depth: int) -> Context:
    """The third of the depth, the operator before, the one before that."""
    last = layers[-1].operator if layers else _START
    second = layers[-2].operator if len(layers) > 1 else _START
    return (place * 3 // depth, last, second)


def _able(operator: int, mixing: int, layers: Sequence[Layer], which: int) -> Context:
    return mixing, int(bool(_partners(operator, layers, which)))


def _partners(operator: int, layers: Sequence[Layer], which: int, strategy: int = 0) -> list[int]:
    """Groups that a layer of this operator (and this strategy, where it is given) may join, nearest first."""
    found = [
        layer.groups[which]
        for layer in reversed(layers)
        if layer.operator == operator
        and layer.strategies[which] > 1
        and strategy in (0, layer.strategies[which])
    ]
    return list(dict.fromkeys(found))
