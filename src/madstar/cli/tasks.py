"""`madstar tasks`: what an architecture can be tried on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .app import command
from .document import print_document
from .options import AsJson


@command("tasks")
def tasks(
    name: Annotated[
        str | None, typer.Argument(metavar="[TASK]", help="One task, with its settings by level.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the tasks, or the settings of one."""
    from ..report.benchmark_catalogue import print_task, print_tasks, task_document
    from ..tasks.mechanistic import find_task, known_tasks

    found = [find_task(each) for each in ([name] if name else known_tasks())]
    if as_json:
        documents: list[dict[str, Any]] = [task_document(each) for each in found]
        print_document(documents[0] if name else documents)
        return
    from rich.console import Console

    console = Console(markup=False, highlight=False)
    if name:
        print_task(found[0], console)
    else:
        print_tasks(found, console)
