"""The table of learners beside one another: as JSON data, and as text for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from ..datasets.examples import TASKS
from .comparison import Gain, Line, Row, Spread, best, gain, lines
from .judging import HEADLINES

MODEL = "graph transformer"
"""The learner that others are held against."""

FEWEST = 6
"""Families below which an interval drawn from them says nothing."""


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """All tasks and splits: each learner's figures, and what the transformer gains over the best other."""
    found = []
    for task, split in _asked(rows):
        seeds = sorted({row["split_seed"] for row in rows if (row["task"], row["split"]) == (task, split)})
        found.append(
            {
                "task": task,
                "split": split,
                "split_seeds": seeds,
                "learners": [_learner(line) for line in lines(rows, task, split)],
                "gains": [
                    {
                        "measure": g.measure,
                        "over": g.over,
                        "gain": g.gain,
                        "interval_95": [g.low, g.high],
                        "families": g.families,
                    }
                    for g in gains(rows, task, split)
                ],
            }
        )
    return {"tables": found}


def gains(rows: Sequence[Row], task: str, split: str, learner: str = MODEL) -> list[Gain]:
    """For each measure what a learner gains over the best of the others by mean over families."""
    found = []
    for measure in HEADLINES[task]:
        over = best(rows, task, split, measure, (learner,))
        if over is not None and (g := gain(rows, task, split, measure, learner, over)) is not None:
            found.append(g)
    return found


def _asked(rows: Sequence[Row]) -> list[tuple[str, str]]:
    there = {(row["task"], row["split"]) for row in rows}
    splits = list(dict.fromkeys(row["split"] for row in rows))
    return [(task, split) for task in TASKS for split in splits if (task, split) in there]


def _learner(line: Line) -> dict[str, Any]:
    return {
        "learner": line.learner,
        "seconds": line.seconds,
        "families": {name: _data(spread) for name, spread in line.families.items() if spread.count},
        "plain": {name: _data(spread) for name, spread in line.plain.items() if spread.count},
    }


def _data(spread: Spread) -> dict[str, Any]:
    return {"mean": spread.mean, "deviation": spread.deviation, "splits": spread.count}


def shown(rows: Sequence[Row], plain: bool = False) -> RenderableType:
    """Tables of means over families (or over all questions), mean and standard deviation over split seeds."""
    parts: list[RenderableType] = []
    for task, split in _asked(rows):
        found = [row for row in rows if (row["task"], row["split"]) == (task, split)]
        seeds = len({row["split_seed"] for row in found})
        asked = sorted({row["counts"]["questions"] for row in found})
        over = "over all questions" if plain else "mean over families"
        number = f"{asked[0]:,}" if len(asked) == 1 else f"{asked[0]:,} to {asked[-1]:,}"
        splits = f"{seeds} split {'seed' if seeds == 1 else 'seeds'}"
        title = f"{task}, split {split}: {over}, {splits}, {number} questions"
        parts += [Text(title, style="bold"), _table(lines(rows, task, split), task, plain)]
        if not plain:
            parts += [Text(_said(g), style="dim") for g in gains(rows, task, split)]
        parts.append(Text())
    return Group(*parts)


def _table(found: Sequence[Line], task: str, plain: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("learner", no_wrap=True)
    measures = [
        name
        for name in HEADLINES[task]
        if any((line.plain if plain else line.families)[name].count for line in found)
    ]
    for name in (*measures, "seconds"):
        table.add_column(name, justify="right")
    for line in found:
        figures = line.plain if plain else line.families
        style = "bold" if line.learner == MODEL else ""
        table.add_row(line.learner, *(str(figures[n]) for n in measures), f"{line.seconds:,.0f}", style=style)
    return table


def _said(g: Gain) -> str:
    verdict = "better" if g.low > 0 else "worse" if g.high < 0 else "no difference shown"
    if g.families < FEWEST:
        verdict = "too few families to tell"
    return (
        f"{MODEL}, {g.measure}: {g.gain:+.3f} [{g.low:+.3f}, {g.high:+.3f}] against {g.over} "
        f"({g.families} families): {verdict}"
    )


def text(rows: Sequence[Row], plain: bool = False, width: int = 120) -> str:
    """The tables without colours."""
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(shown(rows, plain))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
