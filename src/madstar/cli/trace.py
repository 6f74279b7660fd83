"""`madstar trace`: a model's computation as a graph, without its weights."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import GraphError
from .addresses import Inputs, Shrunk, traced
from .app import command
from .document import print_document
from .limits import limited
from .options import AsJson

if TYPE_CHECKING:
    from ..graph.model import Graph

MOST_LINES = 24
"""Lines of the tree that are shown unasked."""


@command("trace")
def trace(
    model: Annotated[
        str,
        typer.Argument(
            help="hf:TYPE, hf:./config.json, timm:NAME, genome:TEXT, or file.py:Class, whose code is run."
        ),
    ],
    inputs: Inputs = None,
    shrunk: Shrunk = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the graph there: FILE.graph.json, or .json.gz.")
    ] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option(
            "--weights",
            help="A .safetensors file of the weights, to be named in --out; once for each.",
        ),
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", help="Seconds; none if not given.")
    ] = None,
    memory_limit: Annotated[
        float | None, typer.Option("--memory-limit", help="GiB beyond what madstar takes; none if not given.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Trace a model to its computation graph, without weights and without a download."""
    if weights and out is None:
        raise GraphError("--weights names files in the graph that is written: give --out too")
    if time_limit is None and memory_limit is None:
        graph = traced(model, inputs, shrunk)
    else:
        with limited(model, time_limit, memory_limit):
            graph = traced(model, inputs, shrunk)
    if out is not None:
        from ..graph.json_format import save

        if weights:
            from ..graph.weights import attach

            graph = attach(graph, weights, out.parent)
        save(graph, out)
    if as_json:
        print_document(document_of(graph) | {"out": None if out is None else str(out)})
        return
    again = [model, *(["--shrunk"] if shrunk else []), *(f"--input={each}" for each in inputs or ())]
    _print(graph, [str(out)] if out is not None else again, out)


def document_of(graph: Graph) -> dict[str, Any]:
    """What is known of a graph as a whole, as JSON data."""
    from ..graph.hashing import structural_hash
    from ..graph.statistics import statistics
    from ..graph.tree import traced_sizes

    cost, facts, at = statistics(graph), graph.facts, traced_sizes(graph)
    return {
        "name": graph.name,
        "source": facts.get("source"),
        "hash": structural_hash(graph),
        "nodes": cost.unfolded,
        "folded_nodes": cost.nodes,
        "blocks": len(graph.definitions),
        "operations": dict(cost.operations),
        "opaque": facts.get("opaque", {}),
        "parameters": cost.parameters,
        "parameter_tensors": facts.get("parameter_tensors"),
        "parameter_tensors_touched": facts.get("parameter_tensors_touched"),
        "share_touched": share_touched(graph),
        "symbols": {name: list(sizes) for name, sizes in graph.symbols.items()},
        "flops": cost.flops,
        "activation_bytes": cost.activation_bytes,
        "cache_bytes": cost.cache_bytes,
        "at": {"sizes": at, **cost.at(at)},
        "changes": list(facts.get("changes", ())),
        "weights": list(graph.weights),
        "guesses": [{"path": each.path, "op": each.op, "taken": each.taken} for each in graph.guesses],
        "seconds": facts.get("seconds"),
        "peak_memory": facts.get("peak_memory_bytes"),
    }


def share_touched(graph: Graph) -> float | None:
    """The share of parameter tensors that an operation takes; None where the graph does not say."""
    total, touched = (graph.facts.get(f"parameter_tensors{end}") for end in ("", "_touched"))
    if not isinstance(total, int) or not isinstance(touched, int):
        return None
    return touched / total if total else 1.0


def width() -> int:
    """Columns of the terminal; 100 where there is none."""
    return shutil.get_terminal_size((100, 40)).columns


def _print(graph: Graph, again: list[str], out: Path | None) -> None:
    from ..graph.tree import text

    for name, said in _summary(graph):
        typer.echo(f"{name:<12}{said}")
    typer.echo()
    heading, *lines, footer = text(graph, 1, width()).splitlines()
    left = len(lines) - MOST_LINES
    shown = lines if left <= 1 else [*lines[:MOST_LINES], f"   … {left} lines more"]
    typer.echo("\n".join([heading, *shown, footer]))
    if out is not None:
        typer.echo(f"written to {out}")
    typer.echo(f"all of it: madstar graph show {shlex.join(again)}")


def _summary(graph: Graph) -> list[tuple[str, str]]:
    from ..graph.statistics import statistics
    from ..graph.tree import amount
    from ..report.quantities import amount as quantity
    from ..report.quantities import one_line, plural

    cost, facts, share = statistics(graph), graph.facts, share_touched(graph)
    kind = facts.get("class") or graph.main.kind
    found = [("model", f"{graph.name}, {kind}" if kind != graph.name else kind)]
    found.append(("blocks", f"{len(graph.definitions):,}"))
    found.append(("nodes", f"{cost.nodes:,}, unfolded {cost.unfolded:,}"))
    tensors = f" in {plural(facts['parameter_tensors'], 'tensor')}" if share is not None else ""
    touched = f", {_percent(share)} of them touched" if share is not None and cost.parameters else ""
    found.append(("parameters", f"{amount(cost.parameters) or '0'}{tensors}{touched}"))
    opaque = facts.get("opaque") or {}
    if opaque:
        found.append(("unknown", f"{sum(opaque.values()):,} nodes: {', '.join(list(opaque)[:5])}"))
    if changes := facts.get("changes"):
        found.append(("changed", one_line("; ".join(changes))))
    for name in facts.get("symbols_dropped", ()):
        found.append(("fixed", f"{name}: the model does not run at other sizes, or not in the same way"))
    first = [f"{each.op} = {each.taken}{f' in {each.path}' if each.path else ''}" for each in graph.guesses]
    more = f" and {len(first) - 2} more" if len(first) > 2 else ""
    found.append(("guesses", f"{len(first)}: {one_line('; '.join(first[:2]))}{more}" if first else "none"))
    memory = quantity(facts.get("peak_memory_bytes"), "bytes")
    found.append(("traced in", f"{facts.get('seconds', 0):.2f} s, peak memory of the process {memory}"))
    return [(name, said if len(said) + 12 <= width() else said[: width() - 13] + "…") for name, said in found]


def _percent(share: float) -> str:
    """Rounded down, so that all is said of all only."""
    return "all" if share == 1 else f"{int(share * 1000) / 10:g} %"
