"""What a graph is for: the commonest label, and a forest over its histogram of operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..datasets.examples import Classified
from ..view import GraphView
from .forest import CountForest
from .learner import Views


def histogram(view: GraphView) -> Counter[str]:
    """How often each operation is computed."""
    counts: Counter[str] = Counter()
    for node in view.nodes:
        counts[node.op] += node.count
    return counts


class MajorityLabel:
    """The commonest label."""

    name = "majority"

    def fit(self, train: Sequence[Classified], valid: Sequence[Classified], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        counts = Counter(example.label for example in train)
        self.label = min(counts, key=lambda label: (-counts[label], label))

    def predict(self, examples: Sequence[Classified], views: Views) -> list[str]:
        """An answer for each; see `Learner.predict`."""
        return [self.label for _ in examples]


class HistogramForest:
    """A forest over the histogram of operations."""

    name = "histogram + forest"

    def fit(self, train: Sequence[Classified], valid: Sequence[Classified], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        self.model = CountForest()
        self.model.fit([histogram(views[e.entry]) for e in train], [e.label for e in train], seed)

    def predict(self, examples: Sequence[Classified], views: Views) -> list[str]:
        """An answer for each; see `Learner.predict`."""
        return self.model.predict([histogram(views[example.entry]) for example in examples])
