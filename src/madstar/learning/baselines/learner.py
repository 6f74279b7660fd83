"""The one interface of all learners of a task, and what they predict.

A learner is made anew for every split, is given the examples of training and validation with the views of
their graphs, and predicts for any examples. It may look at a view only as its task allows
(`madstar.learning.hiding`); of the views of test graphs it sees nothing while it learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from ..view import GraphView

Views = Mapping[str, GraphView]
"""The view of each entry."""


class Learner(Protocol):
    """Learns one task from examples and predicts it, an answer for each example:

    operation       a sequence of operations, one for each masked node
    link            `Sources`
    incomplete      `Suspicion`
    completion      `Next`
    classification  a label
    performance     a number
    """

    name: str

    def fit(self, train: Sequence[Any], valid: Sequence[Any], views: Views, seed: int) -> None:
        """Learn. The same seed gives the same learner."""

    def predict(self, examples: Sequence[Any], views: Views) -> list[Any]:
        """An answer for each example."""
