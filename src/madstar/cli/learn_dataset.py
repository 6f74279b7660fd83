"""`madstar learn dataset`: graphs of all sources as a dataset, with examples of every task."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError
from .app import command
from .document import print_document
from .learn import learning
from .options import AsJson
from .progress import Mark, shown

if TYPE_CHECKING:
    from ..learning.datasets.building import Progress

MUSEUM = Path("museum")
_LINE_EVERY = 25


@command("dataset", within=learning)
def dataset(
    out: Annotated[Path, typer.Option("--out", help="The dataset: a folder, new or begun.")] = Path("data"),
    museum: Annotated[
        Path | None,
        typer.Option("--museum", help="A folder of madstar zoo trace [default: museum, if it is there]."),
    ] = None,
    archives: Annotated[
        list[Path] | None,
        typer.Option("--archive", help="A home of searches and benchmarks; once for each."),
    ] = None,
    own: Annotated[Path | None, typer.Option("--graphs", help="A folder of graph files of your own.")] = None,
    genomes: Annotated[int, typer.Option(help="Random genomes.")] = 200,
    edits: Annotated[int, typer.Option(help="Random edits of the models.")] = 200,
    layers: Annotated[bool, typer.Option(help="MAD's layers, each in its language model.")] = True,
    itself: Annotated[bool, typer.Option(help="The graph transformer itself, traced.")] = True,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    redo: Annotated[
        bool, typer.Option("--redo", help="Replace a dataset of other settings that stands there.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a dataset of graphs for madstar learn; what was made before is not made again."""
    for name, value in (("genomes", genomes), ("edits", edits), ("seed", seed)):
        if value < 0:
            raise ConfigurationError(f"--{name} is {value}: give 0 or more")
    if museum is None and (MUSEUM / "index.jsonl").is_file():
        museum = MUSEUM
    if museum is None and own is None:
        edits = 0
    import torch

    from ..learning.datasets.building import DatasetSettings, build_dataset

    torch.set_num_threads(1)  # tracing gains nothing of more
    settings = DatasetSettings(
        museum=museum,
        archives=tuple(archives or ()),
        own=own,
        genomes=genomes,
        layers=layers,
        itself=itself,
        edits=edits,
        seed=seed,
    )
    try:
        with shown(lambda now: Mark(now.done, now.total, _words(now)), _line, tells_left=True) as told:
            document = build_dataset(out, settings, told, redo=redo)
    except KeyboardInterrupt:
        typer.echo("\nInterrupted; what was made is kept. The same command again goes on.", err=True)
        raise typer.Exit(130) from None
    if as_json:
        kept = ("schema", "madstar", "seed", "settings", "counts", "classes", "tables")
        print_document({"folder": str(out), **{key: document[key] for key in kept}})
        return
    for line in _said(out, document, museum):
        typer.echo(line)


def _said(out: Path, document: dict[str, Any], museum: Path | None) -> Iterator[str]:
    counts = document["counts"]
    sources = ", ".join(f"{count:,} {source}" for source, count in counts["sources"].items())
    again = f" ({counts['aliases']:,} more were equal to one of them)" if counts["aliases"] else ""
    yield f"{counts['entries']:,} graphs in {counts['families']:,} families: {sources}{again}"
    yield "examples: " + ", ".join(f"{count:,} {task}" for task, count in counts["examples"].items())
    yield f"written to {out}; {out / 'README.md'} says what is in it"
    if museum is None:
        yield "no models of transformers or timm are in it: madstar zoo trace --all --shrunk makes a museum"
    if not counts["examples"]["performance"]:
        yield "no measurements are in it: give --archive HOME of a search or benchmark for performance"


def _words(now: Progress) -> str:
    from ..report.quantities import left

    return f"{now.last[:60]}{left(now.seconds_left) if now.done < now.total else ''}"


def _line(now: Progress) -> str | None:
    from ..report.quantities import left

    if now.done % _LINE_EVERY and now.done < now.total:
        return None
    words = left(now.seconds_left) if now.done < now.total else ""
    return f"[{now.done}/{now.total}] {now.last}{words}"
