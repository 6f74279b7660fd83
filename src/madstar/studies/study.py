"""What a comparison of runs comes to, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..objectives import Objective
from .statistics import Interval
from .treatments import Treatment

WORKERS, CLOCK = "worker seconds", "wall clock"
CURVES = ("hypervolume", "quality")


@dataclass(frozen=True)
class Metric:
    """A figure of a run. `better` is "lower" or "higher"; None where it only describes."""

    name: str
    heading: str
    unit: str
    better: str | None
    meaning: str


_BITS = "bits per byte"
METRICS = (
    Metric(
        *("hypervolume", "hypervolume", "", "higher"),
        "share of the box of a seed that the candidates at the highest rung dominate, at the run's end",
    ),
    Metric(
        *("hypervolume_at_cost", "hypervolume at equal cost", "", "higher"),
        "the same when each run had spent as many worker seconds as the shortest",
    ),
    Metric(
        *("quality", "quality", _BITS, "lower"),
        "of the best candidate, on the validation text that chose it",
    ),
    Metric(
        *("quality_at_cost", "quality at equal cost", _BITS, "lower"),
        "the same when each run had spent as many worker seconds as the shortest",
    ),
    Metric(*("test", "test", _BITS, "lower"), "of the same candidate, on test text that chose nothing"),
    Metric(
        *("retrained", "retrained", _BITS, "lower"),
        "on test text, of the best candidate after retraining from scratch",
    ),
    Metric(
        *("parameters", "parameters of the best", "", None), "weights of the candidate with the best quality"
    ),
    Metric(*("candidates", "candidates", "", None), "candidates that were trained, to whatever rung"),
    Metric(*("finalists", "at the highest rung", "", None), "candidates that reached the highest rung"),
    Metric(*("evaluations", "evaluations", "", None), "trainings of candidates, each rung and each seed"),
    Metric(*("failed", "failed", "", None), "evaluations of candidates that failed"),
    Metric(
        *("worker_seconds", "worker seconds", "s", None),
        "seconds of workers spent on candidates, summed over workers",
    ),
    Metric(*("training_seconds", "training seconds", "s", None), "of these, seconds of training"),
    Metric(*("strategy_seconds", "strategy seconds", "s", None), "seconds the strategy itself computed"),
    Metric(*("wall_seconds", "wall seconds", "s", None), "seconds of search on the clock"),
)


@dataclass(frozen=True)
class Attained:
    """What one run has attained: figures by name of a metric, nan where there is none."""

    run: str
    treatment: str
    seed: int
    status: str
    best: str
    genome: str
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Difference:
    """`one` less `other` in a metric; the verdict is on `one`.

    `by_size` is the part of a difference in quality that goes with the sizes of the best candidates
    alone: by a line through all candidates, bits per byte for each doubling of parameters.
    """

    one: str
    other: str
    metric: str
    interval: Interval
    verdict: str
    by_size: float = math.nan


@dataclass(frozen=True)
class Curve:
    """A figure of a treatment against its cost: points (seconds, mean and interval over seeds)."""

    treatment: str
    axis: str
    metric: str
    points: tuple[tuple[float, Interval], ...]


@dataclass(frozen=True)
class Study:
    """Treatments side by side.

    `equal` are the settings all runs share, as (name, text). `paired` says whether differences are
    taken seed by seed. `horizon` are the worker seconds of the figures at equal cost, `validation` the
    budget of retraining, `cap` the bound on parameters. `summaries` are means over seeds by treatment
    and metric, `ranks` mean ranks by metric and treatment. `notes` are what a reader must know before
    believing a number.
    """

    treatments: tuple[Treatment, ...]
    attained: tuple[Attained, ...]
    equal: tuple[tuple[str, str], ...]
    task: str
    objectives: tuple[Objective, ...]
    rungs: tuple[str, ...]
    seeds: tuple[int, ...]
    paired: bool
    level: float
    horizon: float
    validation: str | None
    cap: float | None
    summaries: Mapping[str, Mapping[str, Interval]]
    differences: tuple[Difference, ...]
    ranks: Mapping[str, Mapping[str, float]]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Those of which there is a figure."""
        return tuple(m for m in METRICS if any(s[m.name].n for s in self.summaries.values()))

    @property
    def motifs(self) -> str:
        """Whether searches began from known good motifs, in a sentence."""
        seeded = [t.label for t in self.treatments if dict(t.settings).get("seeds", "none") != "none"]
        if not seeded:
            return "No search was seeded with motifs."
        if len(seeded) == len(self.treatments):
            return "All searches were seeded with known good motifs."
        return f"Seeded with known good motifs: {'; '.join(seeded)}. The others were not."

    def to_dict(self) -> dict[str, Any]:
        """One JSON document; what is not known is nan."""
        return {
            "data": self.task,
            "objectives": [
                {"name": o.name, "direction": o.direction, "unit": o.unit} for o in self.objectives
            ],
            "rung": {"number": len(self.rungs) - 1, "budget": self.rungs[-1]},
            "seeds": list(self.seeds),
            "paired": self.paired,
            "level": self.level,
            "equal_cost_seconds": self.horizon,
            "validation": self.validation,
            "parameter_cap": self.cap,
            "equal": dict(self.equal),
            "treatments": [
                {
                    "label": treatment.label,
                    "settings": dict(treatment.settings),
                    "figures": {
                        metric.name: self.summaries[treatment.label][metric.name].to_dict()
                        for metric in self.metrics
                    },
                    "ranks": {name: ranks[treatment.label] for name, ranks in self.ranks.items()},
                }
                for treatment in self.treatments
            ],
            "runs": [
                {
                    "run": each.run,
                    "treatment": each.treatment,
                    "seed": each.seed,
                    "status": each.status,
                    "best": each.best,
                    "genome": each.genome,
                    "figures": dict(each.figures),
                }
                for each in self.attained
            ],
            "differences": [
                {
                    "one": each.one,
                    "other": each.other,
                    "metric": each.metric,
                    **each.interval.to_dict(),
                    "verdict": each.verdict,
                    "by_size": each.by_size,
                }
                for each in self.differences
            ],
            "curves": [
                {
                    "treatment": curve.treatment,
                    "axis": curve.axis,
                    "metric": curve.metric,
                    "points": [
                        [x, interval.mean, interval.low, interval.high] for x, interval in curve.points
                    ],
                }
                for curve in self.curves
            ],
            "notes": [self.motifs, *self.notes],
        }
