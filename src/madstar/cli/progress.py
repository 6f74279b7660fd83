"""Progress on stderr: a bar with the time left on a terminal, elsewhere lines."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import typer

News = TypeVar("News")


@dataclass(frozen=True)
class Mark:
    """How far something is: done and total in any unit, and a few words."""

    done: float
    total: float
    words: str = ""


@contextmanager
def shown(
    mark: Callable[[News], Mark],
    line: Callable[[News], str | None],
    *,
    counted: bool = True,
    tells_left: bool = False,
) -> Iterator[Callable[[News], None]]:
    """What to call with news.

    On a terminal a bar moves to the news' mark: numbers done if `counted`, else their share, and the time
    left unless the words tell it (`tells_left`). Elsewhere the line is written, where there is one.
    """
    if not sys.stderr.isatty():

        def write(news: News) -> None:
            if (text := line(news)) is not None:
                typer.echo(text, err=True)

        yield write
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    columns: list[ProgressColumn] = [
        MofNCompleteColumn() if counted else TaskProgressColumn(),
        BarColumn(24),
        *(() if tells_left else (TimeRemainingColumn(),)),
        TextColumn("{task.description}", markup=False),
    ]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def move(news: News) -> None:
            now = mark(news)
            bar.update(task, total=now.total, completed=now.done, description=now.words)

        yield move
