"""`madstar graph`: what a graph holds, and how two differ."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GraphError, OutputError
from .addresses import Inputs, Shrunk, opened
from .app import command, group
from .document import print_document
from .options import AsJson
from .trace import document_of, width

if TYPE_CHECKING:
    from ..graph.model import Graph

graphs = group("graph", "See and compare computation graphs.")
_WHICH = "A graph file, or what madstar trace takes."


@command("show", within=graphs)
def show(
    graph: Annotated[str, typer.Argument(metavar="G", help=_WHICH)],
    depth: Annotated[int, typer.Option(help="Levels of blocks to open.")] = 2,
    every: Annotated[
        bool, typer.Option("--nodes", help="A line for every node, also for those that cost nothing.")
    ] = False,
    as_json: AsJson = False,
    dot: Annotated[Path | None, typer.Option("--dot", help="Also write it for Graphviz.")] = None,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also draw it, to this file.")] = None,
    inputs: Inputs = None,
    shrunk: Shrunk = False,
) -> None:
    """Show a graph as a tree: blocks, repeat counts, shapes, parameters, FLOPs."""
    if depth < 0:
        raise GraphError(f"depth is {depth}: give 0 or more")
    found = opened(graph, inputs, shrunk)
    if dot is not None:
        from ..graph.dot import to_dot

        _write(dot, to_dot(found, depth))
    if svg is not None:
        from ..graph.svg import to_svg

        _write(svg, to_svg(found, depth=depth))
    if as_json:
        print_document(document_of(found) | {"tree": _rows(found, depth)})
        return
    if sys.stdout.isatty():
        from rich.console import Console

        from ..graph.tree import table

        console = Console()
        console.print(table(found, depth, console.width, every=every))
    else:
        from ..graph.tree import text

        typer.echo(text(found, depth, width(), every=every), nl=False)


@command("diff", within=graphs)
def diff(
    before: Annotated[str, typer.Argument(metavar="A", help=_WHICH)],
    after: Annotated[str, typer.Argument(metavar="B", help=_WHICH)],
    as_json: AsJson = False,
    inputs: Inputs = None,
    shrunk: Shrunk = False,
) -> None:
    """Say what must be added, removed and changed to make the second graph of the first."""
    from ..graph.diff import diff as compared

    difference = compared(*(_one_of_two(each, inputs, shrunk) for each in (before, after)))
    if as_json:
        print_document(difference.to_dict())
    else:
        typer.echo(difference.text(), nl=False)


@command("check", within=graphs)
def check(
    graph: Annotated[str, typer.Argument(metavar="G", help=_WHICH)],
    causal: Annotated[
        bool | None,
        typer.Option(
            help="Look for paths from the future, or do not; else in models that are called causal."
        ),
    ] = None,
    symbol: Annotated[str, typer.Option(help="The size along which a model is causal.")] = "length",
    as_json: AsJson = False,
    inputs: Inputs = None,
    shrunk: Shrunk = False,
) -> None:
    """Look for faults in shapes and dtypes, what is unused, paths from the future. Status 1 for errors."""
    from ..graph.checking import check as checked

    report = checked(opened(graph, inputs, shrunk), causal=causal, symbol=symbol)
    if as_json:
        print_document(report.to_dict())
    else:
        typer.echo(report.text(), nl=False)
    if report.errors:
        raise typer.Exit(1)


def _one_of_two(address: str, inputs: list[str] | None, shrunk: bool) -> Graph:
    """--input and --shrunk go to the one, or the two, that can have them."""
    scheme = address.partition(":")[0]
    known = scheme in ("hf", "timm", "genome", "onnx", "graphbook") or address.endswith((".json", ".json.gz"))
    return opened(address, None if known else inputs, shrunk and scheme == "hf")


def _rows(graph: Graph, depth: int) -> list[dict[str, Any]]:
    from ..graph.tree import rows

    keys = ("depth", "label", "kind", "shape", "result", "parameters", "flops")
    return [{key: getattr(row, key) for key in keys} for row in rows(graph, depth)]


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; choose another place") from None
