"""`madstar graph export`: a graph in the format of another program."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GraphError
from .addresses import Inputs, Shrunk, opened, weights_of
from .app import command
from .document import print_document
from .graph import graphs
from .graph_run import _sizes
from .options import AsJson

if TYPE_CHECKING:
    from ..graph.model import Graph

FORMATS = ("onnx", "graphbook", "python", "tensorboard", "dot", "svg", "json")
_ENDINGS = {".onnx": "onnx", ".py": "python", ".dot": "dot", ".svg": "svg", ".json": "json", ".gz": "json"}


@command("export", within=graphs)
def export(
    graph: Annotated[str, typer.Argument(metavar="G", help="A graph file, or what madstar trace takes.")],
    out: Annotated[
        Path, typer.Option("--out", help="The file to write, a folder for tensorboard; it is replaced.")
    ],
    kind: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)} [default: as the file's name ends]."),
    ] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option("--weights", help="onnx: a .safetensors file; once for each [default: fresh ones]."),
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--sizes", metavar="SYMBOL=N,...", help="onnx: the sizes at which it is exported."),
    ] = None,
    seed: Annotated[int, typer.Option(help="onnx: of fresh weights.")] = 0,
    as_json: AsJson = False,
    inputs: Inputs = None,
    shrunk: Shrunk = False,
) -> None:
    """Write a graph as ONNX, Graphbook's JSON, Python source, for TensorBoard, Graphviz, or as a drawing."""
    kind = kind or _ENDINGS.get(out.suffix, "")
    if kind not in FORMATS:
        from ..plugins import nearest

        said = f"--format {kind}" if kind else f"{out} says no format"
        raise GraphError(f"{said}{nearest(kind, FORMATS)}: give --format {', '.join(FORMATS[:-1])} or json")
    if kind != "onnx" and (weights or sizes):
        raise GraphError(f"--weights and --sizes go with --format onnx; {kind} holds neither")
    if kind == "tensorboard" and out.exists() and not out.is_dir():
        raise GraphError(f"--out {out} is a file; give a folder for TensorBoard")
    if kind != "tensorboard" and out.is_dir():
        raise GraphError(f"--out {out} is a folder; give the name of a file")
    source = graph.partition(":")[2] if graph.startswith(("onnx:", "graphbook:")) else graph
    if Path(source).exists() and out.exists() and os.path.samefile(source, out):
        raise GraphError(f"--out {out} is the graph itself; give another name")
    numbers = _sizes(sizes or [])
    found = opened(graph, inputs, shrunk)
    begun = time.perf_counter()
    document = {"graph": found.name, "format": kind, "out": str(out)}
    document |= _written(found, kind, out, list(weights or []), numbers, seed, graph)
    if as_json:
        print_document(document | {"seconds": round(time.perf_counter() - begun, 3)})
        return
    typer.echo(f"{found.name} written as {kind} to {document['out']}{_more(document)}")


def _written(
    graph: Graph, kind: str, out: Path, weights: list[Path], sizes: Mapping[str, int], seed: int, address: str
) -> dict[str, Any]:
    """Write it; gives what is to be said of it."""
    if kind == "onnx":
        from ..graph.exchange.onnx import write_onnx

        own = weights_of(address, graph, weights)
        report = write_onnx(graph, out, weights=own, seed=seed, sizes=dict(sizes) or None)
        return {**dataclasses.asdict(report), "out": str(out), "seed": seed}
    if kind == "tensorboard":
        from ..graph.exchange.tensorboard import write_tensorboard

        made = write_tensorboard(graph, out)
        return {"file": str(made), "bytes": made.stat().st_size, "show": f"tensorboard --logdir {out}"}
    if kind == "graphbook":
        from ..graph.exchange.graphbook import save_graphbook

        save_graphbook(graph, out)
    elif kind == "json":
        from ..graph.json_format import save

        save(graph, out)
    else:
        from ..whole_files import write_whole

        write_whole(out, _text(graph, kind).encode())
    return {"bytes": out.stat().st_size}


def _text(graph: Graph, kind: str) -> str:
    if kind == "python":
        from ..graph.exchange.source import to_source

        return to_source(graph)
    if kind == "dot":
        from ..graph.dot import to_dot

        return to_dot(graph)
    from ..graph.svg import to_svg

    return to_svg(graph, depth=2)


def _more(document: Mapping[str, Any]) -> str:
    parts = []
    if "nodes" in document:
        parts.append(f"{document['nodes']:,} nodes")
    if document.get("fixed"):
        parts.append("fixed at " + ", ".join(f"{k}={v}" for k, v in document["fixed"].items()))
    if document.get("fresh"):
        parts.append(f"fresh weights of seed {document['seed']}")
    if "show" in document:
        parts.append(f"look at it with: {document['show']}")
    return f" ({'; '.join(parts)})" if parts else ""
