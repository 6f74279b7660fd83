"""`madstar graph run`: a graph computed on an example, and what each of its operations gives."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GraphError
from .addresses import Shrunk, opened, weights_of
from .app import command
from .document import print_document
from .graph import graphs
from .options import AsJson
from .trace import width

if TYPE_CHECKING:
    from torch import Tensor

    from ..graph.execution import Measured, Values
    from ..graph.model import Graph

SHOWN = ("outputs", "values", "faults")


@command("run", within=graphs)
def run(
    graph: Annotated[str, typer.Argument(metavar="G", help="A graph file, or what madstar trace takes.")],
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="NAME=FILE",
            help="An input from a .npy or .safetensors file; others are drawn. For file.py:Class also "
            "NAME:DTYPE[SIZES], as madstar trace takes it.",
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option("--size", metavar="SYMBOL=N,...", help="Sizes of the inputs that are drawn."),
    ] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            "--weights",
            help="A .safetensors file; once for each [default: those that G names, or fresh ones].",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of fresh weights and of inputs that are drawn.")] = 0,
    show: Annotated[
        str, typer.Option("--show", metavar="WHAT", help="outputs, values (of every node), or faults.")
    ] = "outputs",
    select: Annotated[
        str | None, typer.Option("--select", metavar="PATTERN", help='Only places such as "*.q_proj".')
    ] = None,
    shrunk: Shrunk = False,
    as_json: AsJson = False,
) -> None:
    """Compute a graph on an example: what each operation gives, and where NaN or infinity begins."""
    if show not in SHOWN:
        raise GraphError(f"--show {show}: give {', '.join(SHOWN[:-1])} or {SHOWN[-1]}")
    sizes = _sizes(size or [])
    files = dict(_file(each) for each in inputs or [] if "=" in each.partition(":")[0])
    declared = [each for each in inputs or [] if "=" not in each.partition(":")[0]]
    found = opened(graph, declared or None, shrunk)
    import torch

    from ..graph.execution import drawn_inputs
    from ..graph.execution import run as executed

    own = weights_of(graph, found, weights)
    source = torch.Generator().manual_seed(seed)
    given = _read(found, files) if files else {}
    drawn = drawn_inputs(found, sizes, torch.Generator().manual_seed(seed))
    values = executed(found, {**drawn, **given}, own, generator=None if own else source)
    rows = _rows(values, found, show, select)
    if as_json:
        print_document(_document(found, values, rows))
        return
    _print(found, values, rows, bool(own), seed, show)


def _sizes(given: Sequence[str]) -> dict[str, int]:
    sizes = {}
    for part in ",".join(given).split(",") if given else ():
        name, _, number = part.strip().partition("=")
        if not name or not number.isdecimal():
            raise GraphError(f"--size {part.strip()!r}: write SYMBOL=NUMBER, such as batch=2,length=16")
        sizes[name] = int(number)
    return sizes


def _file(given: str) -> tuple[str, Path]:
    name, _, file = given.partition("=")
    if not name or not file:
        raise GraphError(f"--input {given!r}: write NAME=FILE, such as tokens=tokens.npy")
    return name, Path(file)


def _read(graph: Graph, files: Mapping[str, Path]) -> dict[str, Tensor]:
    """The inputs in files; a safetensors file has the input under its name, or one tensor alone."""
    from ..graph.execution.files import read_tensor
    from ..plugins import nearest

    for name in files:
        if name not in graph.input_names:
            raise GraphError(
                f"{graph.name} has no input {name!r}{nearest(name, graph.input_names)}; it takes "
                f"{', '.join(graph.input_names[:8]) or 'none'}"
            )
    return {name: read_tensor(file, name) for name, file in files.items()}


def _rows(values: Values, graph: Graph, show: str, select: str | None) -> list[Measured]:
    rows = list(values.measured)
    if select is not None:
        rows = [row for row in rows if fnmatchcase(row.place, select)]
        if not rows:
            raise GraphError(f"nothing that was computed has a place like {select!r}; see --show values")
    elif show == "outputs":
        rows = []
    if show == "faults":
        rows = [row for row in rows if row.begins]
    return rows


def _document(graph: Graph, values: Values, rows: Sequence[Measured]) -> dict[str, Any]:
    return {
        "name": graph.name,
        "sizes": dict(values.sizes),
        "outputs": [
            {"name": name, **_facts(each)}
            for name, each in zip(graph.output_names, _outputs(values, graph), strict=True)
        ],
        "faults": [{"place": each.name, "begins": each.begins, **_facts(each)} for each in values.faults],
        "values": [{"place": each.name, "output": each.output, **_facts(each)} for each in rows],
    }


def _facts(each: Measured) -> dict[str, Any]:
    keys = ("op", "dtype", "shape", "mean", "std", "least", "most", "zeros", "nan", "inf")
    return {key: getattr(each, key) for key in keys}


def _outputs(values: Values, graph: Graph) -> list[Measured]:
    from ..graph.execution import Measured
    from ..graph.execution.values import statistics_of
    from ..graph.structures import leaves

    found = []
    for (path, tensor), name in zip(leaves(values.outputs), graph.output_names, strict=True):
        dtype = str(tensor.dtype).removeprefix("torch.")
        facts = statistics_of(tensor)
        found.append(Measured(name, "output", path, dtype, tuple(tensor.shape), **facts))
    return found


def _print(graph: Graph, values: Values, rows: Sequence[Measured], given: bool, seed: int, show: str) -> None:
    sizes = ", ".join(f"{name} = {size}" for name, size in values.sizes.items())
    kind = "weights as given" if given else f"fresh weights, seed {seed}"
    typer.echo(f"{graph.name}{f' at {sizes}' if sizes else ''}; {kind}")
    typer.echo()
    shown = [*rows, *(() if show == "faults" else _outputs(values, graph))]
    if shown:
        _table(shown)
        typer.echo()
    if not values.faults:
        typer.echo("all values are finite, or infinite where a node says so")
    for each in values.faults[:5]:
        word = {"nan": "NaN", "inf": "infinity"}[each.begins]
        where = "is given" if each.op in ("input", "weight") else "begins"
        count = each.nan if each.begins == "nan" else each.inf
        typer.echo(f"{word} {where} in {each.name} ({each.op}): {count:,} elements")
    if len(values.faults) > 5:
        typer.echo(f"and {len(values.faults) - 5:,} places more: --show faults")


def _table(rows: Sequence[Measured]) -> None:
    from rich.console import Console
    from rich.table import Table

    columns = (Console().width if sys.stdout.isatty() else width()) - 4 * 9
    notes = [_note(each) for each in rows]
    columns -= max(map(len, notes)) + 2 if any(notes) else 0
    shapes = [f"{_short(each.dtype)}[{','.join(map(str, each.shape))}]" for each in rows]
    names = [_named(each) for each in rows]
    widest = min(max(map(len, shapes)), max(columns - max(map(len, names)) - 2, columns * 2 // 5))
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("place", no_wrap=True)
    table.add_column("value", no_wrap=True)
    for name in ("mean", "std", "min", "max"):
        table.add_column(name, justify="right", no_wrap=True, width=7)
    if any(notes):
        table.add_column("", no_wrap=True)
    for each, name, shape, note in zip(rows, names, shapes, notes, strict=True):
        numbers = (_number(number) for number in (each.mean, each.std, each.least, each.most))
        shown = shape if len(shape) <= widest else shape[: widest - 1] + "…"
        table.add_row(_tail(name, columns - widest - 2), shown, *numbers, *([note] if any(notes) else ()))
    # As wide as it is: only a place that does not fit was cut.
    Console(markup=False, highlight=False, width=max(columns + 200, 80)).print(table)


def _named(each: Measured) -> str:
    """A place; with the output's name where the node gives several."""
    return (
        f"{each.name} {each.output}"
        if "." in each.output and each.op not in ("input", "output")
        else each.name
    )


def _tail(place: str, most: int) -> str:
    """A place, cut on the left, where it says least."""
    return place if len(place) <= max(most, 8) else "…" + place[-(max(most, 8) - 1) :]


def _short(dtype: str) -> str:
    for long, short in (("bfloat", "bf"), ("float", "f"), ("uint", "u"), ("int", "i"), ("complex", "c")):
        if dtype.startswith(long):
            return short + dtype.removeprefix(long)
    return dtype


def _number(number: float | None) -> str:
    if number is None:
        return "-"
    return next((text for digits in (3, 2) if len(text := f"{number:.{digits}g}") <= 7), f"{number:.1g}")


def _note(each: Measured) -> str:
    if each.begins:
        return f"{'NaN' if each.begins == 'nan' else 'inf'} from here"
    parts = [f"{each.nan:,} NaN"] if each.nan else []
    parts += [f"{each.inf:,} inf"] if each.inf else []
    if not parts and each.zeros is not None and each.zeros >= 0.5:
        parts = [f"{each.zeros:.0%} 0"]
    return ", ".join(parts)
