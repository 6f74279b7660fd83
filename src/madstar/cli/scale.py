"""`madstar scale`: a run's winner at a larger size."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import command
from .document import print_document
from .options import AsJson, Home, RunName


@command("scale")
def scale(
    run: RunName,
    width: Annotated[
        int | None, typer.Option(help="Channels; heads keep their size [default: as it was].")
    ] = None,
    depth: Annotated[
        int | None, typer.Option(help="Layers, a multiple of the genome's [default: as it was].")
    ] = None,
    how: Annotated[
        str, typer.Option(help="Deeper by repeating the whole genome (stack) or each layer (stretch).")
    ] = "stack",
    budget: Annotated[
        str | None, typer.Option(help="Training of each, such as 800 [default: the highest rung's].")
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each, with different seeds.")] = 2,
    learning_rate: Annotated[
        float | None, typer.Option(help="Peak rate [default: the run's, divided by as much as it is wider].")
    ] = None,
    front: Annotated[
        bool, typer.Option("--front", help="The whole front, not its best in the first objective.")
    ] = False,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Train a run's winner and the baselines at a larger size; prints whether it holds.

    The same command again goes on where it stopped.
    """
    from ..search import Run
    from ..studies.scale import FRONT
    from ..studies.scale import scale as scale_run

    opened = Run.open(run, home)
    try:
        result = scale_run(
            opened,
            width=width,
            depth=depth,
            how=how,
            budget=budget,
            seeds=seeds,
            members=FRONT if front else 1,
            learning_rate=learning_rate,
            watcher=_Lines(),
        )
    except KeyboardInterrupt:
        typer.echo(
            "\nInterrupted; everything finished is kept. The same command goes on from there.", err=True
        )
        raise typer.Exit(130) from None
    if as_json:
        print_document(result.to_dict())
        return
    _print(result)


class _Lines:
    """Tells on stderr how the trainings go: a line for each that ends."""

    def began(self, total: int, done: int) -> None:
        self._total, self._done = total, done
        typer.echo(f"{total} trainings, {done} of them done", err=True)

    def ended(self, trial: Any, row: Any) -> None:
        self._done += 1
        score = row.values.get("bits_per_byte")
        said = row.status if score is None else f"{score:.3f} bits per byte"
        typer.echo(
            f"[{self._done}/{self._total}] candidate {row.candidate} seed {row.seed}: {said}", err=True
        )

    def tick(self, progress: Any) -> None:
        """Nothing: lines are for what has ended."""


def _print(result: Any) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False)
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


def _differences(result: Any) -> Any:
    """Members less baselines, at the larger size and before."""
    from rich.table import Table

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


def _figure(interval: Any) -> str:
    if math.isnan(interval.mean):
        return "none"
    return f"{interval.mean:.3f}" + ("" if math.isnan(interval.error) else f" ± {interval.error:.3f}")
