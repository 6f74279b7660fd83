"""`madstar scale`: a run's winner at a larger size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import command
from .document import print_document
from .options import AsJson, Home, RunName, spelled_out


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
    import sys

    from rich.console import Console

    from ..report.scaled import print_scaled
    from ..report.trials import trials_watcher
    from ..search import Run
    from ..studies.scale import FRONT
    from ..studies.scale import scale as scale_run

    opened = Run.open(run, home)
    watcher = trials_watcher(sys.stderr, "scale")
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
            watcher=watcher,
        )
    except KeyboardInterrupt:
        watcher.close()
        typer.echo(
            "\nInterrupted; everything finished is kept. Go on with the same options and "
            f"madstar scale {spelled_out(opened.name, opened.home)}",
            err=True,
        )
        raise typer.Exit(130) from None
    finally:
        watcher.close()
    if as_json:
        print_document(result.to_dict())
        return
    print_scaled(result, Console(markup=False))
