"""The application: its commands, and what happens when one fails.

A user's error is one line on stderr and exit status 2; `--debug` shows the traceback. Results go to
stdout, everything else to stderr.
"""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer

from ..errors import MadstarError
from ..version import __version__

Command = TypeVar("Command", bound=Callable[..., Any])

app = typer.Typer(
    name="madstar",
    help="A laboratory for designing neural architectures: write, try, evolve, compare.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class _Debug:
    """Whether tracebacks are shown; set once from the command line."""

    wanted = False


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks of errors.")] = False,
) -> None:
    _Debug.wanted = debug
    if version:
        typer.echo(f"madstar {__version__}")
        raise typer.Exit


def group(name: str, about: str) -> typer.Typer:
    """Register a word that several commands stand under, such as `madstar graph`; give it to `command`."""
    commands = typer.Typer(
        help=about,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.add_typer(commands, name=name)
    return commands


def command(name: str, within: typer.Typer = app, **settings: Any) -> Callable[[Command], Command]:
    """Register a command whose errors become one line and an exit status; `settings` are typer's."""

    def register(function: Command) -> Command:
        @functools.wraps(function)
        def guarded(*arguments: Any, **options: Any) -> Any:
            try:
                return function(*arguments, **options)
            except (MadstarError, OSError) as error:
                if _Debug.wanted:
                    raise
                raise _exit(error) from None
            except KeyboardInterrupt:
                # Here and not in main, because typer ends the process without a word on Ctrl-C.
                typer.echo("madstar: interrupted", err=True)
                raise typer.Exit(130) from None

        within.command(name, **settings)(guarded)
        return function

    return register


def _exit(error: MadstarError | OSError) -> typer.Exit:
    text = " ".join(str(error).split())
    if isinstance(error, BrokenPipeError):
        return typer.Exit(1)
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        text = f"the disk is full ({error.filename or 'while writing'}): free some room, then resume the run"
    typer.echo(f"madstar: {text}", err=True)
    return typer.Exit(2)


def main() -> None:
    """Entry point of the `madstar` command."""
    # The commands register themselves.
    from . import (  # noqa: F401
        benchmark,
        compare,
        design,
        export,
        genes,
        graph,
        graph_edit,
        graph_export,
        graph_run,
        layers,
        learn_dataset,
        learn_evaluate,
        learn_generate,
        learn_predict,
        learn_train,
        motifs,
        report,
        runs,
        scale,
        search,
        show,
        study,
        tasks,
        trace,
        train,
        validate,
        zoo,
    )

    app()
