"""What a model's guidance was worth in a run: candidates it chose beside candidates made without it.

A strategy that is guided marks each proposal's operator as "guided:..." or "unguided:...". Both kinds are
made at the same time from the same parents and trained alike. They are compared at the first rung, which
all have climbed: on a higher one only the best of both would be seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .summary import RunSummary

KINDS = ("guided", "unguided")
_DRAWS = 2000
_LEVEL = 0.95


@dataclass(frozen=True)
class Worth:
    """Of each kind, guided first: how many were measured, how many are on the front, their median `figure`.

    `difference` is guided less unguided, with the bounds of its 95 % bootstrap interval in `low` and `high`;
    all three are nan where either kind was not measured. `better` says which sign is good.
    """

    figure: str
    budget: str
    counts: tuple[int, int]
    on_front: tuple[int, int]
    medians: tuple[float, float]
    difference: float
    low: float
    high: float
    better: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what is not a number is None."""
        return {
            "figure": self.figure,
            "budget": self.budget,
            **{
                kind: {
                    "measured": self.counts[i],
                    "on_front": self.on_front[i],
                    "median": _plain(self.medians[i]),
                }
                for i, kind in enumerate(KINDS)
            },
            "difference": {
                "median": _plain(self.difference),
                "low": _plain(self.low),
                "high": _plain(self.high),
                "level": _LEVEL,
            },
        }

    def __str__(self) -> str:
        """One line: "quality at 50 steps: median 2.1 of 31 guided, 2.3 of 8 unguided, ..."."""
        if not all(self.counts):
            missing = KINDS[0] if not self.counts[0] else KINDS[1]
            return f"{sum(self.counts)} measured, none of them {missing}: nothing to compare"
        told = ", ".join(
            f"{median:.4g} of {count} {kind}"
            for median, count, kind in zip(self.medians, self.counts, KINDS, strict=True)
        )
        shares = " and ".join(
            f"{on} of {count} {kind}"
            for on, count, kind in zip(self.on_front, self.counts, KINDS, strict=True)
        )
        sure = "" if self.low > 0 or self.high < 0 else ", no clear difference"
        return (
            f"median {self.figure} after {self.budget}: {told}; difference {self.difference:+.4g} "
            f"(95% from {self.low:+.4g} to {self.high:+.4g}{sure}; {self.better} is better); "
            f"on the front: {shares}"
        )


def worth_of(summary: RunSummary) -> Worth | None:
    """What guidance was worth in a run; None where its strategy was guided by no model."""
    kind_of = {row.index: row.operator.partition(":")[0] for row in summary.candidates}
    if not set(KINDS) & set(kind_of.values()):
        return None
    objective = next((o for o in summary.objectives if o.kind == "trained"), summary.objectives[0])
    values: dict[str, dict[int, float]] = {kind: {} for kind in KINDS}
    for row in summary.evaluations:
        kind = kind_of.get(row.candidate)
        if kind in values and row.rung == 0 and row.status == "ok" and row.stage == "search":
            values[kind][row.candidate] = row.values[objective.name]
    on_front = [sum(kind_of[entry.index] == kind for entry in summary.front) for kind in KINDS]
    guided, unguided = (list(values[kind].values()) for kind in KINDS)
    low, high = _interval(guided, unguided)
    medians = _median(guided), _median(unguided)
    return Worth(
        figure=objective.name,
        budget=summary.settings.rungs[0],
        counts=(len(guided), len(unguided)),
        on_front=(on_front[0], on_front[1]),
        medians=medians,
        difference=medians[0] - medians[1],
        low=low,
        high=high,
        better="less" if objective.direction == "min" else "more",
    )


def _interval(guided: Sequence[float], unguided: Sequence[float]) -> tuple[float, float]:
    """Percentile bootstrap of the difference of medians; the same for the same figures."""
    if not guided or not unguided:
        return float("nan"), float("nan")
    rng = np.random.default_rng(0)
    drawn = [
        np.median(rng.choice(np.asarray(values), (_DRAWS, len(values))), axis=1)
        for values in (guided, unguided)
    ]
    low, high = np.quantile(drawn[0] - drawn[1], [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if values else float("nan")


def _plain(value: float) -> float | None:
    return value if np.isfinite(value) else None
