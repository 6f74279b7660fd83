"""A design run in a terminal: a row for each round, the best, how right the predictor was, why it stopped."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from ..design.reading import DesignRun

_HEADINGS = ("round", "trained", "failed", "best", "gain", "tau", "guided median", "free median")


def print_design(found: DesignRun) -> None:
    """Print what a run has come to."""
    console = Console(markup=False, highlight=False, soft_wrap=True)
    if found.rounds:
        table = Table(box=None, pad_edge=False, header_style="bold")
        for heading in _HEADINGS:
            table.add_column(heading, justify="right", no_wrap=True)
        for record in found.rounds:
            medians = [record["groups"].get(group, {}).get("median") for group in ("guided", "free")]
            table.add_row(
                str(record["round"]),
                str(record["trained"]),
                str(record["failed"]),
                number(record["best"]),
                number(record["gain"], sign=True),
                number(record["agreement"]["tau"], 2, sign=True),
                *(number(median) for median in medians),
            )
        wide = Console(markup=False, highlight=False)
        wide.width = max(wide.width, 80)
        wide.print(table)
    best = found.best
    if best is not None:
        test = found.tested.get(best.index)
        tested = "" if test is None else f", {number(test)} on test"
        score = f"{number(best.score)} bits per byte"
        console.print(f"Best: #{best.index} {best.genome} ({best.origin}), {score}{tested}")
    if found.agreement["tau"] is not None:
        tau, n = found.agreement["tau"], found.agreement["n"]
        console.print(f"Predictor before training against measured: Kendall's tau {tau:+.2f} of {n}")
    console.print(f"Stopped: {found.stopped}")


def number(value: float | None, digits: int = 4, sign: bool = False) -> str:
    """A figure, or a dash where there is none."""
    if value is None:
        return "-"
    return f"{value:+.{digits}f}" if sign else f"{value:.{digits}f}"
