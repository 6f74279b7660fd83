"""Plots of benchmarks: scores by task, accuracy by difficulty, learning curves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from ..archive import EvaluationRow
from ..protocol import Scores, SettingScore
from ..protocol.compare import Comparison
from ..protocol.race import OK, Race, races
from .plots import Plot

Trace = dict[str, Any]
# Colours that people with any colour vision tell apart, and symbols for print without colours.
COLOURS = tuple(f"--curve-{place}" for place in range(6))
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star")
_DASHES = ("solid", "dash", "dot")
_UP = 1.03
_CURVE_LEGEND = {"font": {"size": 10}}
Series = Sequence[tuple[str, Mapping[str, SettingScore]]]


def task_plot(
    labels: Sequence[str], tasks: Sequence[str], scores: Sequence[Sequence[tuple[float, float]]]
) -> Plot:
    """Scores by task with their errors: `scores` by label, then by task, as (value, error)."""
    traces = []
    shift = 0.7 / max(1, len(labels))
    for place, label in enumerate(labels):
        at = [row + shift * (place - (len(labels) - 1) / 2) for row in range(len(tasks))]
        values = [value for value, _ in scores[place]]
        errors = [0.0 if math.isnan(error) else error for _, error in scores[place]]
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": escape(label),
                "x": values,
                "y": at,
                "error_x": {"type": "data", "array": errors, "color": _colour(place), "thickness": 1.5},
                "marker": {"color": _colour(place), "size": 9, "symbol": SYMBOLS[place % len(SYMBOLS)]},
                "hovertext": [
                    f"<b>{escape(task)}</b><br>{escape(label)}<br>{value:.3f} ± {error:.3f}"
                    for task, (value, error) in zip(tasks, scores[place], strict=True)
                ],
                "hoverinfo": "text",
                "showlegend": len(labels) > 1,
            }
        )
    layout = {
        "xaxis": {"title": {"text": "accuracy"}, "range": [0, _UP]},
        "yaxis": {
            "tickvals": list(range(len(tasks))),
            "ticktext": [escape(task) for task in tasks],
            "range": [len(tasks) - 0.5, -0.5],
            "ticks": "",
        },
    }
    return Plot("scores", "Score by task, with one standard error.", traces, layout)


def chance_trace(chances: Sequence[float]) -> Trace:
    """Marks where guessing would be, one for each task of `task_plot`."""
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "chance",
        "x": list(chances),
        "y": list(range(len(chances))),
        "marker": {"color": "--other", "size": 13, "symbol": "line-ns-open", "line": {"width": 2}},
        "hovertemplate": "chance %{x:.3f}<extra></extra>",
        "showlegend": True,
    }


def difficulty_plots(series: Series) -> tuple[Plot, ...]:
    """For each task and each field that its settings vary alone: accuracy against the field's value."""
    known = {key: each for _, scores in series for key, each in scores.items()}
    plots = []
    for task in dict.fromkeys(each.setting.task for each in known.values()):
        of_task = {key: each for key, each in known.items() if each.setting.task == task}
        for field, keys in varied(of_task).items():
            plots.append(_difficulty_plot(series, of_task, task, field, keys))
    return tuple(plots)


def varied(scores: Mapping[str, SettingScore]) -> dict[str, list[str]]:
    """By field the keys of settings that are alike but for that field, rising; fields without any left out.

    Where several groups are alike in all else, the largest is meant: it is the one around the baseline.
    """
    fields = [field for field in _fields(next(iter(scores.values()))) if field not in ("task", "name")]
    found: dict[str, list[str]] = {}
    for field in fields:
        groups: dict[tuple[Any, ...], list[str]] = defaultdict(list)
        for key, each in scores.items():
            rest = {name: value for name, value in _fields(each).items() if name not in (field, "name")}
            groups[tuple(sorted(rest.items()))].append(key)
        largest = max(groups.values(), key=len)
        if len(largest) > 1:
            found[field] = sorted(largest, key=lambda key: float(scores[key].setting[field]))
    return found


def curve_plots(scores: Scores) -> tuple[tuple[str, tuple[Plot, ...]], ...]:
    """By task a plot for each setting that has curves: accuracy on the way at each sweep point."""
    found: dict[str, list[Plot]] = {}
    for number, race in enumerate(races(scores.plan, scores.rows)):
        plot = _curves_plot(race, f"curves-{number}")
        if plot is not None:
            found.setdefault(race.setting.task, []).append(plot)
    return tuple((task, tuple(plots)) for task, plots in found.items())


def run_plots(scores: Scores) -> tuple[Plot, tuple[Plot, ...]]:
    """A benchmark's scores by task with chance, and its plots by difficulty."""
    tasks = [task for task in scores.tasks if task.scored]
    plot = task_plot(["score"], [task.task for task in tasks], [[(task.value, task.error) for task in tasks]])
    chances = [sum(each.chance for each in task.scored) / len(task.scored) for task in tasks]
    plot.data.append(chance_trace(chances))
    plot.data[0]["showlegend"] = True
    return plot, difficulty_plots([("score", by_key(scores))])


def comparison_plots(
    found: Comparison, labels: Sequence[str], marks: Sequence[str]
) -> tuple[Plot, tuple[Plot, ...]]:
    """The same of several runs; the small plots have room for the runs' marks only."""
    lines = [line for line in (*found.tasks, found.overall) if line.settings]
    scores = [[(line.scores[p].value, line.scores[p].error) for line in lines] for p in range(len(labels))]
    series = [(label, by_key(each)) for label, each in zip(marks, found.runs, strict=True)]
    return task_plot(labels, [line.name for line in lines], scores), difficulty_plots(series)


def by_key(scores: Scores) -> dict[str, SettingScore]:
    """The settings that have a score."""
    return {each.setting.key: each for task in scores.tasks for each in task.scored}


def _difficulty_plot(
    series: Series, scores: Mapping[str, SettingScore], task: str, field: str, keys: Sequence[str]
) -> Plot:
    words = field.replace("_", " ")
    ticks = [float(scores[key].setting[field]) for key in keys]
    traces: list[Trace] = []
    for place, (label, own) in enumerate(series):
        here = [own[key] for key in keys if key in own]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": escape(label),
                "x": [float(each.setting[field]) for each in here],
                "y": [each.value for each in here],
                "error_y": {
                    "type": "data",
                    "array": [0.0 if math.isnan(each.error) else each.error for each in here],
                    "color": _colour(place),
                    "thickness": 1.2,
                },
                "line": {"color": _colour(place), "width": 2, "dash": _dash(place)},
                "marker": {"size": 7, "symbol": SYMBOLS[place % len(SYMBOLS)], "color": _colour(place)},
                "hovertext": [
                    f"<b>{escape(label)}</b><br>{words} {each.setting[field]}<br>"
                    f"{each.value:.3f} ± {each.error:.3f}"
                    for each in here
                ],
                "hoverinfo": "text",
            }
        )
    traces.append(_chance_line([scores[key] for key in keys], field))
    logarithmic = min(ticks) > 0 and max(ticks) / min(ticks) > 3
    layout = {
        "xaxis": {
            "title": {"text": words},
            "tickvals": ticks,
            "ticktext": [f"{tick:,g}" for tick in ticks],
            **({"type": "log"} if logarithmic else {}),
        },
        "yaxis": {"title": {"text": "accuracy"}, "range": [-0.03, _UP]},
    }
    return Plot(f"by-{field}-{task}".replace(":", "-"), f"{task}: accuracy by {words}.", traces, layout)


def _chance_line(scores: Sequence[SettingScore], field: str) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "chance",
        "x": [float(each.setting[field]) for each in scores],
        "y": [each.chance for each in scores],
        "line": {"color": "--other", "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
    }


def _curves_plot(race: Race, key: str) -> Plot | None:
    """The curves of one setting; None where nothing has a curve."""
    verdicts = {str(point): reason for point, reason in race.verdicts().items()}
    chosen, traces, drawn = str(race.chosen()), list[Trace](), False
    for place, point in enumerate(race.plan.points):
        for seed, rows in _by_seed(race, str(point)):
            curve = max((row.curve for row in rows if row.status == OK), key=len, default=())
            drawn = drawn or bool(curve)
            name = f"{point}: {_ending(rows, verdicts[str(point)])}"
            if seed:
                name = f"{point}, seed {seed}"
            traces.append(
                {
                    "type": "scatter",
                    "mode": "lines+markers",
                    "name": escape(name),
                    "x": [0.0, *(step for step, _ in curve)],
                    "y": [chance_of(race), *(accuracy for _, accuracy in curve)],
                    "line": {
                        "color": _colour(place),
                        "width": 2.5 if str(point) == chosen and not seed else 1.3,
                        "dash": "dot" if seed else "solid",
                    },
                    "marker": {"size": 4, "symbol": SYMBOLS[place % len(SYMBOLS)]},
                    "hovertemplate": f"<b>{escape(name)}</b><br>step %{{x}}: %{{y:.3f}}<extra></extra>",
                }
            )
    if not drawn:
        return None
    layout = {
        "xaxis": {"title": {"text": "training step"}, "rangemode": "tozero"},
        "yaxis": {"title": {"text": f"accuracy ({race.plan.protocol.selection})"}, "range": [-0.03, _UP]},
        "legend": {"orientation": "h", **_CURVE_LEGEND},
    }
    return Plot(key, f"{race.setting.name}; chosen: {chosen if race.chosen() else 'none'}.", traces, layout)


def chance_of(race: Race) -> float:
    """Where every curve begins."""
    from ..protocol.plan import chance

    return chance(race.setting)


def _by_seed(race: Race, point: str) -> Iterator[tuple[int, list[EvaluationRow]]]:
    rows = [row for row in race.rows if row.point == point]
    for seed in sorted({row.seed for row in rows}):
        yield seed, sorted((row for row in rows if row.seed == seed), key=lambda row: row.rung)


def _ending(rows: Sequence[EvaluationRow], reason: str) -> str:
    """Why a training stopped, and when."""
    last = rows[-1]
    word = reason if last.status == OK else last.status
    return f"{word} at step {last.steps:,}" if last.steps else word


def _fields(score: SettingScore) -> dict[str, Any]:
    return score.setting.to_dict()


def _colour(place: int) -> str:
    return COLOURS[place % len(COLOURS)]


def _dash(place: int) -> str:
    return _DASHES[place // len(COLOURS) % len(_DASHES)]
