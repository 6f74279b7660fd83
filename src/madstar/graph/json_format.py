"""Graphs as JSON, schema "madstar.graph/1": what docs/graph-format.md describes, written and read.

A value is written "name: float32[batch,length,64]", a parameter likewise, an item as a small object on a
line of its own. Reading trusts nothing: whatever is no such file raises GraphError with the place in it.
Nothing in a file is executed, and no file it names is opened.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..errors import GraphError
from ..whole_files import write_whole
from .json_reading import read_graph
from .json_turns import write_turns
from .model import SCHEMA, Call, Definition, Graph, Item, Node, Parameter, Shape, Value, Varying
from .runs_of_paths import packed
from .soundness import check_sound

MAX_BYTES = 256 * 1024 * 1024
"""The largest file that is read, unpacked."""


def to_json(graph: Graph) -> str:
    """The graph as text, the same for equal graphs. Raises GraphError where it is not sound."""
    check_sound(graph)
    check_weights(graph.weights)
    head: dict[str, Any] = {
        "schema": SCHEMA,
        "name": graph.name,
        "root": graph.root,
        "inputs": list(graph.input_names),
        "outputs": list(graph.output_names),
        "symbols": {name: list(sizes) for name, sizes in graph.symbols.items()},
        "tied": [list(group) for group in graph.tied],
        "guesses": [[guess.path, guess.op, guess.taken] for guess in graph.guesses],
        "weights": list(graph.weights),
        "facts": dict(graph.facts),
    }
    lines = [f" {_text(key)}: {_text(plain(value))}" for key, value in head.items()]
    blocks = ",\n".join(_block(definition) for definition in graph.definitions.values())
    return "{\n" + ",\n".join([*lines, f' "blocks": [\n{blocks}\n ]']) + "\n}\n"


def from_json(text: str, source: str = "graph") -> Graph:
    """The graph that the text describes; `source` names it in errors. Raises GraphError."""
    try:
        document = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise GraphError(f"{source}: nested too deeply to be a graph") from None
    except json.JSONDecodeError as error:
        raise GraphError(
            f"{source}: no whole JSON document ({error.msg}, line {error.lineno}); is the file cut off?"
        ) from None
    except ValueError as error:
        raise GraphError(f"{source}: {error}") from None
    try:
        graph = read_graph(document)
        check_weights(graph.weights)
        check_sound(graph)
    except GraphError as error:
        raise GraphError(f"{source}: {error}") from None
    except RecursionError:
        raise GraphError(f"{source}: nested too deeply to be a graph") from None
    return graph


def save(graph: Graph, path: str | Path) -> None:
    """Write the graph to a file, packed where its name ends in .gz; whole or not at all.

    Raises GraphError for an unsound graph, OutputError where nothing can be written.
    """
    path = Path(path)
    data = to_json(graph).encode()
    if path.suffix == ".gz":
        data = gzip.compress(data, compresslevel=6, mtime=0)
    write_whole(path, data)


def load(path: str | Path) -> Graph:
    """Read a graph from a .json or .json.gz file. Raises GraphError, naming the file and the place in it."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if data[:2] == b"\x1f\x8b":
            with gzip.open(path) as packed_file:
                data = packed_file.read(MAX_BYTES + 1)
    except (EOFError, gzip.BadGzipFile):
        raise GraphError(f"{path}: the packed file is cut off or damaged") from None
    except OSError as error:
        raise GraphError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # zlib.error has no common base with the others
        raise GraphError(f"{path}: the packed file is damaged ({error})") from None
    if len(data) > MAX_BYTES:
        raise GraphError(f"{path}: larger than {MAX_BYTES >> 20} MiB when unpacked; no graph is that large")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise GraphError(f"{path}: not text in UTF-8; a graph is a JSON file") from None
    return from_json(text, str(path))


def check_weights(references: tuple[str, ...]) -> None:
    """Raise GraphError for a weight file that is not within the folder of the graph, or no safetensors."""
    for reference in references:
        posix, windows = PurePosixPath(reference), PureWindowsPath(reference)
        outside = posix.is_absolute() or windows.drive or windows.root or ".." in windows.parts
        if outside or "\0" in reference or posix.suffix != ".safetensors":
            raise GraphError(
                f"weights {reference!r:.80}: must be a .safetensors file in the graph's own folder, "
                "given relative to it"
            )


# --- Writing.


def _block(definition: Definition) -> str:
    head: dict[str, Any] = {"name": definition.name, "kind": definition.kind, "module": definition.module}
    head["inputs"] = [_value(value) for value in definition.inputs]
    head["outputs"] = list(definition.outputs)
    head["varying"] = list(definition.varying)
    rare = ("module", "varying")
    parts = [f"   {_text(key)}: {_text(value)}" for key, value in head.items() if value or key not in rare]
    for key, entries in {
        "parameters": [_parameter(parameter) for parameter in definition.parameters],
        "items": [_item(item) for item in definition.items],
    }.items():
        if entries:
            lines = ",\n".join(f"    {_text(entry)}" for entry in entries)
            parts.append(f'   "{key}": [\n{lines}\n   ]')
    return "  {\n" + ",\n".join(parts) + "\n  }"


def _parameter(parameter: Parameter) -> Any:
    entry: list[Any] = [f"{parameter.path}: {parameter.dtype}{_shape(parameter.shape)}"]
    if parameter.initialisation != "unknown" or not parameter.trained:
        entry.append(parameter.initialisation)
    if not parameter.trained:
        entry.append("buffer")
    return entry if len(entry) > 1 else entry[0]


def _item(item: Item) -> dict[str, Any]:
    entry: dict[str, Any]
    if isinstance(item, Call):
        entry = {"call": item.definition, "name": item.name, "paths": packed(item.paths)}
        entry |= {"in": list(item.arguments), "out": [_value(value) for value in item.outputs]}
        if item.carried:
            entry["carried"] = [list(pair) for pair in item.carried]
        entry |= write_turns(item, plain)
    else:
        entry = _node(item)
    if item.outputs and item.name == item.outputs[0].name:
        del entry["name"]  # the common case: an item is called as its first output is
    return entry


def _node(node: Node) -> dict[str, Any]:
    entry: dict[str, Any] = {"op": node.op, "name": node.name, "path": node.path}
    entry["in"] = {argument.slot: argument.source for argument in node.arguments}
    entry["set"] = {name: plain(value) for name, value in node.attributes}
    entry["out"] = [_value(value) for value in node.outputs]
    entry["body"] = [
        [
            primitive.op,
            list(primitive.arguments),
            [f"{d}{_shape(s)}" for d, s in zip(primitive.dtypes, primitive.shapes, strict=True)],
        ]
        for primitive in node.body
    ]
    return {key: value for key, value in entry.items() if value or key in ("op", "name", "out")}


def _value(value: Value) -> str:
    return f"{value.name}: {value.dtype}{_shape(value.shape)}"


def _shape(shape: Shape) -> str:
    return f"[{','.join(str(dim) for dim in shape)}]"


def plain(value: Any) -> Any:
    """Data as JSON has it: tuples as lists, what JSON lacks as {"float": "-inf"}, {"varying": "i"}."""
    if isinstance(value, Varying):
        return {"varying": value.name}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": repr(value)}
    return value


def _text(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise GraphError(f"the graph's facts or attributes are no plain data: {error}") from None


# --- Reading.


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r:.80} is given twice in one object")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; a graph writes {{'float': 'inf'}}")


__all__ = ["MAX_BYTES", "check_weights", "from_json", "load", "save", "to_json"]
