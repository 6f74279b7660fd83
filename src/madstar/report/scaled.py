"""A run's winner at a larger size, in a terminal."""

from __future__ import annotations

import math

from rich.console import Console
from rich.table import Table

from ..studies.scaled import ScaledResult
from ..studies.statistics import Interval


def print_scaled(result: ScaledResult, console: Console) -> None:
    """Print figures at the larger size, and differences to the baselines there and before."""
    figures = Table(box=None, padding=(0, 2, 0, 0))
    own = f"at its size, {result.own_budget}" if result.own_budget else "at its size"
    for heading in ("architecture", "bits per byte", own, "seeds", "parameters", "cache (bytes)"):
        figures.add_column(heading, justify="left" if heading == "architecture" else "right")
    for entry in result.entries:
        figures.add_row(
            entry.label,
            _figure(entry.scaled),
            "unknown" if entry.own is None else _figure(entry.own),
            str(entry.scaled.n) + "".join(f", {failure}" for failure in entry.failures),
            f"{entry.parameters:,.0f}",
            f"{entry.cache:,.0f}",
        )
    size = f"width {result.sizes['width']}"
    if result.sizes["depth"]:
        size += f", depth {result.sizes['depth']}"
    console.print(f"{result.source} at {size}, {result.budget}, learning rate {result.learning_rate:g}")
    console.print(f"{result.measure.replace('_', ' ')}, mean ± standard error over seeds\n")
    console.print(figures)
    console.print()
    console.print(_differences(result))
    console.print(f"\nKept as run {result.run}")


def _differences(result: ScaledResult) -> Table:
    """Members less baselines, at the larger size and before."""
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("member", "less baseline", "now", "95 % interval", "at its size", "verdict"):
        table.add_column(
            heading, justify="left" if heading in ("member", "less baseline", "verdict") else "right"
        )
    for entry in result.members:
        for one in entry.against:
            known = not math.isnan(one.scaled.low)
            table.add_row(
                entry.label,
                one.baseline,
                f"{one.scaled.mean:+.3f}",
                f"{one.scaled.low:+.3f} to {one.scaled.high:+.3f}" if known else "one seed",
                "unknown" if one.own is None else f"{one.own.mean:+.3f}",
                one.verdict if one.verdict == one.outcome else f"{one.verdict}: {one.outcome}",
            )
    return table


def _figure(interval: Interval) -> str:
    if math.isnan(interval.mean):
        return "none"
    return f"{interval.mean:.3f}" + ("" if math.isnan(interval.error) else f" ± {interval.error:.3f}")
