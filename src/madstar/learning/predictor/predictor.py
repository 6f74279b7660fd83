"""Expected scores of graphs that were never trained, with intervals that hold as often as they say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ...errors import DataError
from ..datasets.examples import Measured, unit_of
from .description import Description
from .process import Observations, Process, Scales, fit_scales
from .table import Table

LEVEL = 0.9
"""How often intervals are to hold."""
MOST = 2500
"""Graphs that a predictor is fitted to at most; its cost grows with the cube of their number."""
_SCALES_FROM = 500
"""Observations that scales are learned from; all are used for predicting."""
_LEAST = 5
_FOLDS = 5


@dataclass(frozen=True, order=True)
class Figure:
    """What is predicted: a task after a budget, such as "quality" after "100 steps"."""

    task: str
    budget: str

    def __str__(self) -> str:
        return f"{self.task} after {self.budget}" if self.budget else self.task

    @property
    def unit(self) -> str:
        """ "s" or "bytes" of what is an amount, and is learned as a logarithm; empty for a score."""
        return unit_of(self.task)


@dataclass(frozen=True)
class Prediction:
    """A figure of one graph: what is expected, where a measurement lies with the chance that was asked for.

    `deviation` is that of the figure itself, without the noise of a measurement.
    """

    value: float
    low: float
    high: float
    deviation: float


@dataclass(frozen=True)
class Calibration:
    """Of one figure: mean and deviation by which it was standardised, and sizes of errors, ascending.

    Of a figure that is an amount all of these are of its logarithm.
    Errors are those of graphs left out in folds, in predicted standard deviations: their quantile makes
    intervals (cross-conformal prediction, Vovk 2015).
    """

    mean: float
    scale: float
    errors: tuple[float, ...]


class Predictor:
    """What was learned from measured graphs; made by `fit` or `load`."""

    def __init__(
        self,
        entries: Sequence[str],
        table: Table,
        figures: Sequence[Figure],
        process: Process,
        calibrations: Sequence[Calibration],
    ) -> None:
        self.entries, self.table, self.figures = tuple(entries), table, tuple(figures)
        self.process, self.calibrations = process, tuple(calibrations)

    def predict(
        self, descriptions: Sequence[Description], figure: Figure, level: float = LEVEL
    ) -> list[Prediction]:
        """The figure of each graph. Raises DataError for a figure that was never measured."""
        number = self._number(figure)
        if not descriptions:
            return []
        if not 0 < level < 1:
            raise DataError(f"level is {level}: give a chance between 0 and 1, such as 0.9")
        calibration = self.calibrations[number]
        mean, deviation = self.process.predict(self.table.matrices(descriptions), number)
        half = np.sqrt(deviation**2 + self.process.noise(number) ** 2) * _quantile(calibration.errors, level)
        value = calibration.mean + calibration.scale * mean
        half, deviation = calibration.scale * half, calibration.scale * deviation
        low, high = value - half, value + half
        if figure.unit:
            value, low, high = np.exp(value), np.exp(low), np.exp(high)
            deviation = value * deviation
        return [
            Prediction(float(v), float(a), float(b), float(d))
            for v, a, b, d in zip(value, low, high, deviation, strict=True)
        ]

    def nearest(self, description: Description, count: int = 5) -> list[tuple[str, float]]:
        """The measured graphs that the predictor finds most alike, and how alike, at most 1."""
        alike = self.process.similarity(self.table.matrices([description]))[0]
        order = np.argsort(-alike, kind="stable")[:count]
        return [(self.entries[row], float(alike[row])) for row in order]

    def _number(self, figure: Figure) -> int:
        if figure not in self.figures:
            known = "; ".join(map(str, self.figures))
            raise DataError(f"{figure} was never measured; what was: {known}")
        return self.figures.index(figure)


def fit(
    descriptions: Mapping[str, Description],
    measured: Sequence[Measured],
    *,
    rng: np.random.Generator,
    least: int = _LEAST,
    scales: Scales | None = None,
) -> Predictor:
    """Learn every figure that at least `least` graphs have, all together.

    `descriptions` are by entry. Several measurements of a figure of one graph count as their mean. Of more
    graphs than MOST some are drawn. `scales` of a former fit of the same figures are where learning begins.
    Raises DataError where too little was measured, or all graphs are alike.
    """
    by_figure = _by_figure(measured, descriptions)
    figures = sorted(figure for figure, values in by_figure.items() if len(values) >= least)
    if not figures:
        most = max((len(values) for values in by_figure.values()), default=0)
        raise DataError(
            f"no figure was measured of more than {most} architectures and {least} are needed: "
            "run madstar search, or madstar benchmark, and give its --archive"
        )
    entries = sorted({entry for figure in figures for entry in by_figure[figure]})
    if len(entries) > MOST:
        entries = sorted(rng.choice(entries, MOST, replace=False).tolist())
    table = Table.of([descriptions[entry] for entry in entries])
    matrices = table.matrices([descriptions[entry] for entry in entries])
    rows = {entry: row for row, entry in enumerate(entries)}
    standards, triples = [], []
    for number, figure in enumerate(figures):
        values = {entry: value for entry, value in by_figure[figure].items() if entry in rows}
        if figure.unit:
            values = {entry: math.log(value) for entry, value in values.items()}
        plain = np.array(list(values.values()))
        mean, scale = float(plain.mean()), float(plain.std()) or 1.0
        standards.append((mean, scale))
        triples += [(rows[entry], number, (value - mean) / scale) for entry, value in values.items()]
    observed = _observations(triples)
    found = fit_scales(*_part(matrices, observed, rng), len(figures), start=scales)
    process = Process(matrices, observed, found)
    errors = _errors(matrices, observed, len(figures), rng)
    calibrations = [
        Calibration(mean, scale, tuple(np.sort(errors[observed.figures == number]).tolist()))
        for number, (mean, scale) in enumerate(standards)
    ]
    return Predictor(entries, table, figures, process, calibrations)


def _errors(
    matrices: Mapping[str, Float[np.ndarray, "graphs columns"]],
    observed: Observations,
    figures: int,
    rng: np.random.Generator,
) -> Float[np.ndarray, " observations"]:
    """Errors on graphs left out in folds, with scales learned without them, in predicted deviations.

    Leaving single graphs out under the scales of all is far cheaper but makes intervals too short: scales
    fit what they were learned from.
    """
    errors = np.zeros(len(observed.values))
    fold = rng.permutation(np.arange(len(next(iter(matrices.values())))) % _FOLDS)[observed.rows]
    for number in range(_FOLDS):
        out = fold == number
        if not out.any() or out.all():
            continue
        rest = Observations(observed.rows[~out], observed.figures[~out], observed.values[~out])
        process = Process(matrices, rest, fit_scales(*_part(matrices, rest, rng), figures))
        for figure in np.unique(observed.figures[out]):
            asked = np.flatnonzero(out & (observed.figures == figure))
            rows = observed.rows[asked]
            mean, deviation = process.predict({g: m[rows] for g, m in matrices.items()}, int(figure))
            total = np.sqrt(deviation**2 + process.noise(int(figure)) ** 2)
            errors[asked] = np.abs(observed.values[asked] - mean) / total
    return errors


def _by_figure(
    measured: Sequence[Measured], descriptions: Mapping[str, Description]
) -> dict[Figure, dict[str, float]]:
    """Means by figure and entry, of entries that are described and values that are numbers."""
    seen: dict[Figure, dict[str, list[tuple[float, int]]]] = {}
    for each in measured:
        sound = np.isfinite(each.value) and (each.value > 0 or not unit_of(each.task))
        if each.entry in descriptions and sound:
            found = seen.setdefault(Figure(each.task, each.budget), {})
            found.setdefault(each.entry, []).append((each.value, max(1, each.seeds)))
    return {
        figure: {
            entry: sum(value * seeds for value, seeds in values) / sum(seeds for _, seeds in values)
            for entry, values in entries.items()
        }
        for figure, entries in seen.items()
    }


def _observations(triples: Sequence[tuple[int, int, float]]) -> Observations:
    rows, figures, values = zip(*triples, strict=True)
    return Observations(np.array(rows), np.array(figures), np.array(values, dtype=float))


def _part(
    matrices: Mapping[str, Float[np.ndarray, "graphs columns"]],
    observed: Observations,
    rng: np.random.Generator,
) -> tuple[dict[str, Float[np.ndarray, "graphs columns"]], Observations]:
    """Some of the graphs with all their figures, where there are more observations than are needed."""
    graphs = len(next(iter(matrices.values())))
    if len(observed.values) <= _SCALES_FROM:
        return dict(matrices), observed
    keep = max(2, int(graphs * _SCALES_FROM / len(observed.values)))
    chosen = np.sort(rng.choice(graphs, keep, replace=False))
    renumbered = np.full(graphs, -1)
    renumbered[chosen] = np.arange(keep)
    held = renumbered[observed.rows] >= 0
    part = Observations(renumbered[observed.rows[held]], observed.figures[held], observed.values[held])
    return {group: matrix[chosen] for group, matrix in matrices.items()}, part


def _quantile(errors: Sequence[float], level: float) -> float:
    """The conformal quantile: the smallest error so that a new one is below it with the chance asked for.

    Of too few errors for that chance it is the largest, and no less than the normal distribution's.
    """
    from scipy.stats import norm

    count = len(errors)
    rank = int(np.ceil((count + 1) * level))
    if rank <= count:
        return float(errors[rank - 1])
    return max(float(errors[-1]), float(norm.ppf((1 + level) / 2)))
