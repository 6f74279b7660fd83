"""`madstar runs`: the runs of an archive."""

from __future__ import annotations

from pathlib import Path

from .app import command
from .document import print_document
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
        print_document(listed)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "created", "status", "minutes", "data", "objectives"):
        # A name must be whole, for it is there to be copied.
        table.add_column(heading, no_wrap=heading in ("run", "created"))
    for row in listed:
        objectives = ", ".join(row["objectives"] or ())
        created = row["created"][:16].replace("T", " ")
        table.add_row(
            row["run"], created, row["status"], f"{row['seconds'] / 60:.1f}", row["data"], objectives
        )
    Console(markup=False).print(table)
