"""Rows of judged learners put together: mean and spread over splits, and what one gains over another.

A row is JSON data: task, learner, split, split seed, seed, the figures over all questions (`plain`), their
means over families (`families`), the figures of each family (`by_family`), counts and seconds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .judging import HEADLINES

Row = Mapping[str, Any]

LOWER_IS_BETTER = frozenset({"MAE"})


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over split seeds, the standard deviation (nan for one), and how many there were."""

    mean: float
    deviation: float
    count: int

    def __str__(self) -> str:
        if self.count == 0:
            return "-"
        return f"{self.mean:.3f}" + (f" ± {self.deviation:.3f}" if self.count > 1 else "")


@dataclass(frozen=True, slots=True)
class Line:
    """A learner's figures in a task: over all questions and over families, by measure."""

    learner: str
    plain: Mapping[str, Spread]
    families: Mapping[str, Spread]
    seconds: float


@dataclass(frozen=True, slots=True)
class Gain:
    """What a learner gains over another in a measure: the mean over families with an interval of 95 %."""

    measure: str
    over: str
    gain: float
    low: float
    high: float
    families: int


def lines(rows: Sequence[Row], task: str, split: str) -> list[Line]:
    """A line for each learner of a task on a split, in the order of their first rows."""
    by_learner: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row["task"] == task and row["split"] == split:
            by_learner[row["learner"]].append(row)
    return [
        Line(
            learner,
            {name: _spread(found, "plain", name) for name in HEADLINES[task]},
            {name: _spread(found, "families", name) for name in HEADLINES[task]},
            float(np.mean([row["seconds"] for row in found])),
        )
        for learner, found in by_learner.items()
    ]


def _spread(rows: Sequence[Row], key: str, measure: str) -> Spread:
    """Over split seeds; several seeds of learning on one split are one figure, their mean."""
    by_split: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if (value := row[key].get(measure)) is not None:
            by_split[row["split_seed"]].append(value)
    values = [float(np.mean(found)) for found in by_split.values()]
    if not values:
        return Spread(float("nan"), float("nan"), 0)
    return Spread(
        float(np.mean(values)),
        float(np.std(values, ddof=1)) if len(values) > 1 else float("nan"),
        len(values),
    )


def best(rows: Sequence[Row], task: str, split: str, measure: str, others: Sequence[str]) -> str | None:
    """The learner with the best mean over families, those in `others` left out."""
    sign = -1 if measure in LOWER_IS_BETTER else 1
    found = [
        (sign * line.families[measure].mean, line.learner)
        for line in lines(rows, task, split)
        if line.learner not in others and line.families[measure].count
    ]
    return max(found)[1] if found else None


def gain(
    rows: Sequence[Row], task: str, split: str, measure: str, learner: str, over: str, draws: int = 10_000
) -> Gain | None:
    """What a learner gains over another on the same questions, paired over families.

    The difference of each family is its mean over the splits and seeds in which both were asked; families are
    drawn anew with replacement. Positive is better, also where lower figures are. None without any in common.
    """
    differences: dict[str, list[float]] = defaultdict(list)
    of = {name: _figures(rows, task, split, measure, name) for name in (learner, over)}
    for key in of[learner].keys() & of[over].keys():
        differences[key[1]].append(of[learner][key] - of[over][key])
    if not differences:
        return None
    sign = -1 if measure in LOWER_IS_BETTER else 1
    values = sign * np.array([np.mean(differences[family]) for family in sorted(differences)])
    rng = np.random.default_rng(0)
    drawn = values[rng.integers(len(values), size=(draws, len(values)))].mean(1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Gain(measure, over, float(values.mean()), float(low), float(high), len(values))


def _figures(
    rows: Sequence[Row], task: str, split: str, measure: str, learner: str
) -> dict[tuple[int, str], float]:
    """By split seed and family the mean over seeds of learning."""
    found: dict[tuple[int, str], list[float]] = defaultdict(list)
    for row in rows:
        if (row["task"], row["split"], row["learner"]) == (task, split, learner):
            for family, figures in row["by_family"].items():
                if (value := figures.get(measure)) is not None:
                    found[row["split_seed"], family].append(value)
    return {key: float(np.mean(values)) for key, values in found.items()}
