"""Operations by counting: the commonest one, and the commonest one in the same context."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from ..datasets.examples import Operations
from .learner import Views
from .questions import Question, asked, more
from .wiring import Wiring, near_context, parents_context, wide_context

Context = Callable[[Wiring, int], tuple[object, ...]]

PARENTS: tuple[Context, ...] = (parents_context,)
NEAR: tuple[Context, ...] = (near_context, parents_context)
WIDE: tuple[Context, ...] = (wide_context, near_context, parents_context)


class Lookup:
    """The operation seen most often in the first context that was seen at all; without contexts the majority.

    Contexts are counted with nothing hidden and as they look in examples of training.
    """

    def __init__(self, name: str, contexts: Sequence[Context] = ()) -> None:
        self.name = name
        self.contexts = tuple(contexts)

    def fit(self, train: Sequence[Operations], valid: Sequence[Operations], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        self.tables: list[dict[object, Counter[str]]] = [defaultdict(Counter) for _ in self.contexts]
        self.all: Counter[str] = Counter()
        for question in (*asked(train, views), *more(train, views, seed)):
            self._count(question)
        self.majority = _commonest(self.all)

    def _count(self, question: Question) -> None:
        for node, op in question.answers:
            self.all[op] += 1
            for context, table in zip(self.contexts, self.tables, strict=True):
                table[context(question.shown, node)][op] += 1

    def predict(self, examples: Sequence[Operations], views: Views) -> list[list[str]]:
        """An answer for each; see `Learner.predict`."""
        return [[self._one(q.shown, node) for node, _ in q.answers] for q in asked(examples, views)]

    def _one(self, shown: Wiring, node: int) -> str:
        for context, table in zip(self.contexts, self.tables, strict=True):
            if found := table.get(context(shown, node)):
                return _commonest(found)
        return self.majority


def _commonest(counts: Counter[str]) -> str:
    """The commonest; of equals the first by name."""
    return min(counts, key=lambda op: (-counts[op], op))
