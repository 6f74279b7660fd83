"""The one interface of all learners of a task, and what they predict.

A learner is made anew for every split, is given the examples of training and validation with the views of
their graphs, and predicts for any examples. It may look at a view only as its task allows
(`madstar.learning.datasets.hiding`); of the views of test graphs it sees nothing while it learns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from ..view import GraphView

Views = Mapping[str, GraphView]
"""The view of each entry."""


@dataclass(frozen=True, slots=True)
class Sources:
    """For each removed edge the scores of all nodes before its target; for it and each decoy: is one missing?

    `missing` has the removed edges first, then the decoys. Higher is likelier.
    """

    scores: tuple[Float[np.ndarray, " earlier"], ...]
    missing: Float[np.ndarray, " asked"]


@dataclass(frozen=True, slots=True)
class Suspicion:
    """How likely something is missing, and how likely at each node of the view that is shown."""

    score: float
    places: Float[np.ndarray, " nodes"]


@dataclass(frozen=True, slots=True)
class Next:
    """The operation that comes next, and for each of its data edges the scores of the nodes given."""

    op: str
    scores: tuple[Float[np.ndarray, " given"], ...]


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
