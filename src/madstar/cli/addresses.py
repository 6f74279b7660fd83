"""What the commands for graphs take: a graph file, or the address of a model that is traced."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GraphError

if TYPE_CHECKING:
    from ..graph.model import Graph

ADDRESSES = (
    "hf:TYPE, hf:./config.json, timm:NAME, genome:TEXT, onnx:FILE, graphbook:FILE, madstar:graph-encoder "
    "or file.py:Class"
)
FILES = ("onnx", "graphbook")
"""Addresses of a graph in the file of another program."""

Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME:DTYPE[SIZES]",
        help='An input of file.py:Class, such as "tokens:int64[batch,length]"; once for each.',
    ),
]
Shrunk = Annotated[bool, typer.Option("--shrunk", help="Cut every stack of an hf: model to two layers.")]


def opened(address: str, inputs: list[str] | None, shrunk: bool) -> Graph:
    """The graph in a file, or that of a model."""
    place = Path(address)
    if address.partition(":")[0] in FILES and ":" in address:
        return traced(address, inputs, shrunk)
    if address.endswith((".json", ".json.gz")) and not address.startswith("hf:"):
        if inputs or shrunk:
            raise GraphError(f"{address} is a graph already: leave out --input and --shrunk")
        from ..graph.json_format import load

        return load(place)
    if ":" not in address:
        missing = "is no graph (a .json or .json.gz file)" if place.exists() else "is no file"
        raise GraphError(f"{address} {missing}; give a graph file, {ADDRESSES}")
    return traced(address, inputs, shrunk)


def traced(address: str, inputs: list[str] | None, shrunk: bool) -> Graph:
    """Trace the model that an address names."""
    scheme, colon, rest = address.partition(":")
    if not colon or not rest:
        raise GraphError(f"{address!r} names no model{_hint(address)}; give {ADDRESSES}")
    if shrunk and scheme != "hf":
        raise GraphError(f"{address}: --shrunk cuts models of transformers (hf:) only; leave it out")
    if inputs and scheme in ("hf", "timm", "genome", "onnx", "madstar"):
        raise GraphError(f"{address}: its inputs are known; --input is for file.py:Class")
    if scheme in FILES:
        return _from(_of_file(scheme, rest, inputs or []), address)
    # Whatever foreign code prints while it is built and run must not stand in the document.
    with contextlib.redirect_stdout(sys.stderr):
        if scheme in ("hf", "timm"):
            from ..zoo.tracing import trace_address

            return _from(trace_address(address, shrunk=shrunk).graph, address)
        if scheme == "genome":
            return _of_genome(address, rest)
        if scheme == "madstar":
            return _of_itself(address, rest)
        return _of_reference(address, inputs or [])


def weights_of(address: str, graph: Graph, given: list[Path] | None) -> Any:
    """What to build a graph with: the weights given, else those it came with, else None for fresh ones."""
    if given:
        return list(given)
    scheme, _, file = address.partition(":")
    if scheme == "onnx":
        from ..graph.exchange.onnx import onnx_weights

        return onnx_weights(file)
    return [Path(address).parent / name for name in graph.weights] or None


def _hint(address: str) -> str:
    if address.endswith((".json", ".json.gz")):
        return f"; madstar graph show {address} if it is a graph, hf:{address} if it is a configuration"
    return f"; hf:{address} if it is a type of transformers" if address.isidentifier() else ""


def _of_file(scheme: str, file: str, inputs: list[str]) -> Graph:
    if scheme == "onnx":
        from ..graph.exchange.onnx import read_onnx

        return read_onnx(file)
    from ..graph.exchange.graphbook import load_graphbook

    return load_graphbook(file, inputs)


def _of_reference(address: str, inputs: list[str]) -> Graph:
    where, _, attribute = address.rpartition(":")
    scheme = address.partition(":")[0]
    if where == scheme and where.isidentifier() and len(where) < 9 and "." not in where:
        from importlib.util import find_spec

        from ..plugins import nearest

        if find_spec(where) is None:
            raise GraphError(
                f"{address!r}: no such kind of model {where!r}"
                f"{nearest(where, ('hf', 'timm', 'genome', 'madstar'))}; give {ADDRESSES}"
            )
    from ..graph.sources import trace_reference

    if not where.endswith(".py") or Path(where).is_file():
        typer.echo(f"running the code of {where} to build {attribute}", err=True)
    graph = trace_reference(address, inputs)
    return _from(graph, address)


def _of_genome(address: str, rest: str) -> Graph:
    """A genome's backbone without weights; sizes may follow: "genome:21211-31112?width=128&heads=8"."""
    from ..genome import Sizes
    from ..learning.corpus.tracing import genome_graph

    text, _, settings = rest.partition("?")
    known = {field.name: type(field.default) for field in dataclasses.fields(Sizes)}
    sizes: dict[str, Any] = {}
    for part in filter(None, settings.split("&")):
        name, _, value = part.partition("=")
        if known.get(name) is not int or not value.isdecimal() or int(value) < 1:
            names = ", ".join(name for name, kind in known.items() if kind is int)
            raise GraphError(f"{address}: {part!r} is no size; write NAME=NUMBER, of {names}")
        sizes[name] = int(value)
    graph = genome_graph(text, Sizes(**sizes))
    return _from(dataclasses.replace(graph, name=address), address)


def _of_itself(address: str, rest: str) -> Graph:
    """The graph transformer without weights; a size may follow: "madstar:graph-encoder?small,layers=6"."""
    from ..learning.transformer.config import find_size
    from ..learning.transformer.traceable import traced

    name, _, size = rest.partition("?")
    return _from(traced(name, find_size(size or "base")), address)


def _from(graph: Graph, address: str) -> Graph:
    return dataclasses.replace(graph, facts={**graph.facts, "source": address})
