"""`madstar motifs`: what recurs in the winners of runs, against chance."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import command
from .document import print_document
from .options import AsJson, Home


@command("motifs")
def motifs(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Runs by name, or latest; pooled.")],
    winners: Annotated[
        str, typer.Option(help="Who counts as a winner: better-half, front, top-rung or best-quarter.")
    ] = "better-half",
    background: Annotated[
        int, typer.Option(min=1, help="Random genomes of each run's space to compare with.")
    ] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the random genomes.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write a page with pictures there.")] = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Find what recurs in the winners of runs more, or less, than chance gives, their descent considered."""
    from rich.console import Console

    from ..report.motifs import print_motifs, write_motifs
    from ..search import Run
    from ..studies.motifs import motifs as study_motifs

    # A run named twice is one run: its winners are not twice as many.
    opened = {run.name: run for run in (Run.open(name, home) for name in runs)}
    study = study_motifs(list(opened.values()), winners=winners, background=background, seed=seed)
    page = None if out is None else write_motifs(study, out)
    if as_json:
        print_document({**study.to_dict(), "page": None if page is None else str(page)})
        return
    print_motifs(study, Console(markup=False))
    if page is not None:
        typer.echo(f"Page: {page}")
