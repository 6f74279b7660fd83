"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Home = Annotated[
    Path,
    typer.Option("--home", envvar="MADSTAR_HOME", help="Directory of the archive and the runs' files."),
]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or latest.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document to stdout and nothing else.")]
