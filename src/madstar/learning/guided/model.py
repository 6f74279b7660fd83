"""What measured genomes tell of others: a Gaussian process over genes and figures, with its uncertainty.

The process is that of `learning.predictor`; a figure is a rung of the run at work, or what another archive
measured (another budget, another text). Figures differ in level, and those who reach a higher rung are the
better ones: so levels are found together with what each genome is worth, and not as means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from ...genome import Genome
from ..predictor.process import Observations, Process, Scales, first_scales, fit_scales
from ..predictor.table import Columns
from .description import GROUPS, Groups, describe

# Standardised values, and columns, beyond so many standard deviations count as no more.
_CLIP = 4.0
# What a genome's own worth is shrunk by, in results, when levels are found; and how often that is repeated.
_SHRINK = 0.1
_ROUNDS = 100
# Results that scales are learned from; all are used for predicting.
MOST_FOR_SCALES = 400
_SAME = 1e-9


@dataclass(frozen=True)
class Result:
    """A cost (smaller is better) of a genome in one figure."""

    genome: Genome
    figure: int
    cost: float


class Model:
    """The process given all results. `scales` are those of `learn_scales`, or None before there are any."""

    def __init__(self, results: Sequence[Result], figures: int, scales: Scales | None = None) -> None:
        self._arranged = _Arranged(results, figures)
        arranged = self._arranged
        found = scales or first_scales(len(arranged.columns), figures)
        self._process = Process(arranged.matrices, arranged.observed, found)

    def predict(
        self, genomes: Sequence[Genome], figure: int
    ) -> tuple[Float[np.ndarray, " genomes"], Float[np.ndarray, " genomes"]]:
        """Expected costs and their standard deviations, without the noise of a measurement."""
        arranged = self._arranged
        mean, deviation = self._process.predict(_matrices(genomes, arranged.columns), figure)
        return arranged.levels[figure] + arranged.scale * mean, arranged.scale * deviation


def learn_scales(results: Sequence[Result], figures: int) -> Scales:
    """The process's scales under which these results are likely; the same for the same results."""
    genomes = list(dict.fromkeys(result.genome for result in results))
    if len(results) > MOST_FOR_SCALES:
        kept = max(2, len(genomes) * MOST_FOR_SCALES // len(results))
        genomes = [genomes[int(i)] for i in np.linspace(0, len(genomes) - 1, kept)]
    among = set(genomes)
    arranged = _Arranged([result for result in results if result.genome in among], figures)
    return fit_scales(arranged.matrices, arranged.observed, figures)


class _Arranged:
    """Results as the process wants them."""

    def __init__(self, results: Sequence[Result], figures: int) -> None:
        genomes = list(dict.fromkeys(result.genome for result in results))
        row = {genome: number for number, genome in enumerate(genomes)}
        rows = np.array([row[result.genome] for result in results])
        of = np.array([result.figure for result in results])
        costs = _tamed(of, np.array([result.cost for result in results], dtype=float))
        self.columns = _columns([describe(genome) for genome in genomes])
        self.matrices = _matrices(genomes, self.columns)
        self.levels = levels(rows, of, costs, figures)
        left = costs - self.levels[of]
        self.scale = float(left.std()) or 1.0
        self.observed = Observations(rows, of, np.clip(left / self.scale, -_CLIP, _CLIP))


def _tamed(
    of: Int[np.ndarray, " results"], costs: Float[np.ndarray, " results"]
) -> Float[np.ndarray, " results"]:
    """Costs that are far beyond the others of their figure brought near them: of a few that diverged."""
    tamed = costs.copy()
    for figure in np.unique(of):
        own = costs[of == figure]
        middle = np.median(own)
        # Half of all results lie within .674 deviations of the middle.
        far = _CLIP * float(np.median(np.abs(own - middle))) / 0.674
        if far > 0:
            tamed[of == figure] = np.clip(own, middle - far, middle + far)
    return tamed


def levels(
    rows: Int[np.ndarray, " results"],
    of: Int[np.ndarray, " results"],
    costs: Float[np.ndarray, " results"],
    figures: int,
) -> Float[np.ndarray, " figures"]:
    """The level of each figure where cost = level(figure) + worth(genome): least squares, worths shrunk a
    little.

    A figure without results is at the level of the last one before it that has some.
    """
    counts = np.bincount(rows)
    level = np.zeros(figures)
    worth = np.zeros(len(counts))
    measured = np.bincount(of, minlength=figures)
    for _ in range(_ROUNDS):
        level = np.bincount(of, costs - worth[rows], minlength=figures) / np.maximum(measured, 1)
        worth = np.bincount(rows, costs - level[of]) / (counts + _SHRINK)
    last = level[int(np.argmax(measured > 0))]
    for figure in range(figures):
        if measured[figure]:
            last = level[figure]
        level[figure] = last
    return level


def _columns(described: Sequence[Groups]) -> dict[str, Columns]:
    found = {}
    for group in GROUPS:
        names = sorted({name for groups in described for name in groups[group]})
        raw = _raw(described, group, names)
        # A group in which all are alike keeps its place, so that scales fit from one moment to the next.
        spread = np.where(raw.std(axis=0) > _SAME, raw.std(axis=0), 1.0)
        found[group] = Columns(tuple(names), raw.mean(axis=0), spread)
    return found


def _matrices(
    genomes: Sequence[Genome], columns: dict[str, Columns]
) -> dict[str, Float[np.ndarray, "genomes columns"]]:
    described = [describe(genome) for genome in genomes]
    return {
        group: np.clip((_raw(described, group, each.names) - each.mean) / each.scale, -_CLIP, _CLIP)
        for group, each in columns.items()
    }


def _raw(
    described: Sequence[Groups], group: str, names: Sequence[str]
) -> Float[np.ndarray, "genomes columns"]:
    place = {name: column for column, name in enumerate(names)}
    raw = np.zeros((len(described), max(1, len(names))))[:, : len(names)]
    for row, groups in enumerate(described):
        for name, value in groups[group].items():
            column = place.get(name)
            if column is not None:
                raw[row, column] = value
    return raw
