"""`madstar report`: what a run has found."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import command
from .document import print_document
from .options import AsJson, Home, RunName


@command("report")
def report(
    run: RunName = "latest",
    html: Annotated[
        Path | None,
        typer.Option(help="Where to write the page [default: report.html in the run's directory]."),
    ] = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Print a run's front beside the baselines, and write its report as one HTML file."""
    from rich.console import Console

    from ..report import gather, print_summary
    from ..search import Run

    opened = Run.open(run, home)
    found = gather(opened)
    page = found.write(html or opened.directory / "report.html")
    if as_json:
        print_document({**found.to_dict(), "report": str(page)})
        return
    print_summary(found.summary, Console(), found.validation)
    typer.echo(f"Report: {page}")
