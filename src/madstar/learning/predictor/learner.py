"""The predictor as one of the learners of measured scores, beside the baselines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ...graph.model import Graph
from ..baselines.learner import Views
from ..datasets.examples import Measured
from . import description
from .description import Description
from .predictor import Figure, Predictor, fit


class GraphProcess:
    """The Gaussian process over descriptions of graphs; see `madstar.learning.baselines.learner.Learner`.

    It reads whole graphs, of which views hold no order of equal blocks: `graph_of` gives them by entry.
    """

    name = "graph process"

    def __init__(self, graph_of: Callable[[str], Graph]) -> None:
        self.graph_of = graph_of
        self._described: dict[str, Description] = {}
        self.predictor: Predictor | None = None

    def fit(self, train: Sequence[Measured], valid: Sequence[Measured], views: Views, seed: int) -> None:
        """Learn all figures together. Figures that are measured too rarely are predicted by their mean."""
        described = {entry: self.describe(entry) for entry in dict.fromkeys(e.entry for e in train)}
        self.mean = float(np.mean([example.value for example in train]))
        self.predictor = fit(described, train, rng=np.random.default_rng(seed))

    def predict(self, examples: Sequence[Measured], views: Views) -> list[float]:
        """A number for each example."""
        assert self.predictor is not None, "fit before predict"
        found = [self.mean] * len(examples)
        for figure in self.predictor.figures:
            asked = [n for n, e in enumerate(examples) if Figure(e.task, e.budget) == figure]
            told = self.predictor.predict([self.describe(examples[n].entry) for n in asked], figure)
            for number, prediction in zip(asked, told, strict=True):
                found[number] = prediction.value
        return found

    def describe(self, entry: str) -> Description:
        """The facts of an entry's graph, worked out once."""
        if entry not in self._described:
            self._described[entry] = description.describe(self.graph_of(entry))
        return self._described[entry]
