"""Predictors of measured scores that know no graph network: each fits every task and budget for itself.

What is predicted for a task or budget without training examples is the mean of all.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float

from ..datasets.examples import Measured
from ..view import GraphView
from .classification import histogram
from .forest import Columns, sklearn
from .learner import Views
from .measures import flops, graph_counts, parameters, path_counts, wl_counts

Counts = Mapping[str, float]
Values = Float[np.ndarray, " rows"]


class Regressor(Protocol):
    """Learns numbers from rows of counts."""

    def fit(self, rows: Sequence[Counts], values: Values, seed: int) -> None:
        """Learn."""

    def predict(self, rows: Sequence[Counts]) -> Values:
        """A number for each row."""


class Predictor:
    """A regressor for each task and budget, over `counts` of a graph."""

    def __init__(
        self, name: str, counts: Callable[[GraphView], Counts], regressor: Callable[[], Regressor]
    ) -> None:
        self.name, self.counts, self.regressor = name, counts, regressor

    def fit(self, train: Sequence[Measured], valid: Sequence[Measured], views: Views, seed: int) -> None:
        """Learn; see `Learner.fit`."""
        rows = self._rows(train, views)
        self.mean = float(np.mean([example.value for example in train]))
        groups: dict[tuple[str, str], list[Measured]] = defaultdict(list)
        for example in train:
            groups[example.task, example.budget].append(example)
        self.fitted = {}
        for key, group in sorted(groups.items()):
            regressor = self.regressor()
            values = np.array([e.value for e in group])
            regressor.fit([rows[e.entry] for e in group], values, seed)
            self.fitted[key] = regressor

    def predict(self, examples: Sequence[Measured], views: Views) -> list[float]:
        """A number for each row."""
        rows = self._rows(examples, views)
        groups: dict[tuple[str, str], list[int]] = defaultdict(list)
        for number, example in enumerate(examples):
            groups[example.task, example.budget].append(number)
        found = [self.mean] * len(examples)
        for key, numbers in groups.items():
            if (regressor := self.fitted.get(key)) is not None:
                values = regressor.predict([rows[examples[i].entry] for i in numbers])
                for number, value in zip(numbers, values, strict=True):
                    found[number] = float(value)
        return found

    def _rows(self, examples: Sequence[Measured], views: Views) -> dict[str, Counts]:
        return {entry: self.counts(views[entry]) for entry in dict.fromkeys(e.entry for e in examples)}


class Mean:
    """The mean of training."""

    def fit(self, rows: Sequence[Counts], values: Values, seed: int) -> None:
        """Learn."""
        self.value = float(values.mean())

    def predict(self, rows: Sequence[Counts]) -> Values:
        """A number for each row."""
        return np.full(len(rows), self.value)


class Line:
    """Least squares over the columns, with a constant; a column that never changes counts nothing."""

    def fit(self, rows: Sequence[Counts], values: Values, seed: int) -> None:
        """Learn."""
        self.columns = Columns(rows)
        x = self._designed(rows)
        self.weights = np.linalg.lstsq(x, values, rcond=None)[0]

    def predict(self, rows: Sequence[Counts]) -> Values:
        """A number for each row."""
        found: Values = self._designed(rows) @ self.weights
        return found

    def _designed(self, rows: Sequence[Counts]) -> np.ndarray:
        x = self.columns.matrix(rows).toarray().astype(float)
        return np.concatenate([x, np.ones((len(x), 1))], axis=1)


class Trees:
    """A random forest, or boosted trees by histograms, of scikit-learn."""

    def __init__(self, boosted: bool = False) -> None:
        self.boosted = boosted

    def fit(self, rows: Sequence[Counts], values: Values, seed: int) -> None:
        """Learn."""
        ensemble = sklearn("ensemble")
        self.columns = Columns(rows)
        self.model: Any
        if self.boosted:
            least = max(2, min(20, len(rows) // 10))
            self.model = ensemble.HistGradientBoostingRegressor(random_state=seed, min_samples_leaf=least)
        else:
            self.model = ensemble.RandomForestRegressor(200, random_state=seed, n_jobs=1)
        self.model.fit(self.columns.matrix(rows).toarray(), values)

    def predict(self, rows: Sequence[Counts]) -> Values:
        """A number for each row."""
        found: Values = self.model.predict(self.columns.matrix(rows).toarray())
        return found


class Kernel:
    """A Gaussian process with a normalised linear kernel over counts, its noise chosen by the likelihood."""

    noises = (1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)

    def fit(self, rows: Sequence[Counts], values: Values, seed: int) -> None:
        """Learn."""
        self.columns = Columns(rows)
        self.rows = self._normalised(rows)
        self.mean, self.scale = float(values.mean()), float(values.std()) or 1.0
        y = (values - self.mean) / self.scale
        kernel = np.asarray((self.rows @ self.rows.T).toarray(), float)
        best = max(self.noises, key=lambda noise: _likelihood(kernel, y, noise))
        self.dual = np.linalg.solve(kernel + best * np.eye(len(y)), y)

    def predict(self, rows: Sequence[Counts]) -> Values:
        """A number for each row."""
        kernel = np.asarray((self._normalised(rows) @ self.rows.T).toarray(), float)
        found: Values = self.mean + self.scale * (kernel @ self.dual)
        return found

    def _normalised(self, rows: Sequence[Counts]) -> Any:
        matrix = self.columns.matrix([{k: math.sqrt(v) for k, v in row.items()} for row in rows])
        norms = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
        return matrix.multiply(1 / np.maximum(norms, 1e-9)[:, None]).tocsr()


def _likelihood(kernel: np.ndarray, y: np.ndarray, noise: float) -> float:
    """Log marginal likelihood up to a constant, with the process's scale at its best."""
    covariance = kernel + noise * np.eye(len(y))
    _, determinant = np.linalg.slogdet(covariance)
    fit = float(y @ np.linalg.solve(covariance, y))
    return -0.5 * (float(determinant) + len(y) * math.log(max(fit, 1e-12)))


def log_parameters(view: GraphView) -> Counts:
    """The logarithm of the number of parameters."""
    return {"log parameters": math.log1p(parameters(view))}


def log_flops(view: GraphView) -> Counts:
    """The logarithm of the FLOPs."""
    return {"log flops": math.log1p(flops(view))}


def predictors() -> list[Predictor]:
    """All of them, anew."""
    return [
        Predictor("mean", lambda view: {"": 1.0}, Mean),
        Predictor("log parameters", log_parameters, Line),
        Predictor("log FLOPs", log_flops, Line),
        Predictor("histogram + forest", histogram, Trees),
        Predictor("paths + boosted trees", path_counts, lambda: Trees(boosted=True)),
        Predictor("Weisfeiler-Lehman + Gaussian process", wl_counts, Kernel),
        Predictor("graph counts + forest", graph_counts, Trees),
    ]
