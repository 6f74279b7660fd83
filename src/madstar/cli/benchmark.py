"""`madstar benchmark`: an architecture scored on MAD's tasks."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import ConfigurationError
from .app import command
from .document import print_document
from .options import AsJson, Home, spelled_out

PAGE_NAME = "report.html"
Layers = Annotated[
    list[str] | None,
    typer.Option(
        "--layers",
        metavar="LAYER...",
        help="Layers from input to output: names that madstar layers lists, file.py:Class or "
        "package.module:Class.",
    ),
]
MoreLayers = Annotated[
    list[str] | None, typer.Argument(metavar="[LAYER]...", help="The layers after the first.")
]
Genome = Annotated[str | None, typer.Option("--genome", help="A genome instead of layers.")]
Dim = Annotated[int, typer.Option("--dim", help="Channels.")]
IsoState = Annotated[
    bool, typer.Option("--iso-state", help="Give layers of fixed state one of 4,096 numbers.")
]
Protocol = Annotated[
    str, typer.Option("--protocol", help="sound or mad-lab; never compared with each other.")
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers", help="Worker processes, one thread each; 0 trains in this process, without limits."
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")]
TimeLimit = Annotated[float, typer.Option("--time-limit", help="Seconds for one training.")]
Name = Annotated[str | None, typer.Option("--name", help="The run's name.")]


@command("benchmark")
def benchmark(
    more: MoreLayers = None,
    layers: Layers = None,
    genome: Genome = None,
    model: Annotated[
        str | None,
        typer.Option(help="A function (task, vocab_size, max_length) -> module: file.py:make_model_fn."),
    ] = None,
    model_id: Annotated[str | None, typer.Option(help="What that model is called.")] = None,
    protocol: Protocol = "sound",
    budget: Annotated[str, typer.Option(help="quick, standard or full.")] = "quick",
    tasks: Annotated[
        list[str] | None, typer.Option(help="Tasks, such as memorization,compression [default: MAD's six].")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Train on your own settings of a task.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Train on data in mad-lab's benchmark layout.")
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Seeds of each setting [default: the budget's].")] = None,
    dim: Dim = 128,
    iso_state: IsoState = False,
    workers: Workers = 2,
    device: Device = "auto",
    time_limit: TimeLimit = 7200.0,
    name: Name = None,
    as_json: AsJson = False,
    home: Home = Path("runs"),
) -> None:
    """Score an architecture on MAD's tasks; what was trained before is not trained again."""
    from ..protocol import benchmark as run_benchmark

    chosen = joined(tasks or ())
    if settings is not None and chosen:
        raise ConfigurationError("tasks and settings are both given: a file of settings names its task")
    if model_id is not None and model is None:
        raise ConfigurationError("a model's name is given, but no model: add --model file.py:make_model_fn")
    asked = gathered(layers, more)
    scores = watched(
        lambda watcher: run_benchmark(
            asked or None,
            make_model_fn=model,
            model_id=model_id,
            genome=genome,
            protocol=protocol,
            budget=budget,
            tasks=chosen or None,
            settings=settings,
            data=data,
            seeds=seeds,
            dim=dim,
            iso_state=iso_state,
            workers=workers,
            device=device,
            time_limit=time_limit,
            home=home,
            name=name,
            watcher=watcher,
        )
    )
    show(scores, home, as_json)


def gathered(layers: Sequence[str] | None, more: Sequence[str] | None) -> list[str]:
    """The layers of `--layers a b c`, of which an option takes the first and the others are arguments."""
    given, rest = list(layers or ()), list(more or ())
    if rest and not given:
        raise ConfigurationError(f"'{rest[0]}' stands alone: write --layers before the layers' names")
    if rest and len(given) > 1:
        # Between several options and arguments the order is lost.
        raise ConfigurationError("--layers is given more than once: write it once, then all layers in order")
    return [name for text in (*given, *rest) for name in _names(text)]


def joined(texts: Sequence[str]) -> list[str]:
    """Names of an option that may be repeated, or hold several with commas or spaces."""
    return [name for text in texts for name in text.replace(",", " ").split()]


def _names(text: str) -> list[str]:
    """Several names in one value; a file's path may hold spaces of its own."""
    return [text] if Path(text.rpartition(":")[0]).is_file() else text.split()


def watched(run: Callable[[Any], Any]) -> Any:
    """Train while telling how it goes; on Ctrl-C say how to go on, and exit with 130."""
    from ..report.benchmark_live import benchmark_watcher

    watcher = benchmark_watcher(sys.stderr)
    try:
        return run(watcher)
    except KeyboardInterrupt:
        watcher.close()
        again = shlex.join(["madstar", *sys.argv[1:]])
        typer.echo(f"\nInterrupted; every training that ended is kept. Go on with: {again}", err=True)
        raise typer.Exit(130) from None
    finally:
        watcher.close()


def show(scores: Any, home: Path, as_json: bool, html: Path | None = None) -> None:
    """A benchmark's scores on stdout, its page in its directory, its failures on stderr."""
    from rich.console import Console

    from ..report.benchmark_page import write_benchmark
    from ..report.benchmark_terminal import print_scores

    page = write_benchmark(scores, html or home / scores.run.name / PAGE_NAME)
    if as_json:
        print_document({**scores.to_dict(), "report": str(page)})
    else:
        print_scores(scores, Console(markup=False, highlight=False))
        typer.echo(f"Run: {scores.run.name}")
        typer.echo(f"Report: {page}")
        typer.echo(f"Compare: madstar compare {spelled_out(scores.run.name, home)} ANOTHER")
    tell_failures(scores)


def tell_failures(scores: Any) -> None:
    """Each setting that could not be trained, in one line on stderr."""
    from ..report.benchmark_terminal import failures

    for line in failures(scores):
        typer.echo(f"failed: {line}", err=True)
