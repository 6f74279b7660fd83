"""What is missing from a graph, by counts: edges never seen, unlikely chains, odd arities, a forest."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float

from ..datasets.answers import Suspicion
from ..datasets.examples import Incomplete
from ..hiding import place, without
from .echoes import Echoes, around_gap
from .forest import CountForest, neighbour_counts
from .learner import Views
from .wiring import NONE, Wiring, wiring

Places = Float[np.ndarray, " nodes"]


class Rule(Protocol):
    """Knows training graphs and says how odd each node of another is."""

    def learn(self, known: Sequence[Wiring]) -> None:
        """Count what is usual."""

    def oddness(self, w: Wiring) -> Places:
        """Of each node; higher is odder."""


class ByRule:
    """A graph is as odd as its oddest nodes: the mean of the three oddest, so that one rarity counts less."""

    def __init__(self, name: str, rule: Rule) -> None:
        self.name, self.rule = name, rule

    def fit(self, train: Sequence[Incomplete], valid: Sequence[Incomplete], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        self.rule.learn([wiring(views[entry]) for entry in dict.fromkeys(e.entry for e in train)])

    def predict(self, examples: Sequence[Incomplete], views: Views) -> list[Suspicion]:
        """An answer for each; see `Learner.predict`."""
        found = []
        for example in examples:
            places = self.rule.oddness(wiring(without(views[example.entry], example.deleted)))
            found.append(Suspicion(_oddest(places), places))
        return found


def _oddest(places: Places) -> float:
    return float(np.sort(places)[-3:].mean()) if len(places) else 0.0


class UnseenPairs:
    """How many of a node's edges join operations that no training graph joins."""

    def learn(self, known: Sequence[Wiring]) -> None:
        """Count what is usual."""
        self.seen = {pair for w in known for node in range(len(w)) for pair in self._pairs(w, node)}

    def oddness(self, w: Wiring) -> Places:
        """Of each node; higher is odder."""
        return np.array(
            [sum(p not in self.seen for p in self._pairs(w, node)) for node in range(len(w))], float
        )

    @staticmethod
    def _pairs(w: Wiring, node: int) -> list[tuple[str, str, int]]:
        return [(w.ops[p], w.ops[node], min(position, 3)) for position, p in w.parents[node]]


class Chains:
    """How unlikely a node is after what it takes from and the one before: -log P(op | parent, its parent)."""

    def learn(self, known: Sequence[Wiring]) -> None:
        """Count what is usual."""
        self.three: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        self.two: dict[str, Counter[str]] = defaultdict(Counter)
        self.one: Counter[str] = Counter()
        for w in known:
            for node, op in enumerate(w.ops):
                self.one[op] += 1
                for first, second in self._before(w, node):
                    self.two[first][op] += 1
                    self.three[first, second][op] += 1
        self.totals = {id(c): sum(c.values()) for c in (self.one, *self.two.values(), *self.three.values())}

    def oddness(self, w: Wiring) -> Places:
        """Of each node; higher is odder."""
        return np.array(
            [
                max((self._surprise(op, *before) for before in self._before(w, node)), default=0.0)
                for node, op in enumerate(w.ops)
            ]
        )

    @staticmethod
    def _before(w: Wiring, node: int) -> Iterator[tuple[str, str]]:
        for _, parent in w.parents[node]:
            above = [w.ops[g] for _, g in w.parents[parent]] or [NONE]
            for op in dict.fromkeys(above):
                yield w.ops[parent], op

    def _surprise(self, op: str, first: str, second: str) -> float:
        p = (self.one[op] + 0.5) / (self.totals[id(self.one)] + 0.5 * (len(self.one) + 1))
        for counts in (self.two.get(first), self.three.get((first, second))):
            if counts:
                total, kinds = self.totals[id(counts)], len(counts)
                p = (counts[op] + kinds * p) / (total + kinds)
        return -float(np.log(p))


class Arity:
    """Whether an operation has a number of arguments and takers that it seldom has: -log of how often."""

    def learn(self, known: Sequence[Wiring]) -> None:
        """Count what is usual."""
        self.arguments: dict[str, Counter[int]] = defaultdict(Counter)
        for w in known:
            for node, op in enumerate(w.ops):
                self.arguments[op][len(w.parents[node])] += 1

    def oddness(self, w: Wiring) -> Places:
        """Of each node; higher is odder."""
        return np.array([self._one(op, len(w.parents[node])) for node, op in enumerate(w.ops)])

    def _one(self, op: str, arguments: int) -> float:
        counts = self.arguments.get(op, Counter())
        return -float(np.log((counts[arguments] + 0.5) / (sum(counts.values()) + 1)))


class GapForest:
    """A forest over a node's neighbours that tells gaps; a graph is judged by its three likeliest.

    With `echoes` it also sees how often what stands around the node stands elsewhere in the graph.
    """

    others = 24
    reach = 2

    def __init__(self, name: str = "forest", echoes: bool = False) -> None:
        self.name, self.echoes = name, echoes

    def fit(self, train: Sequence[Incomplete], valid: Sequence[Incomplete], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        rng = np.random.default_rng([seed, 4])
        rows, labels = [], []
        for example in train:
            view = views[example.entry]
            w = wiring(without(view, example.deleted))
            gap = place(view, example.deleted) if example.deleted >= 0 else -1
            chosen = rng.permutation(len(w))[: self.others].tolist()
            nodes = list({*chosen, gap} - {-1})
            rows += self._rows(w, nodes)
            labels += ["gap" if node == gap else "none" for node in nodes]
        self.model = CountForest()
        self.model.fit(rows, labels, seed)

    def predict(self, examples: Sequence[Incomplete], views: Views) -> list[Suspicion]:
        """An answer for each; see `Learner.predict`."""
        found = []
        for example in examples:
            w = wiring(without(views[example.entry], example.deleted))
            places = self.model.probability(self._rows(w, range(len(w))), "gap")
            found.append(Suspicion(_oddest(places), places))
        return found

    def _rows(self, w: Wiring, nodes: Sequence[int]) -> list[Counter[str]]:
        rows = [neighbour_counts(w, node, self.reach) | Counter({f"is {w.ops[node]}": 1}) for node in nodes]
        if self.echoes:
            whole = Echoes()
            for node in range(len(w)):
                whole.add(around_gap(w, node), "")
            for node, row in zip(nodes, rows, strict=True):
                row.update(whole.row(around_gap(w, node)))
        return rows
