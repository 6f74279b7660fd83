"""What comes next, by counts: the operation from those before it, its sources from pairs of operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from ..datasets.answers import Next
from ..datasets.examples import Completion
from .echoes import Echoes, before
from .forest import CountForest
from .learner import Views
from .links import PairTable
from .ngrams import Ngrams
from .wiring import NONE, Wiring, wiring

Scores = Float[np.ndarray, " given"]


def _places(w: Wiring, given: int) -> list[int]:
    """How many sources are asked, which is told: one for each data edge into the node, with its position."""
    return [position for position, _ in w.parents[given]]


class MajorityNext:
    """The commonest operation, fed by the nodes just before."""

    name = "majority + previous node"

    def fit(self, train: Sequence[Completion], valid: Sequence[Completion], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        counts = Counter(views[example.entry].nodes[example.given].op for example in train)
        self.op = min(counts, key=lambda op: (-counts[op], op))

    def predict(self, examples: Sequence[Completion], views: Views) -> list[Next]:
        """An answer for each; see `Learner.predict`."""
        return [
            Next(self.op, tuple(_recent(e.given) for _ in _places(wiring(views[e.entry]), e.given)))
            for e in examples
        ]


def _recent(given: int) -> Scores:
    return np.arange(float(given))


class NgramNext:
    """The likeliest operation after the two before; sources by pairs of operations, or the nodes before."""

    def __init__(self, name: str, pairs: bool) -> None:
        self.name, self.pairs = name, pairs

    def fit(self, train: Sequence[Completion], valid: Sequence[Completion], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        known = [wiring(views[entry]) for entry in dict.fromkeys(e.entry for e in train)]
        self.model = Ngrams(w.ops for w in known)
        self.table = PairTable(iter(known)) if self.pairs else None

    def predict(self, examples: Sequence[Completion], views: Views) -> list[Next]:
        """An answer for each; see `Learner.predict`."""
        found = []
        for example in examples:
            w = wiring(views[example.entry])
            op = self._operation([NONE, NONE, *w.ops[: example.given]][-2:])
            found.append(Next(op, _sources(self.table, w, example.given, op)))
        return found

    def _operation(self, before: Sequence[str]) -> str:
        second, first = self.model.numbers(before)
        scores = self.model.three[second, first].copy()
        scores[:2] = 0
        return self.model.words[int(scores.argmax())]


def _sources(table: PairTable | None, w: Wiring, given: int, op: str) -> tuple[Scores, ...]:
    places = _places(w, given)
    if table is None:
        return tuple(_recent(given) for _ in places)
    return tuple(table.scores(w.ops[:given], op, position, given) for position in range(len(places)))


class ForestNext:
    """A forest over the operations before, near and far, and over those that nothing takes yet.

    With `echoes` it also sees what came before in the graph after the same operations.
    """

    reach = 6

    def __init__(self, name: str = "forest", echoes: bool = False) -> None:
        self.name, self.echoes = name, echoes

    def fit(self, train: Sequence[Completion], valid: Sequence[Completion], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        known = {entry: wiring(views[entry]) for entry in dict.fromkeys(e.entry for e in train)}
        self.table = PairTable(iter(known.values()))
        rng = np.random.default_rng([seed, 5])
        rows, labels = [], []
        for w in known.values():
            able = np.arange(1, len(w))
            chosen = rng.permutation(able)[:64].tolist()
            rows += self._rows(w, chosen)
            labels += [w.ops[given] for given in chosen]
        self.model = CountForest()
        self.model.fit(rows, labels, seed)

    def predict(self, examples: Sequence[Completion], views: Views) -> list[Next]:
        """An answer for each; see `Learner.predict`."""
        wirings = [wiring(views[e.entry]) for e in examples]
        rows = [row for w, e in zip(wirings, examples, strict=True) for row in self._rows(w, [e.given])]
        return [
            Next(op, _sources(self.table, w, e.given, op))
            for op, w, e in zip(self.model.predict(rows), wirings, examples, strict=True)
        ]

    def _rows(self, w: Wiring, places: Sequence[int]) -> list[Counter[str]]:
        """Of each place what the nodes before it say."""
        rows = {given: self._row(w, given) for given in places}
        if self.echoes:
            past = Echoes()
            for given in range(1, max(places, default=0) + 1):
                if given in rows:
                    rows[given].update(past.row(before(w, given)))
                past.add(before(w, given), w.ops[given])
        return [rows[given] for given in places]

    def _row(self, w: Wiring, given: int) -> Counter[str]:
        counts: Counter[str] = Counter()
        for offset in range(1, self.reach + 1):
            counts[f"-{offset} {w.around(given, -offset)}"] = 1
            if offset <= min(2, given):
                counts.update(f"parent of -{offset} {w.ops[p]}" for _, p in w.parents[given - offset])
        for node in range(max(0, given - 40), given):
            if all(child >= given for _, child in w.children[node]):
                counts[f"open {w.ops[node]}"] += 1
                counts["open"] += 1
        return counts
