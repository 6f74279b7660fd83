"""The report's plots, as plain data for plotly.js.

Colours are written as names of the page's style sheet ("--front"), which the page resolves, so that
one plot does for light, dark and print.
"""

from __future__ import annotations

import itertools
import math
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from ..objectives import Objective
from ..search import Entry, RunSummary
from .axes import Axis
from .labels import positions
from .measures import QUALITY, error, heading, shown, value
from .quantities import amount, plural
from .words import letters

Trace = dict[str, Any]

_BASELINE_SYMBOLS = ("diamond", "square", "triangle-up", "star", "x", "cross")
_DASHES = ("solid", "dash", "dot", "dashdot")
_FRONT_COLOURS = 6


@dataclass(frozen=True)
class Plot:
    """One plot: where it stands in the page (`key`), its caption, and plotly's data and layout."""

    key: str
    caption: str
    data: list[Trace]
    layout: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """What plotly.js takes, with null for what is not a finite number."""
        return {"data": _finite(self.data), "layout": _finite(self.layout)}


def front_plots(summary: RunSummary) -> tuple[Plot, ...]:
    """The front in each pair of objectives, and quality against parameters and cache in any case."""
    return tuple(
        _front_plot(summary, x, y, f"front-{number}")
        for number, (y, x) in enumerate(pairs(summary.objectives))
        if any(_figured(entry, x, y) for entry in summary.entries)
    )


def pairs(objectives: Sequence[Objective]) -> tuple[tuple[Objective, Objective], ...]:
    """Pairs of figures worth plotting, as (vertical, horizontal); quality is vertical where it is one."""
    measures = {measure.name: measure for measure in shown(objectives)}
    quality = measures[QUALITY]
    anchors = [quality] if len(objectives) > 1 else [objectives[0], quality]
    chosen = list(itertools.combinations(objectives, 2))
    chosen += [(a, m) for a in anchors for m in measures.values() if m.name not in (QUALITY, a.name)]
    if len(objectives) == 1 and objectives[0].name != QUALITY:
        chosen.append((quality, objectives[0]))
    ordered = [(b, a) if b.name == QUALITY else (a, b) for a, b in chosen]
    return tuple({frozenset((a.name, b.name)): (a, b) for a, b in ordered}.values())


def hypervolume_plot(summary: RunSummary) -> Plot | None:
    """Hypervolume against evaluations; None before the first evaluation at the highest rung."""
    if not any(math.isfinite(volume) for _, volume in summary.hypervolumes):
        return None
    trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": [count for count, _ in summary.hypervolumes],
        "y": [volume for _, volume in summary.hypervolumes],
        "line": {"shape": "hv", "color": "--front", "width": 2},
        "marker": {"size": 5, "color": "--front"},
        "hovertemplate": "%{y:.4g} after %{x} evaluations<extra></extra>",
        "showlegend": False,
    }
    layout = {
        "xaxis": {"title": {"text": "evaluations of the run, all rungs"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": "hypervolume"}, "rangemode": "tozero", "exponentformat": "power"},
    }
    corner = ", ".join(
        f"{heading(objective)} {amount(at, objective.unit)}"
        for objective, at in zip(summary.objectives, summary.reference, strict=False)
    )
    caption = f"Hypervolume of the candidates at rung {summary.rung + 1}, bounded by {corner}."
    return Plot("hypervolume", caption, [trace], layout)


def curves_plot(summary: RunSummary) -> Plot | None:
    """Learning curves of front and baselines, those of all others faint; None where there are none."""
    front = {entry.index for entry in summary.front}
    others = [e for e in summary.entries if e.index not in front and e.candidate.role == "search"]
    traces = [_other_curves(others)] if any(e.evaluation.curve for e in others) else []
    for place, entry in enumerate(e for e in summary.baselines if e.evaluation.curve):
        line = {"color": "--baseline", "width": 1.4, "dash": _DASHES[place % len(_DASHES)]}
        traces.append(_curve(entry, line))
    for place, entry in enumerate(e for e in summary.front if e.evaluation.curve):
        dash = ("solid", "dot", "dash")[place // _FRONT_COLOURS % 3]
        traces.append(_curve(entry, {"color": f"--curve-{place % _FRONT_COLOURS}", "width": 2, "dash": dash}))
    if not traces:
        return None
    losses = [loss for e in summary.entries for _, loss in e.evaluation.curve if math.isfinite(loss)]
    logarithmic = _spread(losses) >= 4
    layout = {
        "xaxis": {"title": {"text": "training step"}, "rangemode": "tozero"},
        "yaxis": {
            "title": {"text": "training loss (bits per byte)"},
            **({"type": "log", "dtick": "D2"} if logarithmic else {}),
        },
    }
    caption = (
        "Training loss, smoothed, up to the highest rung each has reached. "
        "The last steps of a rung have a falling learning rate, which shows as a bend."
    )
    return Plot("curves", caption, traces, layout)


def _front_plot(summary: RunSummary, x: Objective, y: Objective, key: str) -> Plot:
    plotted = [e for e in summary.entries if _figured(e, x, y)]
    compared = [e for e in plotted if e.rung == summary.rung]
    aside = [e for e in plotted if e.rung != summary.rung]
    axes = _Axes(Axis.of(x, compared, aside), Axis.of(y, compared, aside))
    front = {entry.index for entry in summary.front}
    searched = [e for e in plotted if e.candidate.role == "search" and e.index not in front]
    lower = [e for e in searched if e.rung < summary.rung]
    beside = [e for e in searched if e.rung == summary.rung]
    traces = [
        _points(lower, axes, "lower rungs", {"color": "--lower", "size": 5, "symbol": "circle-open"}, False),
        _points(beside, axes, "not on the front", {"color": "--other", "size": 6}),
    ]
    for place, entry in enumerate(summary.baselines):
        symbol = _BASELINE_SYMBOLS[place % len(_BASELINE_SYMBOLS)]
        late = entry.rung != summary.rung
        label = f"{entry.label} (rung {entry.rung + 1})" if late else entry.label
        marker = {"color": "--baseline", "size": 10, "symbol": f"{symbol}-open" if late else symbol}
        traces.append(_points([entry], axes, escape(label), marker))
    traces.append(_front_trace(summary, axes, [*beside, *summary.baselines]))
    hidden = sum(not axes.shows(entry) for entry in plotted)
    return Plot(
        key,
        _front_caption(summary, x, y, hidden),
        [trace for trace in traces if trace["x"]],
        {"xaxis": axes.x.layout(), "yaxis": axes.y.layout()},
    )


def _front_caption(summary: RunSummary, x: Objective, y: Objective, hidden: int) -> str:
    up = "lower" if y.direction == "min" else "higher"
    across = "further left" if x.direction == "min" else "further right"
    caption = f"{_capital(heading(y))} against {heading(x)}: {up} and {across} is better."
    objectives = {o.name for o in summary.objectives}
    aside = [heading(o) for o in (y, x) if o.name not in objectives]
    if aside:
        caption += f" Not optimised: {', '.join(aside)}."
    if hidden:
        caption += f" {plural(hidden, 'point')} of lower rungs beyond the edge: double-click to see all."
    return caption


@dataclass(frozen=True)
class _Axes:
    """The two axes of a plot."""

    x: Axis
    y: Axis

    def has(self, entry: Entry) -> bool:
        return self.x.has(entry) and self.y.has(entry)

    def at(self, entry: Entry) -> tuple[float, float]:
        return self.x.share(entry), self.y.share(entry)

    def shows(self, entry: Entry) -> bool:
        return all(0 <= share <= 1 for share in self.at(entry))


def _front_trace(summary: RunSummary, axes: _Axes, others: Sequence[Entry]) -> Trace:
    """The front's points; joined by steps where these are the run's only two objectives."""
    only = {o.name for o in summary.objectives} == {axes.x.measure.name, axes.y.measure.name}
    members = [e for e in summary.front if axes.has(e)]
    if only:
        members.sort(key=lambda e: axes.x.measure.cost(value(e, axes.x.measure) or 0.0))
    trace = _points(members, axes, "front", {"color": "--front", "size": 9})
    trace["mode"] = "lines+markers+text" if only else "markers+text"
    trace["text"] = [escape(e.label) for e in members]
    clear = [axes.at(e) for e in others if axes.has(e)]
    trace["textposition"] = positions([axes.at(e) for e in members], [e.label for e in members], clear)
    trace["textfont"] = {
        "color": "--front",
        "size": 11,
        "shadow": "0 0 3px var(--paper), 0 0 3px var(--paper)",
    }
    if only:
        trace["line"] = {"shape": "hv", "color": "--front", "width": 1, "dash": "dot"}
    return trace


def _points(
    entries: Iterable[Entry], axes: _Axes, label: str, marker: dict[str, Any], errors: bool = True
) -> Trace:
    kept = [e for e in entries if axes.has(e)]
    trace: Trace = {
        "type": "scatter",
        "mode": "markers",
        "name": label,
        "marker": marker,
        "hovertext": [_hover(e, axes) for e in kept],
        "hoverinfo": "text",
    }
    for name, axis in (("x", axes.x), ("y", axes.y)):
        trace[name] = [(value(e, axis.measure) or 0.0) / axis.factor for e in kept]
        spreads = [error(e, axis.measure) or 0.0 for e in kept]
        if errors and any(math.isfinite(spread) and spread > 0 for spread in spreads):
            trace[f"error_{name}"] = {
                "type": "data",
                "array": [s / axis.factor if math.isfinite(s) else 0.0 for s in spreads],
                "color": marker["color"],
                "thickness": 1,
                "width": 2,
            }
    return trace


def _hover(entry: Entry, axes: _Axes) -> str:
    figures = "<br>".join(
        f"{escape(heading(m))} {amount(value(entry, m), m.unit, error(entry, m))}"
        for m in (axes.y.measure, axes.x.measure)
    )
    genome = "<br>".join(escape(line) for line in textwrap.wrap(str(entry.genome), 56))
    return (
        f"<b>{escape(entry.label)}</b>, rung {entry.rung + 1}<br>{figures}<br>"
        f"{letters(entry.genome)}<br>{genome}"
    )


def _curve(entry: Entry, line: dict[str, Any]) -> Trace:
    label = escape(entry.label)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": label,
        "x": [step for step, _ in entry.evaluation.curve],
        "y": [loss for _, loss in entry.evaluation.curve],
        "line": line,
        "hovertemplate": f"<b>{label}</b><br>step %{{x}}: %{{y:.3f}}<extra></extra>",
    }


def _other_curves(entries: Sequence[Entry]) -> Trace:
    """All of them as one line with gaps, which draws fast however many there are."""
    steps: list[float | None] = []
    losses: list[float | None] = []
    for entry in entries:
        steps += [step for step, _ in entry.evaluation.curve] + [None]
        losses += [loss for _, loss in entry.evaluation.curve] + [None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "others",
        "x": steps,
        "y": losses,
        "line": {"color": "--lower", "width": 1},
        "hoverinfo": "skip",
    }


def _figured(entry: Entry, x: Objective, y: Objective) -> bool:
    """Whether an entry has finite figures for both axes."""
    across, up = value(entry, x), value(entry, y)
    return across is not None and up is not None and math.isfinite(across) and math.isfinite(up)


def _spread(values: Sequence[float]) -> float:
    """The largest value over the smallest; 1 where that says nothing."""
    finite = [v for v in values if math.isfinite(v)]
    return max(finite) / min(finite) if finite and min(finite) > 0 else 1.0


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _finite(data: Any) -> Any:
    """The same data with None for nan and infinity, which JSON does not have."""
    if isinstance(data, dict):
        return {key: _finite(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(item) for item in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
