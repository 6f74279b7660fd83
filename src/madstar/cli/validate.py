"""`madstar validate`: a run's front and the baselines, trained again from scratch."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import command
from .document import print_document
from .options import AsJson, Home, RunName, spelled_out

DEFAULT_SEEDS = 3


@command("validate")
def validate(
    run: RunName = "latest",
    budget: Annotated[
        str | None,
        typer.Option(help="Training of each, such as 1600 [default: 4 times the run's largest rung]."),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings of each architecture, at least 2.")] = DEFAULT_SEEDS,
    workers: Annotated[int | None, typer.Option(help="Worker processes [default: the run's].")] = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Train a run's front and all baselines again, with more budget and fresh seeds, and compare them."""
    from ..search import Run

    found = run_validation(Run.open(run, home), budget=budget, seeds=seeds, workers=workers)
    if as_json:
        print_document(found.to_dict())
    else:
        show_validation(found)


def run_validation(run: Any, *, budget: str | None, seeds: int, workers: int | None = None) -> Any:
    """Validate a run while telling how it goes; on Ctrl-C say how to go on, and exit with 130."""
    import sys

    from ..report.trials import trials_watcher
    from ..studies.validation import validate as validate_run

    watcher = trials_watcher(sys.stderr, "validation")
    try:
        return validate_run(run, budget=budget, seeds=seeds, workers=workers, watcher=watcher)
    except KeyboardInterrupt:
        watcher.close()
        again = f"madstar validate {spelled_out(run.name, run.home)}"
        again += "" if budget is None else f" --budget {shlex.quote(budget)}"
        again += "" if seeds == DEFAULT_SEEDS else f" --seeds {seeds}"
        typer.echo(f"\nInterrupted; every training that ended is kept. Go on with: {again}", err=True)
        raise typer.Exit(130) from None
    finally:
        watcher.close()


def show_validation(validation: Any) -> None:
    """Print a validation's tables."""
    from rich.console import Console

    from ..report.validated import print_validation

    print_validation(validation, Console())
