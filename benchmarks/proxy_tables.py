"""The figures of `benchmarks.proxy` as Markdown tables for docs/benchmarks.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from madstar.studies.statistics import mean_interval


def markdown(result: Mapping[str, Any]) -> str:
    """The tables for docs/benchmarks.md."""
    counts = result["counts"]
    told = [f"{n} scored at {budget}" for budget, n in counts["mad"].items()]
    told += [f"{n} on text at width {width}" for width, n in counts["text"].items()]
    head = f"{counts['architectures']} architectures; {', '.join(told) or 'no rows yet'}"
    lines = [f"{head}. Trainings on text that diverged: {counts['diverged']} of {counts['text_trainings']}."]
    lines += _score_lines(result) + _correlation_lines(result) + _task_lines(result)
    return "\n".join(_filled(lines + _finding_lines(result)))


def _score_lines(result: Mapping[str, Any]) -> list[str]:
    columns = [name for name in result["scores"] if not name.startswith("parameters")]
    names = sorted(
        {name for column in columns for name in result["scores"][column]},
        key=lambda name: -result["scores"][columns[0]].get(name, -math.inf),
    )
    lines = _head("architecture", *columns)
    for name in names:
        cells = []
        for column in columns:
            value = result["scores"][column].get(name)
            cells.append("-" if value is None else f"{abs(value):.3f}")
        lines.append(_row(name, *cells))
    return lines


def _correlation_lines(result: Mapping[str, Any]) -> list[str]:
    lines = _head("ranking", "against", "class", "architectures", "Kendall [95 %]", "Spearman [95 %]")
    for row in result["correlations"]:
        both = (_estimate(row["kendall"]), _estimate(row["spearman"]))
        lines.append(_row(row["one"], row["other"], row["class"], row["architectures"], *both))
    return lines


def _task_lines(result: Mapping[str, Any]) -> list[str]:
    lines = _head("budget", "task", "CPU s", "spread", "text width", "Kendall [95 %]", "Spearman [95 %]")
    for row in result["tasks"]:
        both = (_estimate(row["kendall"]), _estimate(row["spearman"]))
        cost = (f"{row['cpu_seconds']:.0f}", f"{row['spread']:.3f}")
        lines.append(_row(row["budget"], row["task"], *cost, row["width"], *both))
    lines += _head("task", "quick against", "architectures", "Kendall [95 %]", "Spearman [95 %]")
    for row in result["agreement"]:
        both = (_estimate(row["kendall"]), _estimate(row["spearman"]))
        lines.append(_row(row["task"], row["budget"], row["architectures"], *both))
    lines += _head(
        "budget",
        "text width",
        "at most",
        "best set of tasks",
        "CPU s",
        "tau, fitted",
        "tau, left out",
        "chosen",
    )
    for row in result["sets"]:
        taus = (f"{row['tau']:+.2f}", f"{row['left_out']:+.2f}", f"{row['chosen']:.0%}")
        tasks = (f"{row['share']:.0%}", ", ".join(row["tasks"]), f"{row['cpu_seconds']:.0f}")
        lines.append(_row(row["budget"], row["width"], *tasks, *taus))
    return lines


def _finding_lines(result: Mapping[str, Any]) -> list[str]:
    lines = _head("measure", "striped hybrid", "less", "difference", "verdict")
    for row in result["striped"]:
        lines.append(_row(row["measure"], row["striped"], row["other"], _plus_minus(row), row["verdict"]))
    lines += _head("measure", "striped less", "pairs", "mean difference [95 % over pairs]", "better", "worse")
    groups = dict.fromkeys((row["measure"], row["against"]) for row in result["striped"])
    for measure, against in groups:
        own = [r for r in result["striped"] if (r["measure"], r["against"]) == (measure, against)]
        mean = mean_interval([row["value"] for row in own])
        verdicts = [sum(row["verdict"] == word for row in own) for word in ("better", "worse")]
        lines.append(
            _row(measure, against, len(own), _estimate([mean.mean, mean.low, mean.high], 3), *verdicts)
        )
    lines += _head("measure", "mixer", "attention", "value", "less that of 25 %", "verdict")
    for row in result["share"]:
        less = row["less_quarter"]
        cells = ("", "") if row["share"] == 0.25 else (_plus_minus(less), less["verdict"])
        value = _with_error(f"{abs(row['value']):.3f}", row["error"])
        lines.append(_row(row["measure"], row["mixer"], f"{row['share']:.0%}", value, *cells))
    lines.append("\nDifferences on text are of bits per byte negated: above 0 is better.")
    return lines


def _filled(lines: Sequence[str]) -> list[str]:
    """Without the tables that have a head and no rows."""
    heads = [place for place, line in enumerate(lines) if line.startswith("|---")]
    empty = [place for place in heads if not "".join(lines[place + 1 : place + 2]).startswith("|")]
    left_out = {line for place in empty for line in range(place - 2, place + 1)}
    return [line for place, line in enumerate(lines) if place not in left_out]


def _plus_minus(row: Mapping[str, Any]) -> str:
    return _with_error(f"{row['value']:+.3f}", row["error"])


def _with_error(value: str, error: float) -> str:
    """Without what is not known: one seed says nothing of others."""
    return value if math.isnan(error) else f"{value} ± {error:.3f}"


def _estimate(three: Sequence[float], places: int = 2) -> str:
    value, low, high = three
    return f"{value:+.{places}f} [{low:+.{places}f}, {high:+.{places}f}]"


def _head(*cells: str) -> list[str]:
    return ["", _row(*cells), f"|{'---|' * len(cells)}"]


def _row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"
