"""An ONNX file opened with care: size, names and order are held to the rules before anything is made."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ....errors import GraphError
from .extras import need

DOMAINS = ("", "ai.onnx")
OLDEST = 13
CONTROL = frozenset(("If", "Loop", "Scan", "SequenceMap"))


@dataclass(frozen=True)
class Limits:
    """What a file may hold: bytes, nodes when functions are written out, elements of one tensor."""

    bytes: int = 4 << 30
    nodes: int = 1_000_000
    elements: int = 1 << 40


def opened(file: Path, limits: Limits) -> Any:
    """The file's ModelProto, without external data. Raises GraphError for what is none, or breaks a rule."""
    onnx = need("onnx")
    try:
        if not file.is_file():
            raise GraphError(f"{file}: there is no such file")
        size = file.stat().st_size
        if size > limits.bytes:
            raise GraphError(f"{file}: {size:,} bytes, the limit is {limits.bytes:,}")
        data = file.read_bytes()
    except (OSError, ValueError) as error:
        raise GraphError(f"{file}: cannot be read ({error})") from None
    try:
        model = onnx.ModelProto.FromString(data)
    except Exception:
        raise GraphError(f"{file}: no ONNX file, or one that is cut short") from None
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise GraphError(f"{file}: no ONNX file: it has no graph")
    _check_texts(file, model)
    _check_versions(file, model.opset_import, "the model")
    for function in model.functions:
        _check_versions(file, function.opset_import, f"function {function.name!r}")
    return model


def _check_texts(file: Path, model: Any) -> None:
    """Names that are no text come as bytes. Raises GraphError where one does."""
    graph = model.graph
    texts: list[Any] = [graph.name, model.producer_name, model.producer_version]
    texts += [text for each in model.metadata_props for text in (each.key, each.value)]
    texts += [value.name for values in (graph.input, graph.output, graph.value_info) for value in values]
    texts += [tensor.name for tensor in graph.initializer]
    texts += [d.dim_param for v in (*graph.input, *graph.value_info) for d in v.type.tensor_type.shape.dim]
    for function in model.functions:
        texts += [function.name, function.domain, function.overload, *function.input, *function.output]
    imports = (model, *model.functions)
    texts += [each.domain for held in imports for each in held.opset_import]
    for node in (n for held in (graph, *model.functions) for n in held.node):
        texts += [node.name, node.op_type, node.domain, node.overload, *node.input, *node.output]
        texts += [text for each in node.attribute for text in (each.name, each.ref_attr_name)]
        texts += [text for each in node.metadata_props for text in (each.key, each.value)]
    wrong = next((text for text in texts if not isinstance(text, str)), None)
    if wrong is not None:
        raise GraphError(f"{file}: a name in it is no text: {wrong!r:.80}")


def version(imports: Iterable[Any]) -> int:
    """The version of ONNX's own operators, 0 where none is named."""
    return max((each.version for each in imports if each.domain in DOMAINS), default=0)


def _check_versions(file: Path, imports: Iterable[Any], what: str) -> None:
    newest = int(need("onnx").defs.onnx_opset_version())
    found = version(imports)
    if found and not OLDEST <= found <= newest:
        raise GraphError(
            f"{file}: {what} is of opset {found}; convert it to {OLDEST} to {newest} (onnx.version_converter)"
        )


def place(node: Any, number: int) -> str:
    """A node in words."""
    name = f"{node.name!r:.120}" if node.name else f"number {number}"
    return f"node {name} ({node.op_type:.60})"


def check_graph(file: Path, graph: Any, nodes: list[Any], initializers: Iterable[str]) -> None:
    """Raise GraphError where a name is given twice, or taken before it is given (a cycle), or never is."""
    given: dict[str, str] = {}
    held = set(initializers)
    for name in held:
        given[name] = "an initializer"
    inputs: set[str] = set()
    for value in graph.input:
        if not value.name or value.name in inputs:
            raise GraphError(f"{file}: two inputs have the name {value.name!r:.80}, or one has none")
        inputs.add(value.name)
        given.setdefault(value.name, "an input")
    made = {name for node in nodes for name in node.output if name}
    for number, node in enumerate(nodes):
        for name in node.input:
            if name and name not in given:
                said = "later: the nodes are out of order, or form a cycle" if name in made else "nowhere"
                raise GraphError(f"{file}: {place(node, number)}: its input {name!r:.80} is given {said}")
        for name in node.output:
            if name in given and name:
                raise GraphError(
                    f"{file}: {place(node, number)}: {name!r:.80} is given twice, first by {given[name]}"
                )
            given[name] = place(node, number)
    seen: set[str] = set()
    for value in graph.output:
        if value.name not in given or not value.name:
            raise GraphError(f"{file}: its output {value.name!r:.80} is given nowhere")
        if value.name in seen:
            raise GraphError(f"{file}: two outputs have the name {value.name!r:.80}")
        seen.add(value.name)
    if not graph.output:
        raise GraphError(f"{file}: its graph has no outputs")
