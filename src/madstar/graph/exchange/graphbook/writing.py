"""A graph as a document of Graphbook: every use of a block as a composite operation of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ....errors import GraphError
from ...json_format import check_weights, plain
from ...model import Attribute, Call, Definition, Graph, Item, Node, Parameter, Value
from ...paths import join
from ...soundness import check_sound
from ...unfolding import is_sequence
from ...varying import Binding, bindings, bound, open_names
from ...walk import representatives
from .primitives import OWN, READ, equal_of
from .variables import data_variable, tensor_variable
from .wired import Distinct

SCHEMA = "madstar.graphbook/1"
MOST_OPERATIONS = 1_000_000
"""Operations that are written; the format has no word for a block that is used again."""

_COLUMN, _ROW = 360, 140


class Sizes(dict[str, int]):
    """Sizes of symbols; those that a graph says nothing of are 2."""

    def __missing__(self, symbol: str) -> int:
        return 2


def to_graphbook(graph: Graph) -> dict[str, Any]:
    """The graph as a document of Graphbook, plain data for `json.dump`.

    Blocks are composite operations, nested as they are called; a run is as many of them as it has turns.
    Functions that Graphbook has too are its primitives, others are called "madstar:NAME". A weight is a
    `read_from_file` of a file of its path. Raises GraphError for an unsound graph, or one that is more than a
    million operations when written out.
    """
    check_sound(graph)
    check_weights(graph.weights)
    return _Writer(graph).document()


@dataclass(frozen=True)
class _Use:
    """One use of a block: where, with what set, and how it is called."""

    definition: Definition
    base: str
    binding: Binding
    name: str
    inputs: tuple[str, ...]
    hint: dict[str, Any]


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sizes = Sizes({symbol: found[0] for symbol, found in graph.symbols.items()})
        self.same = representatives(graph)
        self.outputs = {name: output_names(block) for name, block in graph.definitions.items()}
        self.written = 0

    def document(self) -> dict[str, Any]:
        graph = self.graph
        head: dict[str, Any] = {
            "schema": SCHEMA,
            "in": [value.name for value in graph.main.inputs],
            "outputs": list(graph.output_names),
            "symbols": {symbol: list(sizes) for symbol, sizes in graph.symbols.items()},
            "tied": [list(group) for group in graph.tied],
            "guesses": [[guess.path, guess.op, guess.taken] for guess in graph.guesses],
            "weights": list(graph.weights),
            "facts": plain(dict(graph.facts)),
        }
        names = distinct(graph.input_names)
        if names != graph.input_names:
            head["inputs"] = list(graph.input_names)
        self.outputs[graph.root] = distinct(graph.output_names)
        return self.composite(_Use(graph.main, "", {}, graph.name, names, head))

    def composite(self, use: _Use) -> dict[str, Any]:
        block = use.definition
        outputs = self.outputs[block.name]
        hint = {"block": block.name, "kind": block.kind, "module": block.module, "open": list(block.varying)}
        body = _Body(self, use)
        types = body.types
        entry: dict[str, Any] = {
            "name": use.name,
            "type": "COMPOSITE_OPERATION",
            "inputs": [
                tensor_variable(name, value.name, value, self.sizes)
                for name, value in zip(use.inputs, block.inputs, strict=True)
            ],
            "outputs": [
                tensor_variable(name, name, types[source], self.sizes)
                for name, source in zip(outputs, block.outputs, strict=True)
            ],
        }
        body.fill()
        for name, source in zip(outputs, block.outputs, strict=True):
            body.link(source, "this", name)
        entry |= {"operations": body.operations, "links": body.links}
        return entry | {"madstar": _told(hint) | use.hint}

    def count(self) -> None:
        self.written += 1
        if self.written > MOST_OPERATIONS:
            raise GraphError(
                f"{self.graph.name!r}: more than {MOST_OPERATIONS:,} operations when every use of a block is "
                "written out, as Graphbook's format asks for"
            )


class _Body:
    """The operations and links of one composite."""

    def __init__(self, writer: _Writer, use: _Use) -> None:
        self.writer, self.use = writer, use
        block = use.definition
        self.operations: list[dict[str, Any]] = []
        self.links: list[dict[str, Any]] = []
        self.names = Distinct("{0} ({1})", "this")
        self.origins: dict[str, tuple[str, str]] = {}
        self.levels: dict[str, int] = {"this": 0}
        self.rows: dict[int, int] = {}
        for name, value in zip(use.inputs, block.inputs, strict=True):
            self.origins[f"%{value.name}"] = ("this", name)
        self.types: dict[str, Value] = {f"%{value.name}": value for value in block.inputs}
        self.types |= {f"@{p.path}": Value(p.path, p.shape, p.dtype) for p in block.parameters}
        for item in block.items:
            self.types |= {f"%{value.name}": value for value in item.outputs}
            for place, names in item.gathered if isinstance(item, Call) else ():
                self.types |= {f"%{name}": item.outputs[place] for name in names}

    def fill(self) -> None:
        for parameter in self.use.definition.parameters:
            self._parameter(parameter)
        for item in self.use.definition.items:
            if isinstance(item, Node):
                self._node(item)
            else:
                self._call(item)

    def link(self, source: str, operation: str, variable: str) -> None:
        giver, given = self.origins[source]
        self.links.append(
            {
                "source": {"operation": giver, "data": given},
                "sink": {"operation": operation, "data": variable},
            }
        )

    def _add(self, entry: dict[str, Any], sources: list[tuple[str, str]]) -> None:
        """An operation and its links, placed right of what it takes."""
        self.writer.count()
        for source, variable in sources:
            self.link(source, entry["name"], variable)
        level = 1 + max((self.levels[self.origins[source][0]] for source, _ in sources), default=0)
        row = self.rows.get(level, 0)
        self.levels[entry["name"]], self.rows[level] = level, row + 1
        entry["position"] = {"x": _COLUMN * level, "y": _ROW * (row + 1)}
        self.operations.append(entry)

    def _name(self, wanted: str) -> str:
        return self.names.new(wanted)

    def _parameter(self, parameter: Parameter) -> None:
        writer, base = self.writer, self.use.base
        name = self._name(parameter.path)
        full = join(base, parameter.path)
        reference = f"@{parameter.path}"
        hint: dict[str, Any] = {"parameter": parameter.path, "initialisation": parameter.initialisation}
        if not parameter.trained:
            hint["trained"] = False
        entry = {
            "name": name,
            "primitive_name": READ,
            "type": "PRIMITIVE_OPERATION",
            "inputs": [
                data_variable("dir_path", "dir_path", f"/{writer.graph.name}/"),
                data_variable("file_name", "file_name", writer.same.get(full, full)),
                data_variable("extraction_schema", "extraction_schema", "{}"),
            ],
            "outputs": [tensor_variable("output", "output", self.types[reference], writer.sizes)],
            "madstar": hint,
        }
        self._add(entry, [])
        self.origins[reference] = (name, "output")

    def _node(self, node: Node) -> None:
        attributes = {slot: bound(value, self.use.binding) for slot, value in node.attributes}
        equal = equal_of(node, attributes, self.types)
        name = self._name(node.path or node.name)
        tensors = {argument.slot: argument.source for argument in node.arguments}
        said = dict(equal.slots) if equal else {}
        order = [*said] if equal else [*tensors, *(slot for slot in attributes if slot not in tensors)]
        inputs: list[dict[str, Any]] = []
        sources: list[tuple[str, str]] = []
        for slot in order:
            variable = said.get(slot, slot)
            if slot in tensors:
                value = self.types[tensors[slot]]
                inputs.append(tensor_variable(variable, variable, value, self.writer.sizes))
                sources.append((tensors[slot], variable))
            else:
                inputs.append(data_variable(variable, variable, attributes[slot]))
        for slot in attributes if not equal else ():
            if slot in tensors:
                inputs.append(data_variable(f"{slot} (set)", slot, attributes[slot]))
        outputs = [
            tensor_variable(v.name, _output(equal.output if equal else "", i), v, self.writer.sizes)
            for i, v in enumerate(node.outputs)
        ]
        hint = {"name": node.name, "path": node.path, "open": _open(node), "slots": list(tensors)}
        if list(tensors) == [slot for slot in order if slot in tensors]:
            del hint["slots"]
        entry: dict[str, Any] = {
            "name": name,
            "primitive_name": equal.primitive if equal else f"{OWN}{node.op}",
            "type": "PRIMITIVE_OPERATION",
            "inputs": inputs,
            "outputs": outputs,
        }
        if told := _told(hint | ({"name": ""} if node.name == name else {})):
            entry["madstar"] = told
        self._add(entry, sources)
        for value in node.outputs:
            self.origins[f"%{value.name}"] = (name, value.name)

    def _call(self, call: Call) -> None:
        writer = self.writer
        below = writer.graph.definitions[call.definition]
        outputs = writer.outputs[below.name]
        inputs = tuple(value.name for value in below.inputs)
        arguments = list(call.arguments)
        origins = [self.origins[source] for source in arguments]
        shown = below.kind if is_sequence(below) or "$" in "".join(call.paths) else ""
        for turn, (path, binding) in enumerate(
            zip(call.paths, bindings(call, self.use.binding), strict=True)
        ):
            for place, refs in call.own:
                origins[place] = self.origins[refs[turn]]
            name = self._name(shown or path or call.name)
            hint: dict[str, Any] = {"call": call.name, "path": path}
            hint["settings"] = {key: plain(values[turn]) for key, values in call.settings}
            if call.count > 1:
                hint["turn"] = [turn, call.count]
                hint["carried"] = [list(pair) for pair in call.carried] if not turn else []
                hint["own"] = [place for place, _ in call.own] if not turn else []
            if turn < call.count - 1:
                hint["gathered"] = [[place, names[turn]] for place, names in call.gathered]
            else:
                hint["out"] = [value.name for value in call.outputs]
            use = _Use(below, join(self.use.base, path), binding, name, inputs, _told(hint))
            entry = writer.composite(use)
            sources = []
            for place, (origin, variable) in enumerate(zip(origins, inputs, strict=True)):
                # A reference for the moment: the values of earlier turns have no name of their own.
                self.origins[f" {place}"] = origin
                sources.append((f" {place}", variable))
            self._add(entry, sources)
            for place, names in call.gathered if turn < call.count - 1 else ():
                self.origins[f"%{names[turn]}"] = (name, outputs[place])
            for output, place in call.carried:
                origins[place] = (name, outputs[output])
        for value, variable in zip(call.outputs, outputs, strict=True):
            self.origins[f"%{value.name}"] = (name, variable)


def distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, with numbers after those that have been there."""
    found: dict[str, None] = {}
    for wanted in names:
        name, number = wanted, 1
        while name in found:
            number += 1
            name = f"{wanted} ({number})"
        found[name] = None
    return tuple(found)


def output_names(definition: Definition) -> tuple[str, ...]:
    """The names of what a block gives: those of the values."""
    return distinct(tuple(source[1:] for source in definition.outputs))


def _output(name: str, number: int) -> str:
    return name or ("output" if not number else f"output_{number + 1}")


def _open(item: Item) -> dict[str, Any]:
    """Attributes that are left open, as the block has them."""
    pairs: tuple[tuple[str, Attribute], ...] = item.attributes if isinstance(item, Node) else ()
    return {slot: plain(value) for slot, value in pairs if any(True for _ in open_names(value))}


def _told(hint: Mapping[str, Any]) -> dict[str, Any]:
    """What a hint says beyond nothing."""
    return {key: value for key, value in hint.items() if value not in ("", [], {}, None)}
