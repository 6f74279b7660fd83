"""Options that several commands share."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path,
    typer.Option("--home", envvar="MADSTAR_HOME", help="Directory of the archive and the runs' files."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or latest.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout and nothing else.")]


def spelled_out(run: str, home: Path) -> str:
    """A run and its home as a shell takes them, for commands that are told to people."""
    where = "" if home == Path("runs") else f" --home {shlex.quote(str(home))}"
    return shlex.quote(run) + where
