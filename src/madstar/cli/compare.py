"""`madstar compare`: benchmarks side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import command
from .document import print_document
from .options import AsJson, Home


@command("compare")
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(metavar="RUN...", help="Benchmarks, each by any part of its name that only it has."),
    ],
    html: Annotated[Path | None, typer.Option(help="Write the comparison as one HTML file here.")] = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Compare benchmarks of one protocol and one budget, task by task."""
    from rich.console import Console

    from ..protocol.compare import compare_runs
    from ..report.benchmark_page import write_comparison
    from ..report.benchmark_terminal import print_comparison

    found = compare_runs(runs, home)
    page = None if html is None else write_comparison(found, html)
    if as_json:
        print_document({**found.to_dict(), "report": None if page is None else str(page)})
        return
    print_comparison(found, Console(markup=False, highlight=False))
    if page is not None:
        typer.echo(f"Comparison: {page}")
