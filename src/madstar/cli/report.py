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
    """Print what a search, a benchmark or a design run has found, and write its report as one HTML file."""
    from rich.console import Console

    from ..archive import Archive
    from ..report import gather, print_summary
    from ..search import Run
    from ..search.run import ARCHIVE_NAME

    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(run)
    if row.kind == "benchmark":
        _report_benchmark(row.name, html, as_json, home)
        return
    if row.kind == "design":
        _report_design(row.name, html, as_json, home)
        return
    opened = Run.open(row.name, home)
    found = gather(opened)
    page = found.write(html or opened.directory / "report.html")
    if as_json:
        print_document({**found.to_dict(), "report": str(page)})
        return
    print_summary(found.summary, Console(), found.validation)
    typer.echo(f"Report: {page}")


def _report_benchmark(run: str, html: Path | None, as_json: bool, home: Path) -> None:
    """The scores of a benchmark, as far as it has come."""
    from ..protocol import read_scores
    from .benchmark import show

    show(read_scores(run, home), home, as_json, html)


def _report_design(run: str, html: Path | None, as_json: bool, home: Path) -> None:
    """The rounds of a design run, as far as it has come."""
    from ..design.reading import read
    from ..report.design_page import write_design
    from ..report.design_terminal import print_design

    found = read(run, home)
    page = write_design(found, html or found.directory / "report.html")
    if as_json:
        print_document({**found.to_dict(), "report": str(page)})
        return
    print_design(found)
    typer.echo(f"Report: {page}")
