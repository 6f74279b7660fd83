"""`madstar learn predict`: what an architecture is expected to score, before it is trained."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ConfigurationError
from .addresses import Inputs, Shrunk, opened
from .app import command
from .document import print_document
from .learn import learning
from .options import AsJson
from .progress import Mark, shown

if TYPE_CHECKING:
    from ..learning.predictor import Predictor

_GENOME = re.compile(r"[0-9]+(-[0-9]+)*")
_STRANGE = 0.5
"""Graphs less alike than this to every measured one are said to be strange."""


@command("predict", within=learning)
def predict(
    graph: Annotated[
        str,
        typer.Argument(
            metavar="GRAPH_OR_GENOME", help="A graph file, a genome, or what madstar trace takes."
        ),
    ],
    data: Annotated[
        Path | None,
        typer.Option("--data", help="A dataset with measurements, of madstar learn dataset --archive."),
    ] = None,
    predictor: Annotated[
        Path | None, typer.Option("--predictor", help="A predictor that --save wrote, instead of --data.")
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option("--figure", help='Such as "quality after 100 steps"; once for each [default: all].'),
    ] = None,
    level: Annotated[float, typer.Option(help="How often intervals are to hold.")] = 0.9,
    n: Annotated[int, typer.Option("--n", help="How many of the nearest architectures to name.")] = 5,
    save: Annotated[Path | None, typer.Option("--save", help="Keep the predictor in this folder.")] = None,
    seed: Annotated[int, typer.Option(help="Of all that is drawn.")] = 0,
    inputs: Inputs = None,
    shrunk: Shrunk = False,
    as_json: AsJson = False,
) -> None:
    """Predict the scores of an architecture, with intervals, and name the measured ones nearest to it."""
    if (data is None) == (predictor is None):
        raise ConfigurationError("give --data or --predictor, one of them: where measurements are")
    if n < 0:
        raise ConfigurationError(f"--n {n}: give 0 or more")
    if not 0 < level < 1:
        raise ConfigurationError(f"--level {level}: give a chance between 0 and 1, such as 0.9")
    from ..learning.predictor import describe
    from ..learning.predictor.fitting import find_figure

    # First what is quick to refuse: the graph before hundreds of others are described.
    asked = describe(opened(f"genome:{graph}" if _GENOME.fullmatch(graph) else graph, inputs, shrunk))
    found = _predictor(data, predictor, seed, save)
    figures = [find_figure(found, words) for words in figure] if figure else found.figures
    rows: list[dict[str, Any]] = []
    for each in figures:
        told = found.predict([asked], each, level)[0]
        rows.append(
            {
                "task": each.task,
                "budget": each.budget,
                "unit": each.unit,
                "value": told.value,
                "low": told.low,
                "high": told.high,
            }
        )
    nearest = found.nearest(asked, n)
    if as_json:
        print_document(
            {
                "graph": graph,
                "level": level,
                "measured": len(found.entries),
                "figures": rows,
                "nearest": [{"entry": entry, "similarity": alike} for entry, alike in nearest],
            }
        )
        return
    longest = max(len(str(each)) for each in figures)
    for each, row in zip(figures, rows, strict=True):
        value, low, high = (_in_words(row[name], each.unit) for name in ("value", "low", "high"))
        typer.echo(f"{each!s:<{longest}}  {value}  ({low} to {high}, {level:.0%} of the time)")
    if nearest:
        typer.echo(f"Nearest of {len(found.entries)} measured architectures:")
    for entry, alike in nearest:
        typer.echo(f"  {alike:5.3f}  {entry}")
    if nearest and nearest[0][1] < _STRANGE:
        typer.echo("Unlike everything measured: the intervals are for architectures like those.", err=True)


def _in_words(value: float, unit: str) -> str:
    from ..report.quantities import amount

    return amount(value, unit) if unit else f"{value:.4g}"


def _predictor(data: Path | None, folder: Path | None, seed: int, save: Path | None) -> Predictor:
    from ..learning.predictor import load
    from ..learning.predictor import save as write

    if folder is not None:
        found = load(folder)
    else:
        assert data is not None
        from ..learning.datasets.dataset import Stored
        from ..learning.predictor.fitting import fit_dataset

        with shown(lambda news: Mark(*news, "measured graphs described"), _line) as told:
            found = fit_dataset(Stored(data), seed=seed, told=lambda done, total: told((done, total)))
    if save is not None:
        write(found, save)
    return found


def _line(news: tuple[int, int]) -> str | None:
    done, total = news
    return f"[{done}/{total}] measured graphs described" if done == total or done % 100 == 0 else None
