"""Figures of a study: intervals in words, and curves with bands."""

from __future__ import annotations

import itertools
import math
from html import escape
from typing import Any

from ..studies.statistics import Interval
from ..studies.study import CLOCK, CURVES, METRICS, WORKERS, Curve, Metric, Study
from .plots import Plot
from .quantities import MISSING, amount

COLOURS = tuple(f"--curve-{place}" for place in range(6))
_DASHES = ("solid", "dash", "dot")
_AXES = {
    WORKERS: ("worker seconds spent on candidates", "worker seconds"),
    CLOCK: ("seconds on the clock, without breaks", "seconds"),
}


def mean_words(interval: Interval, unit: str = "") -> str:
    """A mean, with as many places as its interval or, without one, as its size gives sense to."""
    if unit == "bytes" or not math.isfinite(interval.mean):
        return amount(None if math.isnan(interval.mean) else interval.mean, unit)
    places = _places(interval)
    if places is None or interval.low == interval.high:
        return amount(interval.mean)
    return _signed(interval.mean, places)


def bounds_words(interval: Interval) -> str:
    """The interval, "2.79 to 2.84"; nothing where it is not known, or has no width."""
    places = _places(interval)
    if places is None or interval.low == interval.high:
        return ""
    return f"{_signed(interval.low, places)} to {_signed(interval.high, places)}"


def difference_words(interval: Interval) -> str:
    """A difference with its sign."""
    text = mean_words(interval)
    return text if interval.mean < 0 or text == MISSING else f"+{text}"


def signed(number: float) -> str:
    """A number of four places with its sign."""
    return f"{round(number, 4) + 0.0:+.4f}".replace("-", "−")  # + 0.0: no minus before a zero


def facts(study: Study) -> list[tuple[str, str]]:
    """What a study is of, in a few words each."""
    equal = dict(study.equal)
    ends = [
        (equal[name], name)
        for name in ("minutes", "steps", "candidates", "generations")
        if equal[name] != "none"
    ]
    limits = [f"{count} {name[:-1] if count == '1' else name}" for count, name in ends]
    return [
        ("runs", f"{len(study.attained)}"),
        ("seeds", ", ".join(map(str, study.seeds))),
        ("budget of a run", " or ".join(limits)),
        ("highest rung", study.rungs[-1]),
        ("objectives", ", ".join(o.name for o in study.objectives)),
        ("constraints", equal["constraints"]),
        ("differences", "paired by seed" if study.paired else "between independent samples"),
        ("equal cost", f"{study.horizon:,.0f} worker seconds"),
        ("retrained with", study.validation or "not retrained"),
    ]


def _places(interval: Interval) -> int | None:
    """Places that show two digits of the interval's half width, and three of small figures whatever it is;

    None without an interval.
    """
    half = (interval.high - interval.low) / 2
    if not math.isfinite(half):
        return None
    least = 3 if abs(interval.mean) < 10 else 0
    return min(6, max(least, 1 - math.floor(math.log10(half)))) if half > 0 else least


def _signed(number: float, places: int) -> str:
    """With a minus sign that is as wide as a plus, and no minus before a zero."""
    text = f"{number:,.{places}f}"
    return text.lstrip("-") if not any(c in "123456789" for c in text) else text.replace("-", "−")


def curve_plots(study: Study) -> tuple[Plot, ...]:
    """Hypervolume and quality against worker seconds and against the clock."""
    metrics = {metric.name: metric for metric in METRICS}
    plots = []
    for axis, (title, word) in _AXES.items():
        for name in CURVES:
            curves = [c for c in study.curves if (c.axis, c.metric) == (axis, name) and c.points]
            if curves:
                key = f"{name}-{'workers' if axis == WORKERS else 'clock'}"
                plots.append(_curve_plot(study, metrics[name], curves, key, title, word))
    return tuple(plots)


def _curve_plot(study: Study, metric: Metric, curves: list[Curve], key: str, title: str, word: str) -> Plot:
    order = [treatment.label for treatment in study.treatments]
    bands, lines = [], []
    for curve in curves:
        place = order.index(curve.treatment)
        colour, dash = COLOURS[place % len(COLOURS)], _DASHES[place // len(COLOURS) % len(_DASHES)]
        bands += _band(curve, colour)
        lines.append(_line(curve, metric, colour, dash, word))
    heading = metric.heading + (f" ({metric.unit})" if metric.unit else "")
    layout: dict[str, Any] = {
        "xaxis": {"title": {"text": title}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": heading[:1].upper() + heading[1:]}},
    }
    if metric.name == "hypervolume":
        layout["yaxis"]["rangemode"] = "nonnegative"
    banded = f", with {study.level:.0%} intervals over seeds" if bands else ""
    caption = f"{metric.heading[:1].upper()}{metric.heading[1:]} against {word}: means{banded}."
    return Plot(key, caption, [*bands, *lines], layout)


def _line(curve: Curve, metric: Metric, colour: str, dash: str, word: str) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(curve.treatment),
        "x": [x for x, _ in curve.points],
        "y": [interval.mean for _, interval in curve.points],
        "line": {"shape": "hv", "color": colour, "width": 2, "dash": dash},
        "hovertemplate": f"<b>{escape(curve.treatment)}</b><br>{metric.heading} %{{y:.4g}} "
        f"after %{{x:.0f}} {word}<extra></extra>",
    }


def _band(curve: Curve, colour: str) -> list[dict[str, Any]]:
    """The interval as one closed shape that follows the steps of the line; none where there are no bounds."""
    known = [(x, i) for x, i in curve.points if math.isfinite(i.low)]
    if len(known) < 2:
        return []
    upper = _steps([(x, i.high) for x, i in known])
    lower = _steps([(x, i.low) for x, i in known])
    outline = [*upper, *reversed(lower)]
    return [
        {
            "type": "scatter",
            "mode": "lines",
            "x": [x for x, _ in outline],
            "y": [y for _, y in outline],
            "fill": "toself",
            "fillcolor": colour,
            "opacity": 0.16,
            "line": {"width": 0, "color": colour},
            "hoverinfo": "skip",
            "showlegend": False,
        }
    ]


def _steps(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of a line that holds each figure until the next."""
    corners = points[:1]
    for (_, before), (x, after) in itertools.pairwise(points):
        corners += [(x, before), (x, after)]
    return corners
