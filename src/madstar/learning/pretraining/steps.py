"""What each step asks: a few graphs, each one of the tasks, and the pieces that this work is cut into.

All of it is a function of seed and step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..datasets.examples import Classified, Incomplete
from ..transformer.batch import in_batches
from .data import TrainingData
from .drawing import draw_incomplete, draw_links, draw_operations
from .losses import SHARES, TRAINED
from .questions import Question, completion, questions, word
from .settings import TrainingSettings

NEARBY = ("completion", "incomplete")
"""The tasks that local parts are asked alone."""


@dataclass(frozen=True)
class Piece:
    """Questions that go through the model together, graphs of like sizes; or, `nearby`, those of one task
    that the local parts alone are asked. `number` counts a step's pieces.
    """

    number: int
    questions: tuple[Question, ...]
    nearby: bool = False

    @property
    def cost(self) -> float:
        """About how long it takes, in tokens: what is worked out for every pair doubles it at 200."""
        tokens = [question.tokens for question in self.questions]
        longest = max(tokens)
        return 0.4 * sum(tokens) if self.nearby else len(tokens) * longest * (1 + longest / 200)


def shared_out(pieces: Sequence[Piece], among: int) -> list[list[Piece]]:
    """The pieces in so many shares of about the same cost: the dearest first, each to who has least."""
    shares: list[list[Piece]] = [[] for _ in range(among)]
    costs = [0.0] * among
    for piece in sorted(pieces, key=lambda each: (-each.cost, each.number)):
        least = costs.index(min(costs))
        shares[least].append(piece)
        costs[least] += piece.cost
    return [sorted(share, key=lambda each: each.number) for share in shares]


class Draws:
    """The questions of each step of a training."""

    def __init__(self, data: TrainingData, settings: TrainingSettings) -> None:
        self.data, self.settings = data, settings

    def pieces(self, step: int) -> list[Piece]:
        """All that a step asks."""
        asked = self.questions(step)
        groups = in_batches([question.tokens for question in asked], self.settings.tokens)
        found = [Piece(i, tuple(asked[k] for k in group)) for i, group in enumerate(groups)]
        for task in NEARBY:
            if nearby := self.nearby(step, task):
                found.append(Piece(len(found), tuple(nearby), nearby=True))
        return found

    def questions(self, step: int) -> list[Question]:
        """Those that the whole model is asked."""
        rng = np.random.default_rng([self.settings.seed, step])
        tasks = rng.choice(len(SHARES), self.settings.graphs, p=list(SHARES.values()))
        entries = rng.choice(len(self.data.train), self.settings.graphs, p=self.data.shares)
        found: list[Question] = []
        for number, entry in zip(tasks, entries, strict=True):
            found += self._asked(TRAINED[number], self.data.train[entry], rng)
        return found

    def nearby(self, step: int, task: str) -> list[Question]:
        """Those of one of the `NEARBY` tasks that the local parts alone are asked."""
        stream = NEARBY.index(task) + 1
        count = {"completion": self.settings.nearby, "incomplete": self.settings.gaps}[task]
        rng = np.random.default_rng([self.settings.seed, step, stream])
        entries = [self.data.train[i] for i in rng.choice(len(self.data.train), count, p=self.data.shares)]
        found = [question for entry in entries for question in self._asked(task, entry, rng)]
        return [question for question in found if question.task == task]

    def _asked(self, task: str, entry: str, rng: np.random.Generator) -> list[Question]:
        """Questions about one graph, one part of it where it is large."""
        data, view, most = self.data, self.data.views[entry], self.settings.part

        def some(example: Any) -> list[Question]:
            parts = questions(example, view, data.table, data.classes, most)
            return [parts[int(rng.integers(len(parts)))]] if parts else []

        if task == "link" and (links := draw_links(entry, view, rng)) is not None:
            return some(links)
        if task == "incomplete":
            missing = draw_incomplete(entry, data.deletable[entry], rng)
            if missing is not None:
                gaps = questions(missing, view, data.table, data.classes, most)
                whole = questions(Incomplete(entry, -1), view, data.table, data.classes, most)
                at = next((i for i, q in enumerate(gaps) if q.answers[0] >= 0), 0)
                return [gaps[at], whole[min(at, len(whole) - 1)]]
        if task == "completion":
            # Anywhere: what comes next is asked of later nodes too, which are not like the first.
            stop = int(rng.integers(most, len(view) + 1)) if len(view) > most else None
            return [completion(view, data.table, most, stop=stop)]
        if task == "classification" and data.labels.get(entry):
            label = data.labels[entry][int(rng.integers(len(data.labels[entry])))]
            return some(Classified(entry, word(label), label.partition(":")[0]))
        masked = draw_operations(entry, view, rng)
        return some(masked) if masked is not None else []
