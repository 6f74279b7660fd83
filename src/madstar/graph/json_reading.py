"""A parsed JSON document as a graph: every part checked for its type, every error with its place."""

from __future__ import annotations

import re
from typing import Any

from ..errors import GraphError
from .json_turns import read_names, read_settings
from .model import (
    SCHEMA,
    Argument,
    Attribute,
    Call,
    Definition,
    Dim,
    Graph,
    Guess,
    Item,
    Node,
    Parameter,
    Primitive,
    Shape,
    Value,
    Varying,
)
from .polynomials import MAX_TEXT
from .runs_of_paths import unpacked
from .sound_calls import MAX_ATTRIBUTE_NESTING
from .soundness import MAX_ITEMS

MAX_FACTS_NESTING = 50
_FAMILY, _, _VERSION = SCHEMA.rpartition("/")
_TYPED = re.compile(r"(\w+)\[([^\[\]]*)\]")


def read_graph(document: Any) -> Graph:
    """The graph of a document of schema "madstar.graph/1". Raises GraphError; soundness is not checked."""
    if not isinstance(document, dict):
        raise GraphError("no graph: the document is not an object")
    _check_schema(document.get("schema"))
    _known(document, "schema name root inputs outputs symbols tied guesses weights facts blocks", "the graph")
    room = _Room()
    blocks = [_definition(entry, f"blocks[{i}]", room) for i, entry in enumerate(_list(document, "blocks"))]
    definitions = {block.name: block for block in blocks}
    if len(definitions) < len(blocks):
        raise GraphError("blocks: two have the same name; each is defined once")
    symbols = _dict(document, "symbols")
    facts = document.get("facts", {})
    if not isinstance(facts, dict):
        raise GraphError("facts: must be an object")
    return Graph(
        name=_str(document, "name", "the graph"),
        root=_str(document, "root", "the graph"),
        definitions=definitions,
        input_names=_strings(document.get("inputs", []), "inputs"),
        output_names=_strings(document.get("outputs", []), "outputs"),
        symbols={name: _integers(sizes, f"symbols {name!r:.80}") for name, sizes in symbols.items()},
        tied=tuple(_strings(group, f"tied[{i}]") for i, group in enumerate(_list(document, "tied"))),
        guesses=tuple(_guess(entry, f"guesses[{i}]") for i, entry in enumerate(_list(document, "guesses"))),
        weights=_strings(document.get("weights", []), "weights"),
        facts={key: _fact(value, MAX_FACTS_NESTING, f"facts {key!r:.80}") for key, value in facts.items()},
    )


def _check_schema(schema: Any) -> None:
    if schema == SCHEMA:
        return
    if not isinstance(schema, str) or not schema.startswith(f"{_FAMILY}/"):
        raise GraphError(f"no graph: its schema is {schema!r:.60}, not {SCHEMA!r}")
    version = schema.removeprefix(f"{_FAMILY}/")
    newer = version.isdecimal() and int(version[:9]) > int(_VERSION)
    advice = "it is newer than this version of madstar; update madstar" if newer else "it is not known"
    raise GraphError(f"schema {schema!r:.60}: {advice} (this one reads {SCHEMA!r})")


class _Room:
    """How much more the texts that stand for many paths, names and values may be written out."""

    def __init__(self) -> None:
        self.left = MAX_ITEMS

    def take(self, item: Item, where: str) -> Item:
        """The item, once there is room for it."""
        if isinstance(item, Call):
            self.left -= item.count * (1 + len(item.own) + len(item.settings) + len(item.gathered))
        if self.left < 0:
            raise GraphError(f"{where}: stands for more than {MAX_ITEMS:,} paths, names and values")
        return item


def _definition(entry: Any, where: str, room: _Room) -> Definition:
    name = _str(_object(entry, where), "name", where)
    where = f"{where} {name!r:.80}"
    _known(entry, "name kind module inputs outputs varying parameters items", where)
    return Definition(
        name=name,
        kind=_str(entry, "kind", where),
        inputs=tuple(_value(v, f"{where} inputs[{i}]") for i, v in enumerate(_list(entry, "inputs", where))),
        parameters=tuple(
            _parameter(p, f"{where} parameters[{i}]") for i, p in enumerate(_list(entry, "parameters", where))
        ),
        items=tuple(
            room.take(_item(item, f"{where} items[{i}]"), where)
            for i, item in enumerate(_list(entry, "items", where))
        ),
        outputs=_strings(entry.get("outputs", []), f"{where} outputs"),
        module=_str(entry, "module", where, ""),
        varying=_strings(entry.get("varying", []), f"{where} varying"),
    )


def _parameter(entry: Any, where: str) -> Parameter:
    parts = entry if isinstance(entry, list) else [entry]
    if (
        not 1 <= len(parts) <= 3
        or not all(isinstance(p, str) for p in parts)
        or parts[2:] not in ([], ["buffer"])
    ):
        raise GraphError(f"{where}: a parameter is 'path: float32[8,8]', then initialisation, then 'buffer'")
    path, dtype, shape = _typed(parts[0], where)
    sizes = tuple(dim for dim in shape if isinstance(dim, int))
    if len(sizes) < len(shape):
        raise GraphError(f"{where}: the shape of a parameter has no symbols")
    initialisation = parts[1] if len(parts) > 1 else "unknown"
    return Parameter(path, sizes, dtype, trained=len(parts) < 3, initialisation=initialisation)


def _item(entry: Any, where: str) -> Item:
    entry = _object(entry, where)
    outputs = tuple(_value(v, f"{where} out[{i}]") for i, v in enumerate(_list(entry, "out", where)))
    name = _str(entry, "name", where, outputs[0].name if outputs else None)
    where = f"{where} {name!r:.80}"
    if "call" in entry:
        return _call(entry, name, outputs, where)
    _known(entry, "op name path in set out body", where)
    arguments = _dict(entry, "in", where)
    if not all(isinstance(source, str) for source in arguments.values()):
        raise GraphError(f"{where} in: every slot is given a reference such as '%x' or '@weight'")
    return Node(
        name=name,
        op=_str(entry, "op", where),
        arguments=tuple(Argument(slot, source) for slot, source in arguments.items()),
        outputs=outputs,
        attributes=tuple(
            (key, _set(value, f"{where} set {key!r:.80}"))
            for key, value in _dict(entry, "set", where).items()
        ),
        path=_str(entry, "path", where, ""),
        body=tuple(_primitive(p, f"{where} body[{i}]") for i, p in enumerate(_list(entry, "body", where))),
    )


def _call(entry: dict[str, Any], name: str, outputs: tuple[Value, ...], where: str) -> Call:
    _known(entry, "call name paths in out carried own settings gathered", where)
    pairs = [_integers(pair, f"{where} carried") for pair in _list(entry, "carried", where)]
    if any(len(pair) != 2 for pair in pairs):
        raise GraphError(f"{where} carried: pairs [output, input] are needed")
    paths = unpacked(entry.get("paths"), where)
    count = len(paths)
    return Call(
        name=name,
        definition=_str(entry, "call", where),
        paths=paths,
        arguments=_strings(entry.get("in", []), f"{where} in"),
        outputs=outputs,
        carried=tuple((pair[0], pair[1]) for pair in pairs),
        own=read_names(entry.get("own", []), count, f"{where} own"),
        settings=read_settings(entry.get("settings", {}), count, _set, f"{where} settings"),
        gathered=read_names(entry.get("gathered", []), count, f"{where} gathered"),
    )


def _set(value: Any, where: str) -> Attribute:
    return _attribute(value, MAX_ATTRIBUTE_NESTING, where)


def _primitive(entry: Any, where: str) -> Primitive:
    if not isinstance(entry, list) or len(entry) != 3 or not isinstance(entry[0], str):
        raise GraphError(f"{where}: a primitive is [operation, arguments, results]")
    results = [_typed(f": {text}", where) for text in _strings(entry[2], where)]
    return Primitive(
        op=entry[0],
        arguments=_strings(entry[1], where),
        shapes=tuple(shape for _, _, shape in results),
        dtypes=tuple(dtype for _, dtype, _ in results),
    )


def _guess(entry: Any, where: str) -> Guess:
    parts = _strings(entry, where)
    if len(parts) != 3:
        raise GraphError(f"{where}: a guess is [path, operation, what was taken]")
    return Guess(*parts)


def _value(entry: Any, where: str) -> Value:
    name, dtype, shape = _typed(entry, where)
    return Value(name, shape, dtype)


def _typed(entry: Any, where: str) -> tuple[str, str, Shape]:
    name, colon, written = entry.rpartition(": ") if isinstance(entry, str) else ("", "", "")
    match = _TYPED.fullmatch(written)
    if not colon or match is None or len(written) > 64 * MAX_TEXT:
        raise GraphError(f"{where}: {entry!r:.80} should be as 'name: float32[batch,length,64]'")
    return name, match[1], tuple(_dim(text, where) for text in match[2].split(",")) if match[2] else ()


def _dim(text: str, where: str) -> Dim:
    if text.lstrip("-").isdecimal():
        if len(text) > 18:
            raise GraphError(f"{where}: the size {text:.30}... is beyond any tensor")
        return int(text)
    return text


def _attribute(value: Any, depth: int, where: str) -> Any:
    if depth < 0:
        raise GraphError(f"{where}: nested too deeply")
    if isinstance(value, list):
        return tuple(_attribute(part, depth - 1, where) for part in value)
    if isinstance(value, dict):
        if set(value) == {"varying"} and isinstance(value["varying"], str):
            return Varying(value["varying"])
        return _number(value, where)
    return value


def _fact(value: Any, depth: int, where: str) -> Any:
    if depth < 0:
        raise GraphError(f"{where}: nested too deeply")
    if isinstance(value, list):
        return [_fact(part, depth - 1, where) for part in value]
    if isinstance(value, dict):
        if set(value) == {"float"}:
            return _number(value, where)
        return {key: _fact(part, depth - 1, where) for key, part in value.items()}
    return value


def _number(value: dict[str, Any], where: str) -> float:
    if set(value) != {"float"} or value["float"] not in ("inf", "-inf", "nan"):
        raise GraphError(
            f"{where}: an object here can only be {{'float': 'inf'}}, '-inf', 'nan', or {{'varying': 'i'}}"
        )
    return float(value["float"])


def _known(entry: dict[str, Any], keys: str, where: str) -> None:
    if unknown := sorted(set(entry) - set(keys.split())):
        raise GraphError(f"{where}: the key {unknown[0]!r:.80} is not known; known are {keys}")


def _object(entry: Any, where: str) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise GraphError(f"{where}: must be an object")
    return entry


def _str(entry: dict[str, Any], key: str, where: str, default: str | None = None) -> str:
    value = entry.get(key, default)
    if not isinstance(value, str):
        raise GraphError(f"{where}: {key!r} must be text, not {value!r:.60}")
    return value


def _list(entry: dict[str, Any], key: str, where: str = "the graph") -> list[Any]:
    value = entry.get(key, [])
    if not isinstance(value, list):
        raise GraphError(f"{where}: {key!r} must be a list")
    return value


def _dict(entry: dict[str, Any], key: str, where: str = "the graph") -> dict[str, Any]:
    value = entry.get(key, {})
    if not isinstance(value, dict):
        raise GraphError(f"{where}: {key!r} must be an object")
    return value


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(part, str) for part in value):
        raise GraphError(f"{where}: must be a list of texts")
    return tuple(value)


def _integers(value: Any, where: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(part) is int for part in value):
        raise GraphError(f"{where}: must be a list of whole numbers")
    if any(abs(part) >= 2**63 for part in value):
        raise GraphError(f"{where}: a number beyond 64 bits; no tensor has such a size")
    return tuple(value)
