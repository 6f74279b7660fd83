"""`madstar runs`: the runs of an archive."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from .app import command
from .options import AsJson, Home


@command("runs")
def runs(as_json: AsJson = False, home: Home = Path("runs")) -> None:
    """List the runs of the archive, oldest first."""
    from ..archive import Archive
    from ..search.run import ARCHIVE_NAME

    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        rows = archive.runs()
    listed = [
        {
            "run": row.name,
            "created": row.created.isoformat(timespec="seconds"),
            "status": row.status,
            "seconds": round(row.seconds, 1),
            "data": row.config.get("settings", {}).get("data"),
            "objectives": row.config.get("settings", {}).get("objectives"),
        }
        for row in rows
    ]
    if as_json:
        typer.echo(json.dumps(listed, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("run", "created", "status", "minutes", "data", "objectives"):
        table.add_column(heading)
    for row in listed:
        objectives = ", ".join(row["objectives"] or ())
        table.add_row(
            row["run"], row["created"], row["status"], f"{row['seconds'] / 60:.1f}", row["data"], objectives
        )
    Console().print(table)
