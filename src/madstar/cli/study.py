"""`madstar study`: strategies side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import command
from .document import print_document
from .options import AsJson, Home


@command("study")
def study(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Names of runs, or latest.")],
    out: Annotated[Path | None, typer.Option(help="Write the study as one HTML file here.")] = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Compare runs that differ in strategy and seed: hypervolume, quality and cost, with intervals."""
    from rich.console import Console

    from ..report.study import print_study, write_study
    from ..search import Run
    from ..studies.comparison import compare

    found = compare([Run.open(name, home) for name in runs])
    page = write_study(found, out) if out is not None else None
    if as_json:
        print_document({**found.to_dict(), "report": None if page is None else str(page)})
        return
    print_study(found, Console())
    if page is not None:
        typer.echo(f"Study: {page}")
