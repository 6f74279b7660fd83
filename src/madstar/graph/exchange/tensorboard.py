"""A graph for TensorBoard's page "Graphs": scopes nested as the blocks are, with shapes and attributes.

TensorBoard shows TensorFlow's GraphDef, which is a flat list of nodes named by scopes; so every use of a
block is written out. What it shows of blocks that repeat it finds by their likeness.
"""

from __future__ import annotations

import json
import re
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import GraphError
from ...whole_files import write_whole
from ..json_format import plain
from ..model import Call, Definition, Graph, Node, Value
from ..paths import join
from ..soundness import check_sound
from ..varying import Binding, bindings, bound

MOST_NODES = 200_000
_TYPES = {
    "float32": "DT_FLOAT", "float64": "DT_DOUBLE", "float16": "DT_HALF", "bfloat16": "DT_BFLOAT16",
    "int64": "DT_INT64", "int32": "DT_INT32", "int16": "DT_INT16", "int8": "DT_INT8", "uint8": "DT_UINT8",
    "bool": "DT_BOOL", "complex64": "DT_COMPLEX64", "complex128": "DT_COMPLEX128",
}  # fmt: skip


def write_tensorboard(graph: Graph, folder: str | Path) -> Path:
    """Write the graph as a file of events into a folder, for `tensorboard --logdir FOLDER`; gives the file.

    Raises GraphError for an unsound graph, one of more than 200,000 nodes when written out, and where the
    package is missing; OutputError where nothing can be written.
    """
    try:
        from tensorboard.compat.proto import event_pb2
    except ImportError:
        raise GraphError(
            "TensorBoard's format needs tensorboard: pip install 'madstar[tensorboard]'"
        ) from None
    check_sound(graph)
    written = to_graphdef(graph).SerializeToString()
    now = time.time()
    events = [
        event_pb2.Event(wall_time=now, file_version="brain.Event:2"),
        event_pb2.Event(wall_time=now, graph_def=written),
    ]
    path = Path(folder) / f"events.out.tfevents.{int(now)}.{now % 1:.9f}".replace("0.", "", 1)
    write_whole(path, b"".join(_record(event.SerializeToString()) for event in events))
    return path


def _record(data: bytes) -> bytes:
    """A record as TensorFlow writes it: length, its checksum, data, its checksum."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc32c(length)) + data + struct.pack("<I", masked_crc32c(data))


def to_graphdef(graph: Graph) -> Any:
    """The graph as a message GraphDef. Raises GraphError as `write_tensorboard` does."""
    from tensorboard.compat.proto import graph_pb2

    writer = _Writer(graph, graph_pb2.GraphDef())
    inputs = []
    for name, value in zip(graph.input_names, graph.main.inputs, strict=True):
        inputs.append(writer.node(name, "Placeholder", [], {}, (value,)))
    results = writer.block(graph.main, "", "", inputs, {})
    types = {f"%{v.name}": v for v in graph.main.inputs}
    types |= {f"%{v.name}": v for item in graph.main.items for v in item.outputs}
    for name, result, source in zip(graph.output_names, results, graph.main.outputs, strict=True):
        known = types.get(source)
        writer.node(f"output/{name}", "Output", [result], {}, (known,) if known else ())
    return writer.message


class _Writer:
    def __init__(self, graph: Graph, message: Any) -> None:
        self.graph, self.message = graph, message
        self.names: dict[str, int] = {}
        self.weights: dict[str, str] = {}

    def block(
        self, definition: Definition, base: str, scope: str, inputs: list[str], binding: Binding
    ) -> list[str]:
        """One use of a block; gives where its outputs come from."""
        known = {f"%{v.name}": source for v, source in zip(definition.inputs, inputs, strict=True)}
        for parameter in definition.parameters:
            known[f"@{parameter.path}"] = self._weight(join(base, parameter.path), parameter)
        for item in definition.items:
            if isinstance(item, Call):
                self._call(item, base, scope, known, binding)
                continue
            taken = [known[argument.source] for argument in item.arguments]
            said = {slot: bound(value, binding) for slot, value in item.attributes}
            name = f"{scope}/{item.path.replace('.', '/') or item.name}"
            made = self.node(name, _op(item), taken, said, item.outputs)
            for number, value in enumerate(item.outputs):
                known[f"%{value.name}"] = f"{made}:{number}" if number else made
        return [known[source] for source in definition.outputs]

    def _call(self, call: Call, base: str, scope: str, known: dict[str, str], binding: Binding) -> None:
        below = self.graph.definitions[call.definition]
        taken = [known[source] for source in call.arguments]
        made: list[str] = []
        for turn, (path, inner) in enumerate(zip(call.paths, bindings(call, binding), strict=True)):
            for place, refs in call.own:
                taken[place] = known[refs[turn]]
            for output, place in call.carried if turn else ():
                taken[place] = made[output]
            full = join(base, path)
            inside = full.replace(".", "/") if "|" not in full else f"{scope}/{below.name}"
            made = self.block(below, full, inside, taken, inner)
            for place, names in call.gathered if turn < call.count - 1 else ():
                known[f"%{names[turn]}"] = made[place]
        known |= {f"%{value.name}": source for value, source in zip(call.outputs, made, strict=True)}

    def _weight(self, full: str, parameter: Any) -> str:
        if full not in self.weights:
            value = Value(full, parameter.shape, parameter.dtype)
            said = {"trained": parameter.trained, "initialisation": parameter.initialisation}
            self.weights[full] = self.node(full.replace(".", "/"), "Parameter", [], said, (value,))
        return self.weights[full]

    def node(
        self, wanted: str, op: str, taken: list[str], said: Mapping[str, Any], outputs: tuple[Value, ...]
    ) -> str:
        """Add a node; gives its name, which is its own."""
        if len(self.message.node) >= MOST_NODES:
            raise GraphError(f"{self.graph.name!r}: more than {MOST_NODES:,} nodes when written out")
        name = re.sub(r"[^A-Za-z0-9_./-]", "_", wanted).strip("/._-") or "node"
        name = re.sub(r"/{2,}", "/", name)
        count = self.names.get(name, 0)
        self.names[name] = count + 1
        while count and f"{name}_{count}" in self.names:
            count += 1
        if count:
            name = f"{name}_{count}"
            self.names[name] = 1
        node = self.message.node.add(name=name, op=op)
        node.input.extend(taken)
        for slot, value in said.items():
            node.attr[slot].s = json.dumps(plain(value)).encode()[:2000]
        shapes = node.attr["_output_shapes"].list
        for value in outputs:
            shape = shapes.shape.add()
            for dim in value.shape:
                shape.dim.add(size=dim if isinstance(dim, int) else -1)
        if outputs:
            said_shape = [f"{value.dtype}[{','.join(map(str, value.shape))}]" for value in outputs]
            node.attr["shape"].s = ", ".join(said_shape).encode()
            if kind := _TYPES.get(outputs[0].dtype):
                node.attr["dtype"].type = _number(kind)
        return name


def _number(kind: str) -> int:
    from tensorboard.compat.proto import types_pb2

    return int(types_pb2.DataType.Value(kind))


def _op(node: Node) -> str:
    return re.sub(r"[^A-Za-z0-9_:.]", "_", node.op) or "node"
