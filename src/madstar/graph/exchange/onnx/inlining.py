"""Functions of an ONNX file written out where they are called."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ....errors import GraphError
from .extras import need
from .opening import Limits, place

_DEEPEST = 64
Key = tuple[str, str, str]


def inlined(file: Path, model: Any, limits: Limits) -> list[Any]:
    """The nodes of the graph, none of which calls a function of the file.

    Raises GraphError for functions that call themselves, or that would be too many nodes, before any is
    written out.
    """
    functions: dict[Key, Any] = {}
    for function in model.functions:
        key = (function.domain, function.name, function.overload)
        if key in functions:
            raise GraphError(f"{file}: two functions have the name {function.name!r:.80}")
        functions[key] = function
    sizes: dict[Key, int] = {}
    total = sum(_size(file, node, functions, sizes, ()) for node in model.graph.node)
    if total > limits.nodes:
        raise GraphError(f"{file}: {total:,} nodes, the limit is {limits.nodes:,}")
    if not functions:
        return list(model.graph.node)
    writer = _Writer(file, functions)
    for node in model.graph.node:
        writer.write(node, "", {}, {}, ())
    return writer.nodes


def _key(node: Any) -> Key:
    return node.domain, node.op_type, node.overload


def _size(
    file: Path, node: Any, functions: Mapping[Key, Any], sizes: dict[Key, int], way: tuple[Key, ...]
) -> int:
    """How many nodes a node is when written out."""
    key = _key(node)
    function = functions.get(key)
    if function is None:
        return 1
    if key in way or len(way) > _DEEPEST:
        raise GraphError(f"{file}: {place(node, 0)}: the function calls itself, or too deep")
    if key not in sizes:
        sizes[key] = sum(_size(file, each, functions, sizes, (*way, key)) for each in function.node)
    return sizes[key]


class _Writer:
    def __init__(self, file: Path, functions: Mapping[Key, Any]):
        self.file, self.functions = file, functions
        self.nodes: list[Any] = []
        self.calls = 0

    def write(
        self, node: Any, prefix: str, names: dict[str, str], given: Mapping[str, Any], scope: tuple[Any, ...]
    ) -> None:
        """Add a node with the names that it has outside, or what it stands for."""
        copied = need("onnx").NodeProto()
        copied.CopyFrom(node)
        for field in (copied.input, copied.output):
            for i, name in enumerate(field):
                if name and prefix:
                    field[i] = names.setdefault(name, f"{prefix}{name}")
        self._fill(copied, given)
        if prefix and copied.name:
            copied.name = f"{prefix}{copied.name}"
        function = self.functions.get(_key(node))
        if not copied.metadata_props and scope:
            copied.metadata_props.extend(scope)
        if function is None:
            self.nodes.append(copied)
            return
        if len(copied.input) > len(function.input) or len(copied.output) > len(function.output):
            raise GraphError(f"{self.file}: {place(node, 0)}: more arguments than its function has")
        self.calls += 1
        inner = dict(zip(function.input, copied.input, strict=False))
        inner |= {formal: "" for formal in function.input if formal not in inner}
        taken = set(inner)
        for formal, actual in zip(function.output, copied.output, strict=False):
            if formal in taken:
                raise GraphError(f"{self.file}: function {function.name!r:.80} gives out an input of its own")
            if actual:
                inner[formal] = actual
        attributes = {each.name: each for each in function.attribute_proto}
        attributes |= {each.name: each for each in copied.attribute}
        below = f"{copied.name or function.name}/{self.calls}/"
        for each in function.node:
            self.write(each, below, inner, attributes, tuple(copied.metadata_props))

    def _fill(self, node: Any, given: Mapping[str, Any]) -> None:
        """Attributes that name one of the function's get its value, or go."""
        if not any(attribute.ref_attr_name for attribute in node.attribute):
            return
        kept = []
        for attribute in node.attribute:
            if not attribute.ref_attr_name:
                kept.append(attribute)
            elif (found := given.get(attribute.ref_attr_name)) is not None:
                copied = need("onnx").AttributeProto()
                copied.CopyFrom(found)
                copied.name = attribute.name
                kept.append(copied)
        del node.attribute[:]
        node.attribute.extend(kept)
