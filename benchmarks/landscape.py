"""A model of the table (see `table`): what any genome of the space would score, and how long it would take.

Studies of strategies need thousands of evaluations; the table holds a few hundred trainings. The model
is a Gaussian process over genomes, with a kernel of positions (two genomes are as alike as their layers
at each depth) and of counts, and so of another kind than the ridge that a screening strategy fits.
What it leaves unexplained is put back as a deviation of each genome's own, drawn once from its hash, and
every training has the noise of its seed. Rungs below the largest budget are modelled as differences to
it, so that late risers rise late.
"""

from __future__ import annotations

import zlib
from collections import Counter
from typing import Any

import numpy as np
from jaxtyping import Float

from madstar.genome import Genome, SearchSpace
from madstar.liv.cost import cost
from madstar.objectives import Subject, find_objective
from madstar.search.noise import prior_sd
from madstar.search.simulation import Pretended

from .table import RUNGS

CACHE = find_objective("cache").name
# Kernel scales tried; the pair with the least error on left-out genomes is taken.
_SCALES = (0.15, 0.3, 0.6, 1.2)
_SHARES = (0.3, 0.6, 0.9)
# Seconds that a worker needs beside training, and the share of the rung's trunk that a promotion skips.
_OVERHEAD = 1.0
_TRUNK = 0.8


class Landscape:
    """Fitted to rows of the table; deterministic."""

    def __init__(self, rows: list[dict[str, Any]], seconds_per_step: float = 0.11) -> None:
        genomes = sorted({row["genome"] for row in rows})
        scores = {(g, r): np.mean(_scores(rows, g, r)) for g in genomes for r in RUNGS}
        self.genomes = [Genome.parse(genome) for genome in genomes]
        top = np.array([scores[g, RUNGS[-1]] for g in genomes])
        self.parts = {RUNGS[-1]: Process(self.genomes, top)}
        for rung in RUNGS[:-1]:
            gap = np.array([scores[g, rung] for g in genomes]) - top
            self.parts[rung] = Process(self.genomes, gap)
        self.pace = Pace(rows, seconds_per_step)
        self._known: dict[str, dict[int, float]] = {}

    def truth(self, genome: str, steps: int = RUNGS[-1]) -> float:
        """Validation bits per byte of a genome at a budget, without any seed's noise."""
        if genome not in self._known:
            parsed = Genome.parse(genome)
            top = self.parts[RUNGS[-1]].value(parsed, genome)
            below = {rung: top + self.parts[rung].value(parsed, f"{genome}@{rung}") for rung in RUNGS[:-1]}
            self._known[genome] = below | {RUNGS[-1]: top}
        return self._known[genome][steps]

    def evaluate(self, payload: dict[str, Any]) -> Pretended:
        """What a worker would have answered to a payload of the search."""
        genome, steps = payload["genome"], RUNGS[payload["rung"]]
        rng = np.random.default_rng([zlib.crc32(genome.encode()), payload["seed"], steps])
        score = self.truth(genome, steps) + prior_sd(steps) * float(rng.standard_normal())
        resumed = payload["stage"] == "search" and payload["rung"] > 0
        trained = steps - _TRUNK * RUNGS[payload["rung"] - 1] if resumed else float(steps)
        seconds = trained * self.pace(genome)
        figures = static_figures(genome)
        values = {"quality": score, "bits_per_byte": score, "perplexity": 2**score, **figures}
        value = {"status": "ok", "values": values, "errors": {}, "steps": steps}
        value |= {"timings": {"train": seconds, "resumed": float(resumed)}, "tokens": 2048 * steps}
        return Pretended(seconds + _OVERHEAD, value)


_FIGURES: dict[str, dict[str, float]] = {}


def static_figures(genome: str) -> dict[str, float]:
    """Parameters and cache at 4,096 tokens, under the names of the objectives."""
    if genome not in _FIGURES:
        found = cost(Subject(Genome.parse(genome), SearchSpace().sizes, 256).spec, 4096)
        _FIGURES[genome] = {"parameters": float(found.parameters), CACHE: float(found.cache_bytes)}
    return _FIGURES[genome]


class Process:
    """A Gaussian process over genomes, and what it leaves to each genome alone."""

    def __init__(self, genomes: list[Genome], values: Float[np.ndarray, " genomes"]) -> None:
        self.genomes, self.mean, self.sd = genomes, float(values.mean()), float(values.std())
        y = (values - self.mean) / self.sd
        self.counts = np.stack([_counts(genome) for genome in genomes])
        self.centre, self.spread = self.counts.mean(0), np.maximum(self.counts.std(0), 0.3)
        same = np.array([[_alike(a, b) for b in genomes] for a in genomes])
        scaled = (self.counts - self.centre) / self.spread
        distance = ((scaled[:, None] - scaled[None]) ** 2).mean(axis=2)
        best = None
        for scale in _SCALES:
            for share in _SHARES:
                for noise in (0.05, 0.15, 0.4):
                    kernel = _kernel(same, distance, scale, share)
                    inverse = np.linalg.inv(kernel + noise * np.eye(len(y)))
                    # Left-out residuals in closed form (Rasmussen and Williams 2006, section 5.4.2).
                    left_out = (inverse @ y) / np.diag(inverse)
                    error = float(np.mean(left_out**2))
                    if best is None or error < best[0]:
                        best = (error, scale, share, inverse @ y)
        assert best is not None
        self.error, self.scale, self.share, self.weights = best
        # What is left beyond the seeds' noise, in the values' own unit.
        noise = prior_sd(RUNGS[-1])
        self.left = float(np.sqrt(max(self.error * self.sd**2 - noise**2, 1e-6)))
        self.explained = 1 - self.error

    def value(self, genome: Genome, name: str) -> float:
        """The value of a genome, its own deviation included."""
        same = np.array([_alike(genome, other) for other in self.genomes])
        scaled = (_counts(genome) - self.centre) / self.spread
        distance = (((self.counts - self.centre) / self.spread - scaled) ** 2).mean(axis=1)
        smooth = float(_kernel(same, distance, self.scale, self.share) @ self.weights)
        own = np.random.default_rng(zlib.crc32(name.encode())).standard_normal()
        return self.mean + self.sd * smooth + self.left * float(np.clip(own, -2.5, 2.5))


class Pace:
    """Seconds per training step: a base and a part of each kind of layer, fitted by least squares."""

    def __init__(self, rows: list[dict[str, Any]], seconds_per_step: float) -> None:
        x = np.stack([self._parts(row["genome"]) for row in rows])
        y = np.array([min(row["seconds"].values()) for row in rows])
        weights = np.linalg.solve(x.T @ x + 0.3 * np.eye(x.shape[1]), x.T @ y)
        self.weights = weights * seconds_per_step / float(np.median(x @ weights))
        self.least = 0.3 * seconds_per_step

    def __call__(self, genome: str) -> float:
        """Seconds per step of a genome."""
        return max(float(self._parts(genome) @ self.weights), self.least)

    def _parts(self, genome: str) -> Float[np.ndarray, " parts"]:
        livs = Genome.parse(genome).livs
        kinds = Counter((liv.operator.token_mixing, liv.operator.differential) for liv in livs)
        parts = [kinds[mixing, twice] for mixing in (1, 2, 3, 4) for twice in (False, True)]
        return np.array([1.0, *parts])


def _kernel(same: np.ndarray, distance: np.ndarray, scale: float, share: float) -> np.ndarray:
    return share * np.exp((same - 1) / scale) + (1 - share) * np.exp(-distance / 2)


def _alike(first: Genome, second: Genome) -> float:
    """Mean likeness of the layers at the same depth, from 0 to 1."""
    pairs = zip(first.livs, second.livs, strict=True)
    return float(np.mean([_layers_alike(a.operator, b.operator) for a, b in pairs]))


def _layers_alike(a: Any, b: Any) -> float:
    if a == b:
        return 1.0
    if a.token_mixing != b.token_mixing:
        return 0.0
    return 0.5 + 0.25 * (a.differential == b.differential)


def _counts(genome: Genome) -> Float[np.ndarray, " counts"]:
    kinds = [(liv.operator.token_mixing, liv.operator.differential) for liv in genome.livs]
    found = Counter(kinds)
    counts = [found[mixing, twice] for mixing in (1, 2, 3, 4) for twice in (False, True)]
    shared = sum(liv.feature_strategy > 1 for liv in genome.livs)
    tied = sum(liv.featurizer_strategy > 1 for liv in genome.livs)
    return np.array([*counts, shared, tied], dtype=float)


def _scores(rows: list[dict[str, Any]], genome: str, rung: int) -> list[float]:
    return [row["scores"][str(rung)] for row in rows if row["genome"] == genome]
