"""Removed edges by rules and counts: the node before, what is unused, what fits, what often goes there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float

from ..datasets.answers import Sources
from ..datasets.examples import Links
from ..hiding import without_edges
from ..view import GraphView
from .learner import Views
from .wiring import Wiring, wiring


@dataclass(frozen=True)
class Asked:
    """What is seen of an example: the wiring left, the shapes of first outputs, the places asked.

    `places` are (target, position) of the removed edges, then of the decoys; `sources` answer the former.
    """

    shown: Wiring
    shapes: tuple[object, ...]
    outputs: frozenset[int]
    places: tuple[tuple[int, int], ...]
    sources: tuple[int, ...]


def asked(examples: Sequence[Links], views: Views) -> Iterator[Asked]:
    """The question of each example, in order."""
    for example in examples:
        view = views[example.entry]
        left = without_edges(view, example.removed)
        gone = [view.edges[number] for number in example.removed]
        yield Asked(
            wiring(left),
            tuple(n.outputs[0].shape if n.outputs else () for n in left.nodes),
            frozenset(view.outputs),
            (*((e.target, e.position) for e in gone), *example.decoys),
            tuple(e.source for e in gone),
        )


class Positions:
    """How often each operation has something at each position: what a gap there is judged by."""

    def __init__(self, views: Sequence[GraphView]) -> None:
        self.nodes: Counter[str] = Counter()
        self.filled: Counter[tuple[str, int]] = Counter()
        for view in views:
            self.nodes.update(node.op for node in view.nodes)
            ends = {(e.target, e.position) for e in view.edges if e.kind == "data"}
            self.filled.update((view.nodes[target].op, position) for target, position in ends)

    def missing(self, question: Asked) -> Float[np.ndarray, " asked"]:
        """The share of such operations that have an argument there, smoothed."""
        ops = [(question.shown.ops[target], position) for target, position in question.places]
        return np.array([(self.filled[key] + 0.2) / (self.nodes[key[0]] + 1) for key in ops])


class Previous:
    """The node just before, then the one before that."""

    name = "previous node"

    def fit(self, train: Sequence[Links], valid: Sequence[Links], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        self.positions = Positions([views[entry] for entry in dict.fromkeys(e.entry for e in train)])

    def predict(self, examples: Sequence[Links], views: Views) -> list[Sources]:
        """An answer for each; see `Learner.predict`."""
        return [
            Sources(
                tuple(np.arange(float(target)) for target, _ in q.places[: len(q.sources)]),
                self.positions.missing(q),
            )
            for q in asked(examples, views)
        ]


class Combined:
    """What nothing takes yet, of the shape of the target's result, lately; the weights of these are learned.

    Each of a few weights is tried on examples of training; the mean reciprocal rank chooses.
    """

    name = "unconsumed + shape + recent"
    tried = 150

    def fit(self, train: Sequence[Links], valid: Sequence[Links], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        self.positions = Positions([views[entry] for entry in dict.fromkeys(e.entry for e in train)])
        rng = np.random.default_rng([seed, 3])
        few = [train[i] for i in rng.permutation(len(train))[: self.tried]]
        rows = [
            (_facts(question, target), source)
            for question in asked(few, views)
            for (target, _), source in zip(question.places, question.sources, strict=False)
        ]
        choices = [np.array(w) for w in product((0.0, 1.0, 2.0, 4.0), (0.0, 0.5, 1.0, 2.0), (0.0, 0.5, 1.0))]
        found = [sum(_reciprocal(facts @ (*w, 1.0), source) for facts, source in rows) for w in choices]
        self.weights = np.array([*choices[int(np.argmax(found))], 1.0])

    def predict(self, examples: Sequence[Links], views: Views) -> list[Sources]:
        """An answer for each; see `Learner.predict`."""
        return [
            Sources(
                tuple(_facts(q, target) @ self.weights for target, _ in q.places[: len(q.sources)]),
                self.positions.missing(q),
            )
            for q in asked(examples, views)
        ]


def _facts(question: Asked, target: int) -> Float[np.ndarray, "earlier 4"]:
    """For each earlier node: unused, of the target's shape, of its other arguments' shape, nearness."""
    shown, shapes = question.shown, question.shapes
    partners = {shapes[source] for _, source in shown.parents[target]}
    numbers = np.arange(target)
    return np.stack(
        [
            np.array([not shown.children[i] and i not in question.outputs for i in numbers], float),
            np.array([shapes[i] == shapes[target] for i in numbers], float),
            np.array([shapes[i] in partners for i in numbers], float),
            -np.log2(target - numbers),
        ],
        axis=1,
    )


def _reciprocal(scores: np.ndarray, source: int) -> float:
    above = (scores > scores[source]).sum() + ((scores == scores[source]).sum() - 1) / 2
    return 1 / (1 + float(above))


class Pairs:
    """Which operations give which argument of which operation, and from how far, counted and smoothed."""

    name = "pairs of operations"

    def fit(self, train: Sequence[Links], valid: Sequence[Links], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        known = [views[entry] for entry in dict.fromkeys(e.entry for e in train)]
        self.positions = Positions(known)
        self.table = PairTable(wiring(view) for view in known)

    def predict(self, examples: Sequence[Links], views: Views) -> list[Sources]:
        """An answer for each; see `Learner.predict`."""
        return [
            Sources(
                tuple(
                    self.table.scores(q.shown.ops, q.shown.ops[target], position, target)
                    for target, position in q.places[: len(q.sources)]
                ),
                self.positions.missing(q),
            )
            for q in asked(examples, views)
        ]


class PairTable:
    """log P(the source's operation | target's, position) + log P(distance | target's operation, position)."""

    def __init__(self, wirings: Iterator[Wiring]) -> None:
        self.sources: dict[object, Counter[str]] = defaultdict(Counter)
        self.far: dict[object, Counter[int]] = defaultdict(Counter)
        self.all: Counter[str] = Counter()
        for w in wirings:
            self.all.update(w.ops)
            for target, parents in enumerate(w.parents):
                for position, source in parents:
                    key = w.ops[target], min(position, 3)
                    self.sources[key][w.ops[source]] += 1
                    self.far[key][_bucket(target - source)] += 1
        self.total = sum(self.all.values())

    def scores(self, ops: Sequence[str], op: str, position: int, target: int) -> Float[np.ndarray, " target"]:
        """Of the nodes before the target as the source of its argument."""
        key = op, min(position, 3)
        sources, far = self.sources.get(key, Counter()), self.far.get(key, Counter())
        n, m = sum(sources.values()), sum(far.values())
        log = {
            each: np.log((sources[each] + 5 * (self.all[each] + 0.1) / (self.total + 1)) / (n + 5))
            for each in set(ops[:target])
        }
        near = np.array([_bucket(d) for d in range(target, 0, -1)], int)
        width = np.exp2(np.arange(16)) / 2  # how many distances share a bucket
        distances = np.log((np.array([far[b] for b in range(16)]) + 1) / (m + 16) / np.maximum(width, 1))
        base = np.array([log[each] for each in ops[:target]]).reshape(target)
        found: np.ndarray = base + distances[near] if target else base
        return found


def _bucket(distance: int) -> int:
    return min(int(distance).bit_length(), 15)
