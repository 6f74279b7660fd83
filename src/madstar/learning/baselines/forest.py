"""Random forests over counts: of neighbours within two edges, and of those in the order of computation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.sparse import csr_matrix

from ...errors import ConfigurationError
from ..datasets.examples import Operations
from ..hiding import HIDDEN
from .echoes import Echoes, around_hidden
from .learner import Views
from .questions import Question, asked, more
from .wiring import Wiring, relations

TREES = 100
MOST_ROWS = 40_000
"""Rows that a forest learns from, at most."""
_AT_ONCE = 4096


def sklearn(module: str) -> Any:
    """A module of scikit-learn. Raises ConfigurationError, naming the extra, where it is not installed."""
    from importlib import import_module

    try:
        return import_module(f"sklearn.{module}")
    except ImportError:
        raise ConfigurationError(
            "forests and boosted trees need scikit-learn: pip install 'madstar[learn]'"
        ) from None


class Columns:
    """Counts by name as rows of a sparse matrix; names not seen in training have no column."""

    def __init__(self, rows: Sequence[Mapping[str, float]]) -> None:
        names = sorted({name for row in rows for name in row})
        self.number = {name: i for i, name in enumerate(names)}

    def matrix(self, rows: Iterable[Mapping[str, float]]) -> csr_matrix:
        """(rows, columns) of float32."""
        data: list[float] = []
        indices: list[int] = []
        starts = [0]
        for row in rows:
            for name, count in row.items():
                if (column := self.number.get(name)) is not None:
                    indices.append(column)
                    data.append(count)
            starts.append(len(data))
        shape = (len(starts) - 1, len(self.number))
        return csr_matrix((np.array(data, np.float32), indices, starts), shape=shape)


class CountForest:
    """A random forest that classifies rows of counts (Breiman, Machine Learning 45, 2001).

    Of each tree only the splits and the leaves' shares are kept, the latter as sparse rows: scikit-learn's
    own forests count every class in every node, gigabytes for some hundred operations.
    """

    def __init__(self, trees: int | None = None) -> None:
        self.trees = TREES if trees is None else trees

    def fit(self, rows: Sequence[Mapping[str, float]], labels: Sequence[str], seed: int) -> None:
        """Learn labels from rows."""
        tree = sklearn("tree").DecisionTreeClassifier
        self.columns = Columns(rows)
        self.classes, y = np.unique(np.array(labels, object).astype(str), return_inverse=True)
        x = self.columns.matrix(rows).tocsc()
        rng = np.random.default_rng([seed, 6])
        self.kept = []
        for _ in range(self.trees):
            drawn = np.bincount(rng.integers(len(y), size=len(y)), minlength=len(y))
            grown = tree(max_features="sqrt", random_state=int(rng.integers(1 << 31)))
            self.kept.append(Tree(grown.fit(x, y, sample_weight=drawn)))

    def predict(self, rows: Sequence[Mapping[str, float]]) -> list[str]:
        """The likeliest label of each row."""
        return [str(self.classes[i]) for i in self.shares(rows).argmax(1)] if rows else []

    def probability(self, rows: Sequence[Mapping[str, float]], label: str) -> Float[np.ndarray, " rows"]:
        """Of one label, for each row."""
        at = np.flatnonzero(self.classes == label)
        found: np.ndarray = self.shares(rows)[:, at[0]] if len(at) and rows else np.zeros(len(rows))
        return found

    def shares(self, rows: Sequence[Mapping[str, float]]) -> Float[np.ndarray, "rows classes"]:
        """The mean over trees of the classes' shares in each row's leaf."""
        x = self.columns.matrix(rows)
        total = np.zeros((len(rows), len(self.classes)), np.float32)
        for start in range(0, len(rows), _AT_ONCE):
            dense = x[start : start + _AT_ONCE].toarray()
            for tree in self.kept:
                total[start : start + _AT_ONCE] += tree.shares(dense)
        return total / max(1, len(self.kept))


class Tree:
    """A grown tree of scikit-learn, without the counts of its inner nodes."""

    def __init__(self, grown: Any) -> None:
        tree = grown.tree_
        self.feature, self.threshold = tree.feature.copy(), tree.threshold.copy()
        self.left, self.right = tree.children_left.copy(), tree.children_right.copy()
        leaves = np.flatnonzero(self.left < 0)
        values = tree.value[leaves, 0]
        self.leaf = np.full(len(self.left), -1)
        self.leaf[leaves] = np.arange(len(leaves))
        self.values = csr_matrix(values / values.sum(1, keepdims=True), dtype=np.float32)

    def shares(self, x: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows classes"]:
        """The shares of the classes in the leaf of each row."""
        at, going = np.zeros(len(x), int), np.arange(len(x))
        while len(going := going[self.left[at[going]] >= 0]):
            node = at[going]
            low = x[going, self.feature[node]] <= self.threshold[node]
            at[going] = np.where(low, self.left[node], self.right[node])
        found: np.ndarray = self.values[self.leaf[at]].toarray()
        return found


def neighbour_counts(w: Wiring, node: int, reach: int = 0, shapes: bool = False) -> Counter[str]:
    """How often each operation stands in each relation to a node; those before and after it up to `reach`.

    With `shapes` also ranks and dtypes of what is around the node, and which of these shapes are equal.
    """
    counts: Counter[str] = Counter()
    for relation, nodes in relations(w, node).items():
        counts[f"{relation}s"] = len(nodes)
        counts.update(f"{relation} {w.ops[n]}" for n in nodes)
    for position, parent in w.parents[node][:3]:
        counts[f"at {min(position, 3)} {w.ops[parent]}"] += 1
    for offset in range(1, reach + 1):
        counts[f"-{offset} {w.around(node, -offset)}"] = 1
        counts[f"+{offset} {w.around(node, offset)}"] = 1
    if shapes:
        counts.update(_shapes(w, node))
    return counts


def _shapes(w: Wiring, node: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    given = [w.shapes[p] for _, p in w.parents[node]]
    after = [w.shapes[c] for _, c in w.children[node]]
    beside = [w.shapes[m] for _, c in w.children[node] for _, m in w.parents[c] if m != node]
    for relation, found in (("given", given), ("after", after), ("beside", beside)):
        known = [each for each in found if each is not None]
        counts.update(f"{relation} {len(shape)} {dtype}" for shape, dtype in known)
        counts.update(
            f"{relation} with symbols {sum(isinstance(d, str) for d in shape)}" for shape, _ in known
        )
        counts.update(f"{relation} of width 1" for shape, _ in known if shape and shape[-1] == 1)
    for one, other, name in (
        (given, after, "given and after"),
        (given, beside, "given and beside"),
        (given, given[1:], "given"),
    ):
        pairs = [(a, b) for a in one[:4] for b in other[:4] if a is not None and b is not None]
        counts.update(f"{name} {'equal' if a == b else 'differ'}" for a, b in pairs)
        counts.update(f"{name} ranks {len(a[0])} {len(b[0])}" for a, b in pairs)
    return counts


class Forest:
    """Masked operations by a forest over `neighbour_counts`.

    With `echoes` it also sees what stands elsewhere in the graph where the same stands around.
    """

    def __init__(
        self,
        name: str,
        reach: int = 0,
        shapes: bool = False,
        trees: int | None = None,
        echoes: bool = False,
    ) -> None:
        self.name, self.reach, self.shapes, self.trees, self.echoes = name, reach, shapes, trees, echoes

    def fit(self, train: Sequence[Operations], valid: Sequence[Operations], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        rows, labels = [], []
        for question in chain(asked(train, views), more(train, views, seed, draws=2, plain=False)):
            rows += self._rows(question)
            labels += [op for _, op in question.answers]
        if len(rows) > MOST_ROWS:
            chosen = np.random.default_rng([seed, 2]).choice(len(rows), MOST_ROWS, replace=False)
            rows, labels = [rows[i] for i in chosen], [labels[i] for i in chosen]
        self.model = CountForest(self.trees)
        self.model.fit(rows, labels, seed)

    def predict(self, examples: Sequence[Operations], views: Views) -> list[list[str]]:
        """An answer for each; see `Learner.predict`."""
        rows = [row for question in asked(examples, views) for row in self._rows(question)]
        found = iter(self.model.predict(rows))
        return [list(islice(found, len(example.masked))) for example in examples]

    def _rows(self, question: Question) -> list[Counter[str]]:
        w, nodes = question.shown, [node for node, _ in question.answers]
        rows = [neighbour_counts(w, node, self.reach, self.shapes) for node in nodes]
        if self.echoes:
            shown = Echoes()
            for node, op in enumerate(w.ops):
                if op != HIDDEN:
                    shown.add(around_hidden(w, node), op)
            for node, row in zip(nodes, rows, strict=True):
                row.update(shown.row(around_hidden(w, node)))
        return rows
