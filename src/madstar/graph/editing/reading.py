"""Programs as JSON: read strictly, with one line for what is wrong and where.

Nothing in a program is executed. A file that it names is a graph, read by the reader of graphs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from ...errors import EditError, GraphError
from ..model import Graph
from ..vocabulary import OPERATIONS
from . import operations, whole_modules
from .fragments import Fragment, Step
from .operations import Operation
from .rewrites import REWRITES
from .weighted import WEIGHTED

SCHEMA = "madstar.edits/1"
MAX_BYTES = 4 * 1024 * 1024
MAX_EDITS = 10_000
MAX_STEPS = 1000
MAX_DEPTH = 20

EDITS: Mapping[str, type] = {
    "insert_after": operations.InsertAfter,
    "insert_before": operations.InsertBefore,
    "insert_parallel": operations.InsertParallel,
    "replace": operations.Replace,
    "delete": operations.Delete,
    "rewire": operations.Rewire,
    "set_attr": operations.SetAttr,
    "wrap": operations.Wrap,
    "repeat": whole_modules.Repeat,
    "share": whole_modules.Share,
    "freeze": whole_modules.Freeze,
    "unfreeze": whole_modules.Unfreeze,
}
"""The edits by name."""


@dataclass(frozen=True)
class Edit:
    """An edit as it was written, and what it is."""

    plain: Mapping[str, Any]
    operation: Operation


def load_program(path: str | Path) -> list[Edit]:
    """The edits of a file. Graphs that it names are looked for beside it. Raises EditError."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise EditError(f"cannot read {path}: {error.strerror or error}") from None
    if len(data) > MAX_BYTES:
        raise EditError(f"{path}: larger than {MAX_BYTES >> 20} MiB; no program is that large")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise EditError(f"{path}: not text in UTF-8; a program is a JSON file") from None
    return read_program(parsed(text, str(path)), str(path), path.parent)


def parsed(text: str, source: str) -> Any:
    """The data of a JSON text. Raises EditError."""
    try:
        return json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise EditError(f"{source}: nested too deeply to be a program") from None
    except json.JSONDecodeError as error:
        raise EditError(
            f"{source}: no whole JSON document ({error.msg}, line {error.lineno}); is it cut off?"
        ) from None
    except ValueError as error:
        raise EditError(f"{source}: {error}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f'{word} is no JSON; write {{"float": "inf"}}')


def read_program(document: Any, source: str = "program", folder: str | Path = ".") -> list[Edit]:
    """The edits of a document of schema "madstar.edits/1", or of a list of edits. Raises EditError."""
    if isinstance(document, dict):
        schema = document.get("schema")
        if schema != SCHEMA:
            raise EditError(f"{source}: no program: its schema is {schema!r:.60}, not {SCHEMA!r}")
        _known(document, ("schema", "edits"), source)
        document = document.get("edits")
    if not isinstance(document, list) or not document:
        raise EditError(f'{source}: "edits" must be a list with an edit or more')
    if len(document) > MAX_EDITS:
        raise EditError(f"{source}: {len(document):,} edits; at most {MAX_EDITS:,} in one program")
    reader = Reader(Path(folder))
    return [reader.edit(entry, f"{source}, edit {n}") for n, entry in enumerate(document, 1)]


class Reader:
    """Reads edits; graphs that they name are looked for in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def edit(self, entry: Any, where: str) -> Edit:
        """One edit, or a ready-made rewrite."""
        if not isinstance(entry, dict):
            raise EditError(f'{where}: must be an object such as {{"edit": "delete", "select": "layers[0]"}}')
        for key, table in (("edit", EDITS), ("rewrite", REWRITES)):
            if key not in entry:
                continue
            name = entry[key]
            if not isinstance(name, str) or name not in table:
                raise EditError(f"{where}: there is no {key} {name!r:.60}{_near(name, table)}")
            where = f"{where} ({name})"
            made = self._made(table[name], entry, key, where)
            return Edit(self._resolved(entry), made)
        raise EditError(f'{where}: says neither "edit" nor "rewrite"')

    def _made(self, kind: type, entry: Mapping[str, Any], head: str, where: str) -> Operation:
        known = {each.name.rstrip("_"): each for each in fields(kind)}
        _known(entry, (head, *known), where)
        options: dict[str, Any] = {}
        for key, each in known.items():
            if key in entry:
                options[each.name] = self._value(each.name, str(each.type), entry[key], f"{where}: {key}")
            elif each.default is MISSING and each.default_factory is MISSING:
                raise EditError(f'{where}: "{key}" is missing')
        made: Operation = kind(**options)
        return made

    def _value(self, name: str, kind: str, value: Any, where: str) -> Any:
        if "Fragment" in kind:
            return self.fragment(value, where)
        if kind.startswith("Mapping"):
            if not isinstance(value, dict):
                raise EditError(f"{where}: must be an object of slots and values")
            return {slot: attribute(each, where) for slot, each in value.items()}
        wanted = kind.removesuffix(" | None")
        if value is None and wanted != kind:
            return None
        checks: dict[str, tuple[Callable[[Any], bool], str]] = {
            "str": (lambda v: isinstance(v, str) and len(v) <= 1000, "text"),
            "bool": (lambda v: isinstance(v, bool), "true or false"),
            "int": (lambda v: type(v) is int and abs(v) < 2**62, "a whole number"),
            "float": (lambda v: type(v) in (int, float) and abs(v) < 1e300, "a number"),
        }
        fits, words = checks[wanted]
        if not fits(value):
            raise EditError(f"{where} is {value!r:.60}; give {words}")
        return value

    def fragment(self, value: Any, where: str) -> Fragment:
        """What is put in: a step, a list of steps, or an object with "steps" or "graph"."""
        plain = value
        head: dict[str, Any] = {}
        if isinstance(value, dict) and "op" not in value:
            head = value
            _known(head, ("steps", "graph", "path", "kind", "in"), where)
            if ("steps" in head) == ("graph" in head):
                raise EditError(f'{where}: says either "steps" or "graph"')
            value = head.get("steps")
        path, kind = self._path(head.get("path", ""), where), self._path(head.get("kind", ""), where)
        if "graph" in head:
            given = head.get("in", {})
            if not isinstance(given, dict) or not all(isinstance(ref, str) for ref in given.values()):
                raise EditError(f'{where}: "in" must be an object such as {{"tokens": "%x"}}')
            return Fragment((), self._graph(head["graph"], where), path, kind, given, plain)
        steps = value if isinstance(value, list) else [value]
        if not 1 <= len(steps) <= MAX_STEPS:
            raise EditError(f"{where}: {len(steps)} steps; give between 1 and {MAX_STEPS:,}")
        read: list[Step] = []
        for number, step in enumerate(steps, 1):
            read.append(_step(step, f"{where}, step {number}", {each.name for each in read}))
        return Fragment(tuple(read), None, path, kind, {}, plain)

    def _resolved(self, value: Any) -> Any:
        """The edit as it was written, with whole paths of the graphs that it names."""
        if isinstance(value, list):
            return [self._resolved(part) for part in value]
        if not isinstance(value, dict):
            return value
        found = {key: self._resolved(part) for key, part in value.items()}
        if isinstance(name := value.get("graph"), str):
            found["graph"] = str((self.folder / name).resolve())
        return found

    def _path(self, text: Any, where: str) -> str:
        if not isinstance(text, str) or not re.fullmatch(
            r"(?:(?:\{site\}|[\w-]+)\.)*(?:\{site\}|[\w-]+)|", text
        ):
            raise EditError(f"{where}: {text!r:.60} is no path; write names joined by dots, or {{site}}.name")
        return text

    def _graph(self, name: Any, where: str) -> Graph:
        if isinstance(name, Graph):
            return name
        if not isinstance(name, str) or not name.endswith((".json", ".json.gz")):
            raise EditError(f"{where}: graph is {name!r:.60}; name a graph file, .json or .json.gz")
        from ..json_format import load

        try:
            return load(self.folder / name)
        except GraphError as error:
            raise EditError(f"{where}: {error}") from None


def _step(entry: Any, where: str, earlier: set[str]) -> Step:
    if not isinstance(entry, dict) or not isinstance(op := entry.get("op"), str):
        raise EditError(f'{where}: must be an object such as {{"op": "gelu"}}')
    if op not in OPERATIONS and op not in WEIGHTED:
        raise EditError(f"{where}: there is no operation {op!r:.60}{_near(op, [*OPERATIONS, *WEIGHTED])}")
    options = WEIGHTED[op][1] if op in WEIGHTED else ()
    _known(entry, ("op", "name", "in", "set", *options), where)
    name = entry.get("name", op)
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][\w-]{0,99}", name):
        raise EditError(f"{where}: {name!r:.60} is no name; write letters, digits and _")
    if "name" in entry and name in (earlier | {"x", "y"}):
        raise EditError(f"{where}: the name {name!r} is taken; names of steps differ")
    number = 1
    while name in earlier | {"x", "y"}:
        number += 1
        name = f"{op}_{number}"
    slots = OPERATIONS["mul" if op == "scale" else op].slots
    given = entry.get("in", {})
    if isinstance(given, str):
        given = {slots[0] if slots else "": given}
    if not isinstance(given, dict) or not all(isinstance(ref, str) for ref in given.values()):
        raise EditError(f'{where}: "in" must be "%x", or an object such as {{"other": "%x"}}')
    said = entry.get("set", {})
    if not isinstance(said, dict):
        raise EditError(f'{where}: "set" must be an object of slots and values')
    for slot in (*given, *said):
        if slot.partition(".")[0] not in slots:
            raise EditError(
                f"{where}: {op} has no {slot!r:.60}{_near(slot, slots)}; it has {', '.join(slots)}"
            )
    attributes = tuple(sorted((slot, attribute(value, where)) for slot, value in said.items()))
    return Step(op, name, given, attributes, {key: entry[key] for key in options if key in entry})


def attribute(value: Any, where: str, depth: int = MAX_DEPTH) -> Any:
    """An attribute of a node: numbers, text, tuples of these. Raises EditError."""
    if depth < 0:
        raise EditError(f"{where}: nested too deeply")
    if isinstance(value, (list, tuple)):
        return tuple(attribute(part, where, depth - 1) for part in value)
    if isinstance(value, dict):
        if set(value) != {"float"} or value["float"] not in ("inf", "-inf", "nan"):
            raise EditError(f"{where}: an object here can only be {{'float': 'inf'}}, '-inf' or 'nan'")
        return float(value["float"])
    return value


def _known(entry: Mapping[str, Any], keys: tuple[str, ...], where: str) -> None:
    for key in entry:
        if key not in keys:
            raise EditError(
                f"{where}: the key {key!r:.60} is not known{_near(key, keys)}; known are {', '.join(keys)}"
            )


def _near(name: Any, known: Any) -> str:
    near = get_close_matches(str(name)[:100], list(known), n=1, cutoff=0.4)
    return f" (did you mean {near[0]}?)" if near else ""
