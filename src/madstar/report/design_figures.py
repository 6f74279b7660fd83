"""Plots of a design run: scores in order with the best so far, and predictions against what was measured."""

from __future__ import annotations

from html import escape
from typing import Any

from ..design.reading import DesignRun, Proposed
from .plots import Plot

_GROUPS = {
    "block, guided": ("--curve-0", "circle"),
    "block, unguided": ("--curve-0", "circle-open"),
    "genome, guided": ("--curve-1", "diamond"),
    "genome, unguided": ("--curve-1", "diamond-open"),
}


def progress_plot(found: DesignRun) -> Plot | None:
    """Every score in the order of proposals, and the best so far; None where nothing was scored."""
    scored = [each for each in found.proposals if each.score is not None]
    if not scored:
        return None
    best, line = float("inf"), []
    for each in scored:
        best = min(best, each.score or 0.0)
        line.append(best)
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": "best so far",
            "x": [each.index for each in scored],
            "y": line,
            "line": {"shape": "hv", "color": "--other", "width": 2},
            "hoverinfo": "skip",
        }
    ]
    traces += [
        _points(scored, group, [each.index for each in scored if each.group == group]) for group in _GROUPS
    ]
    starts = [min(each.index for each in scored if each.round == number) for number in _rounds(scored)]
    layout = {
        "xaxis": {"title": {"text": "proposal"}},
        "yaxis": {"title": {"text": "bits per byte, validation"}},
        "shapes": [
            {
                "type": "line", "x0": start - 0.5, "x1": start - 0.5, "y0": 0, "y1": 1, "yref": "paper",
                "line": {"color": "--muted", "width": 1, "dash": "dot"},
            }
            for start in starts[1:]
        ],
    }  # fmt: skip
    caption = "Each trained proposal in order, rounds apart by dotted lines; lower is better."
    return Plot("progress", caption, [trace for trace in traces if trace["x"]], layout)


def prediction_plot(found: DesignRun) -> Plot | None:
    """What was predicted before training against what was measured; None where nothing was predicted."""
    told = [each for each in found.proposals if each.score is not None and each.predicted is not None]
    if not told:
        return None
    ends = [f(each.score or 0.0 for each in told) for f in (min, max)]
    traces: list[dict[str, Any]] = [
        {
            "type": "scatter", "mode": "lines", "name": "equal", "x": ends, "y": ends, "hoverinfo": "skip",
            "line": {"color": "--other", "width": 1, "dash": "dash"},
        }
    ]  # fmt: skip
    for group in _GROUPS:
        members = [each for each in told if each.group == group]
        trace = _points(told, group, [each.predicted for each in members])
        sides = [
            [(each.high or 0.0) - (each.predicted or 0.0) for each in members],
            [(each.predicted or 0.0) - (each.low or 0.0) for each in members],
        ]
        if members and all(each.low is not None for each in members):
            trace["error_x"] = {
                "type": "data", "symmetric": False, "array": sides[0], "arrayminus": sides[1],
                "color": _GROUPS[group][0], "thickness": 1,
            }  # fmt: skip
        traces.append(trace)
    layout = {
        "xaxis": {"title": {"text": "predicted, bits per byte"}},
        "yaxis": {"title": {"text": "measured, bits per byte"}},
    }
    caption = "Predicted before training, with the predictor's interval, against measured."
    return Plot("predictions", caption, [trace for trace in traces if trace["x"]], layout)


def _rounds(scored: list[Proposed]) -> list[int]:
    return sorted({each.round for each in scored})


def _points(scored: list[Proposed], group: str, x: list[Any]) -> dict[str, Any]:
    members = [each for each in scored if each.group == group]
    colour, symbol = _GROUPS[group]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": group,
        "x": x,
        "y": [each.score for each in members],
        "marker": {"color": colour, "symbol": symbol, "size": 8},
        "hovertext": [
            f"<b>#{each.index}</b>, round {each.round}<br>{escape(each.genome[:60])}<br>{each.score:.4f}"
            for each in members
        ],
        "hoverinfo": "text",
    }
