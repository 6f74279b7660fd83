"""A document of Graphbook as a graph.

What stands under "madstar" says which operations were one block, which a run, what names things had. It is
taken as said only where the operations and links say so too: operations that were one block and differ now
are two blocks, turns that no longer follow each other are calls. A document without it is read by computing
it (`foreign`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from ....errors import GraphError
from ...json_format import check_weights
from ...json_reading import MAX_FACTS_NESTING, _fact
from ...model import Argument, Attribute, Call, Definition, Graph, Guess, Item, Node, Parameter, Value
from ...paths import join
from ...soundness import check_sound, ordered_definitions
from ...varying import Binding, bound, key_of
from .calls import Turn, joined_turns
from .primitives import BY_PRIMITIVE, OWN, READ
from .variables import read_data, read_plain, type_of
from .wired import Distinct, Endpoint, Wired, check_document, variables
from .writing import SCHEMA, Sizes


class Foreign(Exception):  # noqa: N818  it is no error, but another way to read
    """What only computing the document can read; the text says what."""


def from_graphbook(document: Any, inputs: Sequence[str] = ()) -> Graph:
    """The graph of a document of Graphbook, as `json.load` gives it. Raises GraphError with the place.

    `inputs` say the shapes that the inputs of another program's document lack, each as
    "Hidden States:float32[batch,length,768]"; a document of this one needs none.
    """
    try:
        check_document(document)
        if hint_of(document).get("schema") == SCHEMA:
            try:
                graph = _Reader(document).graph()
                check_weights(graph.weights)
                check_sound(graph)
                return graph
            except Foreign:
                pass
        from .foreign import read_foreign

        return read_foreign(document, inputs)
    except RecursionError:
        raise GraphError("nested too deeply to be a graph") from None


def hint_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What an operation says for this reader; empty where it is nothing that could be meant."""
    found = entry.get("madstar")
    return found if isinstance(found, dict) else {}


@dataclass(frozen=True)
class _Place:
    """Where an operation stands, and what is set there."""

    where: str
    base: str
    binding: Binding


class _Reader:
    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.head = hint_of(document)
        symbols = _dict(self.head, "symbols")
        for symbol, sizes in symbols.items():
            if not isinstance(sizes, list) or not sizes or any(type(s) is not int or s < 1 for s in sizes):
                raise GraphError(f"symbol {symbol!r:.80}: give the sizes at which it was traced")
        self.symbols = {symbol: tuple(sizes) for symbol, sizes in symbols.items()}
        self.sizes = Sizes({symbol: sizes[0] for symbol, sizes in self.symbols.items()})
        self.definitions: dict[str, Definition] = {}
        self.known: dict[bytes, str] = {}
        self.files: dict[str, dict[str, None]] = {}

    def graph(self) -> Graph:
        document, head = self.document, self.head
        name = text_of(document, "name", "the whole")
        root = self.block(document, _Place(name, "", {}))
        main = self.definitions[root]
        inputs = [v["name"] for v in variables(document, "inputs", name)]
        outputs = [v["name"] for v in variables(document, "outputs", name)]
        graph = Graph(
            name,
            root,
            self.definitions,
            _strings(head, "inputs", len(inputs)) or tuple(inputs),
            _strings(head, "outputs", len(outputs)) or tuple(outputs),
            symbols=self.symbols,
            tied=self._tied(),
            guesses=tuple(Guess(*_words(guess)) for guess in _list(head, "guesses")),
            weights=_strings(head, "weights", None),
            facts={
                key: _fact(value, MAX_FACTS_NESTING, "facts") for key, value in _dict(head, "facts").items()
            },
        )
        if len(main.inputs) != len(graph.input_names):
            raise GraphError(f"{name}: its inputs are not those of its block")
        order = reversed(ordered_definitions(graph))
        return replace(graph, definitions={each: self.definitions[each] for each in order})

    def _tied(self) -> tuple[tuple[str, ...], ...]:
        """Paths that read one file; in the order said, where that is the same groups."""
        found = {file: set(paths) | {file} for file, paths in self.files.items() if set(paths) != {file}}
        said: list[tuple[str, ...]] = []
        for group in _list(self.head, "tied"):
            names = tuple(_words(group, None))
            if names and found.pop(names[0], set()) <= set(names):
                said.append(names)
        return (*said, *((file, *sorted(paths - {file})) for file, paths in found.items()))

    def block(self, entry: dict[str, Any], place: _Place) -> str:
        """The definition of a composite, and its name: that of an equal one, if there is one."""
        if entry.get("type") not in ("COMPOSITE_OPERATION", "PROJECT"):
            raise Foreign(f"{place.where}: {entry.get('type')}")
        hint = hint_of(entry)
        body = _Body(self, entry, place)
        definition = Definition(
            name="",
            kind=text_of(hint, "kind", place.where, text_of(entry, "name", place.where)),
            inputs=body.inputs,
            parameters=tuple(body.parameters.values()),
            items=tuple(body.items),
            outputs=tuple(body.refs[body.wired.source("this", name)] for name in body.output_names),
            module=text_of(hint, "module", place.where, ""),
            varying=_strings(hint, "open", None),
        )
        key = blake2b(repr(definition).encode("utf-8", "replace"), digest_size=16).digest()
        name = self.known.get(key)
        if name is None:
            wanted = _named(text_of(hint, "block", place.where, definition.kind)) or "Block"
            name, number = wanted, 1
            while name in self.definitions:
                number += 1
                name = f"{wanted}_{number}"
            self.known[key] = name
            self.definitions[name] = replace(definition, name=name)
        return name


class _Body:
    """The items of one composite."""

    def __init__(self, reader: _Reader, entry: dict[str, Any], place: _Place) -> None:
        self.reader, self.entry, self.place = reader, entry, place
        self.wired = Wired(entry, place.where)
        self.refs: dict[Endpoint, str] = {}
        self.types: dict[str, tuple[str, Any]] = {}
        self.parameters: dict[str, Parameter] = {}
        self.names, self.called = Distinct("{0}_{1}"), Distinct("{0}_{1}")
        self.items: list[Item] = []
        shown = variables(entry, "inputs", place.where)
        said = _strings(hint_of(entry), "in", len(shown)) or tuple(v["name"] for v in shown)
        self.inputs = tuple(
            self._value(name, variable, ("this", variable["name"]))
            for name, variable in zip(said, shown, strict=True)
        )
        self.output_names = [v["name"] for v in variables(entry, "outputs", place.where)]
        self._fill()

    def _fill(self) -> None:
        waiting: list[Turn] = []
        for name in self.wired.order:
            operation = self.wired.operations[name]
            kind = operation.get("type")
            if kind == "COMPOSITE_OPERATION":
                waiting.append(self._turn(name, operation))
                continue
            if kind != "PRIMITIVE_OPERATION":
                raise Foreign(f"{self.place.where}/{name}: {kind}")
            if operation.get("primitive_name") == READ:
                self._parameter(name, operation)
                continue
            self._calls(waiting)
            waiting = []
            self.items.append(self._node(name, operation))
        self._calls(waiting)

    def _where(self, name: str) -> str:
        return f"{self.place.where}/{name:.80}"

    def _value(self, wanted: str, variable: Mapping[str, Any], end: Endpoint) -> Value:
        name = self.names.new(_named(wanted) or "value")
        where = f"{self._where(end[0])}, {variable['name']!r:.80}"
        dtype, shape = type_of(variable, self.reader.sizes, where)
        self.refs[end] = f"%{name}"
        return Value(name, shape, dtype)

    def _item_name(self, wanted: str) -> str:
        return self.called.new(_named(wanted) or "item")

    def _parameter(self, name: str, operation: dict[str, Any]) -> None:
        where, hint = self._where(name), hint_of(operation)
        outputs = self.wired.outputs[name]
        said = {v.get("primitive_name", v["name"]): v for v in self.wired.inputs[name]}
        file = said.get("file_name", {}).get("data")
        if (
            not isinstance(file, str)
            or not file
            or len(outputs) != 1
            or (name, "file_name") in self.wired.sources
        ):
            raise Foreign(f"{where}: a file whose name is computed")
        path = text_of(hint, "parameter", where, "")
        if not path:
            prefix = f"{self.place.base}."
            path = file.removeprefix(prefix) if self.place.base else file
        dtype, shape = type_of(outputs[0], self.reader.sizes, where)
        sizes = tuple(dim for dim in shape if isinstance(dim, int))
        if len(sizes) < len(shape):
            raise GraphError(f"{where}: the shape of a weight has no symbols")
        if path in self.parameters:
            raise GraphError(f"{where}: the weight {path!r:.80} is read twice in one operation")
        init = text_of(hint, "initialisation", where, "unknown")
        self.parameters[path] = Parameter(path, sizes, dtype, hint.get("trained") is not False, init)
        self.refs[name, outputs[0]["name"]] = f"@{path}"
        full = join(self.place.base, path)
        self.reader.files.setdefault(file, {})[full] = None

    def _node(self, name: str, operation: dict[str, Any]) -> Node:
        where, hint = self._where(name), hint_of(operation)
        primitive = text_of(operation, "primitive_name", where)
        equal = BY_PRIMITIVE.get(primitive)
        if equal is None and not primitive.startswith(OWN):
            raise Foreign(f"{where}: {primitive}")
        slots = {theirs: ours for ours, theirs in equal.slots} if equal else {}
        arguments: dict[str, Argument] = {}
        attributes: dict[str, Attribute] = {}
        for variable in self.wired.inputs[name]:
            primary = variable.get("primitive_name", variable["name"])
            slot = slots.get(primary, primary) if equal else primary
            if "data" in variable and (name, variable["name"]) not in self.wired.sources:
                attributes[slot] = read_data(variable, f"{where}, {variable['name']!r:.80}")
            else:
                source = self.refs[self.wired.source(name, variable["name"])]
                if slot in arguments:
                    raise GraphError(f"{where}: two of its inputs are {slot!r:.80}")
                arguments[slot] = Argument(slot, source)
        order = _strings(hint, "slots", len(arguments))
        if set(order) != set(arguments):
            order = tuple(arguments)
        for slot, written in _dict(hint, "open").items():
            template = read_plain(written, where)
            if slot in attributes and _same(bound(template, self.place.binding), attributes[slot]):
                attributes[slot] = template
        outputs = tuple(self._value(v["name"], v, (name, v["name"])) for v in self.wired.outputs[name])
        return Node(
            name=self._item_name(text_of(hint, "name", where, name)),
            op=equal.op if equal else primitive.removeprefix(OWN),
            arguments=tuple(arguments[slot] for slot in order),
            outputs=outputs,
            attributes=tuple(sorted(attributes.items())),
            path=text_of(hint, "path", where, ""),
        )

    def _turn(self, name: str, operation: dict[str, Any]) -> Turn:
        where, hint = self._where(name), hint_of(operation)
        path = text_of(hint, "path", where, "" if hint else _path(name))
        settings = {key: read_plain(value, where) for key, value in _dict(hint, "settings").items()}
        binding = {key: bound(value, self.place.binding) for key, value in settings.items()}
        taken = []
        for variable in self.wired.inputs[name]:
            if "data" in variable and (name, variable["name"]) not in self.wired.sources:
                raise Foreign(f"{where}: {variable['name']} has data of its own")
            taken.append(self.wired.source(name, variable["name"]))
        block = self.reader.block(operation, _Place(where, join(self.place.base, path), binding))
        return Turn(name, block, path, tuple(taken), tuple(self.wired.outputs[name]), settings, hint)

    def _calls(self, turns: list[Turn]) -> None:
        """Composites that follow each other as calls and runs."""
        at = 0
        while at < len(turns):
            run = joined_turns(turns, at, self.wired.users)
            self.items.append(self._call(run))
            at += len(run.turns)

    def _call(self, run: Any) -> Call:
        first, last = run.turns[0], run.turns[-1]
        where = self._where(first.name)
        arguments = tuple(self.refs[end] for end in first.taken)
        own = tuple((place, tuple(self.refs[turn.taken[place]] for turn in run.turns)) for place in run.own)
        gathered = []
        for place in run.gathered:
            names = []
            for turn in run.turns[:-1]:
                said = dict(_pairs(turn.hint.get("gathered")))
                variable = turn.outputs[place]
                made = self._value(said.get(place, variable["name"]), variable, (turn.name, variable["name"]))
                names.append(made.name)
            gathered.append((place, tuple(names)))
        said_out = _strings(last.hint, "out", len(last.outputs))
        outputs = tuple(
            self._value(said_out[i] if said_out else v["name"], v, (last.name, v["name"]))
            for i, v in enumerate(last.outputs)
        )
        return Call(
            name=self._item_name(text_of(first.hint, "call", where, first.name)),
            definition=first.block,
            paths=tuple(turn.path for turn in run.turns),
            arguments=arguments,
            outputs=outputs,
            carried=run.carried,
            own=own,
            settings=tuple((key, tuple(turn.settings[key] for turn in run.turns)) for key in first.settings),
            gathered=tuple(gathered),
        )


# Small things that a file may say wrongly.


def text_of(entry: Mapping[str, Any], key: str, where: str, default: str | None = None) -> str:
    """A text of an operation. Raises GraphError where there is none, or something else."""
    value = entry.get(key, default)
    if not isinstance(value, str):
        raise GraphError(f"{where}: {key!r} must be text, not {value!r:.60}")
    return value


def _dict(entry: Mapping[str, Any], key: str) -> dict[str, Any]:
    found = entry.get(key)
    return found if isinstance(found, dict) else {}


def _list(entry: Mapping[str, Any], key: str) -> list[Any]:
    found = entry.get(key)
    return found if isinstance(found, list) else []


def _strings(entry: Mapping[str, Any], key: str, count: int | None) -> tuple[str, ...]:
    """Texts, as many as there must be; none if they are not."""
    found = _list(entry, key)
    if not all(isinstance(each, str) for each in found) or (count is not None and len(found) != count):
        return ()
    return tuple(found)


def _words(given: Any, count: int | None = 3) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(each, str) for each in given):
        raise GraphError(f"{str(given)!r:.60} must be a list of texts")
    if count is not None and len(given) != count:
        raise GraphError(f"{str(given)!r:.60} must be {count} texts")
    return tuple(given)


def _pairs(given: Any) -> list[tuple[int, str]]:
    if not isinstance(given, list):
        return []
    return [
        (pair[0], pair[1])
        for pair in given
        if isinstance(pair, list) and len(pair) == 2 and type(pair[0]) is int and isinstance(pair[1], str)
    ]


def _same(a: Attribute, b: Attribute) -> bool:
    return key_of({"": a}) == key_of({"": b})


def _named(text: str) -> str:
    """A text as names are in graphs: no spaces, nothing that does not print."""
    return "".join("_" if c.isspace() or not c.isprintable() else c for c in text)[:900]


def _path(name: str) -> str:
    return _named(name)
