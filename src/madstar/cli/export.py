"""`madstar export`: a candidate as a directory of plain PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import command
from .document import print_document
from .options import AsJson, Home, RunName


@command("export")
def export(
    out: Annotated[Path, typer.Option("--out", help="Directory to write.")],
    run: RunName = "latest",
    pick: Annotated[
        str | None,
        typer.Option(
            help="A candidate's number, genome or baseline name [default: best in the first objective]."
        ),
    ] = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Write a trained candidate as modeling.py, config.json, model.safetensors and a README."""
    from ..export import export_model
    from ..search import Run

    opened = Run.open(run, home)
    chosen = opened.entry(pick)
    tokenizer = opened.task_directory / "tokenizer.json"
    directory = export_model(
        chosen.build(),
        out,
        genome=str(chosen.genome),
        figures=opened.figures(chosen),
        tokenizer=tokenizer if tokenizer.exists() else None,
        title=f"{chosen.entry.label} of run {opened.name}",
    )
    if as_json:
        document = {"directory": str(directory), "genome": str(chosen.genome), "values": chosen.values}
        print_document(document)
        return
    typer.echo(f"Exported {chosen.entry.label} ({chosen.genome}) to {directory}")
    typer.echo(f"Try it: python {directory / 'modeling.py'} --prompt 'The ' --tokens 100")
