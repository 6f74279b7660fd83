"""`madstar runs`: the runs of an archive."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .app import command
from .document import print_document
from .options import AsJson, Home

if TYPE_CHECKING:
    from ..archive import RunRow

# Columns beside the run's name, with room for some words in the last.
_OTHERS = 72


@command("runs")
def runs(as_json: AsJson = False, home: Home = Path("runs")) -> None:
    """List the runs of the archive, oldest first."""
    from ..archive import Archive
    from ..search.run import ARCHIVE_NAME

    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        rows = archive.runs()
    listed = [_document(row) for row in rows]
    if as_json:
        print_document(listed)
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(markup=False)
    table = Table(box=None, padding=(0, 2, 0, 0))
    for heading in ("run", "kind", "created", "status", "minutes", "what"):
        table.add_column(heading, no_wrap=heading != "what", overflow="fold")
    for row in listed:
        created = row["created"][:16].replace("T", " ")
        minutes = f"{row['seconds'] / 60:.1f}"
        table.add_row(row["run"], row["kind"], created, row["status"], minutes, Text(_what(row)))
    # A name must be whole, for it is there to be copied: the terminal may break a line, the table may not.
    console.width = max(console.width, max((len(row["run"]) for row in listed), default=0) + _OTHERS)
    console.print(table, soft_wrap=True)


def _document(row: RunRow) -> dict[str, Any]:
    settings = row.config.get("settings", {})
    document: dict[str, Any] = {
        "run": row.name,
        "kind": row.kind,
        "created": row.created.isoformat(timespec="seconds"),
        "status": row.status,
        "seconds": round(row.seconds, 1),
    }
    if row.kind == "benchmark":
        tasks = list(dict.fromkeys(setting["task"] for setting in settings))
        budget = row.config["budget"]["name"]
        label = row.config["label"]
        return {
            **document,
            "label": label,
            "protocol": row.config["protocol"],
            "budget": budget,
            "tasks": tasks,
        }
    if row.kind == "design":
        return {**document, "data": settings.get("data"), "rounds": len(row.config.get("rounds", ()))}
    return {**document, "data": settings.get("data"), "objectives": settings.get("objectives")}


def _what(row: dict[str, Any]) -> str:
    if row["kind"] == "benchmark":
        tasks = row["tasks"][0] if len(row["tasks"]) == 1 else f"{len(row['tasks'])} tasks"
        return f"{row['label']}: {tasks}"
    if row["kind"] == "design":
        return f"{row['data']}: {row['rounds']} rounds"
    return f"{row['data']}: {', '.join(row['objectives'] or ())}"
