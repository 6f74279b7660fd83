"""Learners tried on the splits of a dataset: each is trained, asked, judged, and what came out is a row."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from ...errors import DataError
from ...graph.model import Graph
from ..baselines.learner import Learner, Views
from ..datasets.examples import TASKS, Classified, Example
from .judging import Contexts, judge

QUESTION = "domain"
"""Of the questions of classification, the one that learners are compared by: one label for a graph."""


class Corpus(Protocol):
    """What is evaluated on, such as a `Stored` dataset: examples of tasks, their views, splits by seed."""

    @property
    def hash(self) -> str:
        """What tells the dataset from others."""

    @property
    def views(self) -> Views:
        """By entry."""

    def graph(self, key: str) -> Graph:
        """The graph of an entry."""

    def examples(self, task: str) -> Sequence[Example]:
        """All examples of a task; none where the dataset has none."""

    def families(self) -> Mapping[str, str]:
        """The family of each entry."""

    def split(self, task: str, name: str, seed: int) -> Mapping[str, Any]:
        """Numbers of examples by "train", "valid" and "test"."""


@dataclass(frozen=True)
class Division:
    """A corpus divided by one split and seed. What is worked out of it is kept."""

    corpus: Corpus
    split: str
    seed: int
    _parts: dict[str, dict[str, list[Any]]] = field(default_factory=dict, repr=False, compare=False)

    def part(self, task: str, part: str) -> list[Any]:
        """The examples of a task in "train", "valid" or "test"."""
        if task not in self._parts:
            every = self.corpus.examples(task)
            numbers = self.corpus.split(task, self.split, self.seed) if every else {}
            self._parts[task] = {
                name: [e for e in (every[int(i)] for i in found) if _compared(e)]
                for name, found in numbers.items()
            }
        return self._parts[task].get(part, [])

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """The entries of which there are training examples, of any task but performance."""
        tasks = [task for task in TASKS if task != "performance"]
        return tuple(dict.fromkeys(e.entry for task in tasks for e in self.part(task, "train")))

    @cached_property
    def contexts(self) -> Contexts:
        """Of the training graphs."""
        return Contexts(self.corpus.views[entry] for entry in self.entries)

    def together(self, part: str) -> list[Any]:
        """The examples of all tasks but performance, for networks, which learn them together."""
        return [e for task in TASKS if task != "performance" for e in self.part(task, part)]


def tried(
    learner: Learner, task: str, division: Division, seed: int, fitted_in: float | None = None
) -> dict[str, Any]:
    """A row: the learner trained on the task's examples (or before, in so many seconds), asked and judged."""
    corpus = division.corpus
    begun = time.monotonic()
    if fitted_in is None:
        learner.fit(division.part(task, "train"), division.part(task, "valid"), corpus.views, seed)
    trained = time.monotonic()
    asked = division.part(task, "test")
    answers = learner.predict(asked, corpus.views)
    answered = time.monotonic()
    found = judge(task, asked, answers, corpus.views, corpus.families(), division.contexts)
    return {
        **key(corpus, task, learner.name, division, seed),
        "seconds": round(trained - begun if fitted_in is None else fitted_in, 2),
        "seconds_asked": round(answered - trained, 2),
        "plain": _rounded(found.plain),
        "families": _rounded(found.families),
        "by_family": {family: _rounded(figures) for family, figures in found.by_family.items()},
        "counts": dict(found.counts),
    }


def key(corpus: Corpus, task: str, learner: str, division: Division, seed: int) -> dict[str, Any]:
    """What names a row."""
    return {
        "data": corpus.hash,
        "task": task,
        "learner": learner,
        "split": division.split,
        "split_seed": division.seed,
        "seed": seed,
    }


def tasks_with_examples(division: Division, tasks: Sequence[str]) -> Iterator[str]:
    """Those of the tasks that have something to learn from and to be asked.

    Raises DataError for too few measurements to split, unless other tasks are asked for too.
    """
    for task in tasks:
        try:
            asked = division.part(task, "train") and division.part(task, "test")
        except DataError:
            if task != "performance" or len(tasks) == 1:
                raise
            continue
        if asked:
            yield task


def _compared(example: Example) -> bool:
    return not isinstance(example, Classified) or example.question == QUESTION


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in figures.items()}
