"""The predictor as a learner of a dataset's measurements."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from madstar.errors import DataError
from madstar.graph.folding import fold
from madstar.learning.datasets.examples import Measured
from madstar.learning.predictor.fitting import find_figure
from madstar.learning.predictor.learner import GraphProcess
from madstar.learning.predictor.predictor import Figure

from ...graph.graphs import llama

GRAPHS = {f"{layers}x{width}": fold(llama(layers, width)) for layers in range(1, 9) for width in (16, 32, 64)}


def score(key: str) -> float:
    layers, width = map(int, key.split("x"))
    return 4 - np.log(layers) - 0.3 * np.log(width)


def example(key: str, task: str = "quality", budget: str = "100 steps") -> Measured:
    return Measured(key, task, budget, score(key), None, 1)


def test_it_learns_from_measured_graphs_and_ranks_others():
    keys = sorted(GRAPHS)
    train, test = keys[::2], keys[1::2]
    learner = GraphProcess(GRAPHS.__getitem__)
    learner.fit([example(key) for key in train], [], {}, 0)
    told = learner.predict([example(key) for key in test], {})
    assert kendalltau(told, [score(key) for key in test])[0] > 0.9
    # A figure that was never measured is told by the mean of all.
    assert learner.predict([example(test[0], "other")], {}) == [pytest.approx(np.mean([*map(score, train)]))]


def test_a_figure_is_found_by_its_words():
    learner = GraphProcess(GRAPHS.__getitem__)
    keys = sorted(GRAPHS)[:8]
    both = [example(key, budget=budget) for key in keys for budget in ("50 steps", "100 steps")]
    learner.fit([*both, *(example(key, "mad", "quick") for key in keys)], [], {}, 0)
    assert learner.predictor is not None
    assert find_figure(learner.predictor, "mad") == Figure("mad", "quick")
    assert find_figure(learner.predictor, "quality after 50 steps") == Figure("quality", "50 steps")
    with pytest.raises(DataError, match="several figures"):
        find_figure(learner.predictor, "quality")
    with pytest.raises(DataError, match="never measured; give one of"):
        find_figure(learner.predictor, "speed")
