"""One file from the room of operators: the definitions an architecture needs, as they stand there.

There is one implementation. The exported file is cut out of the real sources, definition by
definition and with their comments; only the branches this architecture never takes are left out.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files

from .. import errors
from ..liv import BackboneSpec
from .facts import facts
from .folding import fold

ROOTS = (("export/running", "main"), ("export/running", "load"))
# What a module costs is asked in the laboratory only; running it needs none of these.
COST_METHODS = frozenset({"flops", "mixing_flops", "state_elements", "memory_elements"})
THIRD_PARTY = ("torch", "safetensors")
ERRORS = "errors"
OPERATOR_TABLE, LAYER_TABLE = "OPERATORS", "LAYERS"
_ERRORS = "|".join(name for name in vars(errors) if name.endswith("Error"))

Name = tuple[str, str]  # a module of the package, such as "liv/scan", and a name defined in it


@dataclass(frozen=True)
class Source:
    """A module's text, its top-level definitions, and where the names that it imports come from."""

    text: str
    introduction: str
    definitions: dict[str, tuple[int, int]]
    inner: dict[str, Name]
    outer: dict[str, str]


@dataclass(frozen=True)
class Definition:
    """The text of one class, function or constant, and the names that stand in it."""

    text: str
    names: frozenset[str]
    constant: bool


def bundle(spec: BackboneSpec, introduction: str) -> str:
    """The text of a module that runs this architecture with torch and safetensors alone.

    `introduction` becomes its docstring. The same spec and introduction give the same text.
    """
    known = facts(spec)
    operators = [layer.operator for layer in spec.layers]
    used = {
        OPERATOR_TABLE: frozenset(operator.token_mixing for operator in operators),
        LAYER_TABLE: frozenset(operator.layer for operator in operators),
    }
    present = {
        "Differential": any(operator.differential for operator in operators),
        "Given": any(operator.layer for operator in operators),
    }
    absent = frozenset(name for name, here in present.items() if not here)
    needed: dict[Name, Definition] = {}
    imports: set[str] = set()
    waiting = [_resolved(*root) for root in ROOTS]
    while waiting:
        module, name = waiting.pop()
        if (module, name) in needed:
            continue
        source = _source(module)
        needed[module, name] = definition = _definition(
            module, name, tuple(known.get(name, {}).items()), used.get(name), absent
        )
        for mentioned in definition.names:
            if mentioned in source.outer:
                imports.add(source.outer[mentioned])
            elif mentioned in source.inner or mentioned in source.definitions:
                waiting.append(_resolved(module, mentioned))
    needed = _distinct(needed)
    parts = [f'"""{introduction}\n"""', "from __future__ import annotations", *_import_blocks(imports)]
    body = [_section(module, needed) for module in _in_import_order(ROOTS[0][0])]
    ending = 'if __name__ == "__main__":\n    sys.exit(main())'
    return "\n\n".join(parts) + "\n\n" + "\n\n\n".join([*filter(None, body), ending]) + "\n"


@lru_cache(maxsize=256)
def _source(module: str) -> Source:
    path = files(__package__.rpartition(".")[0]).joinpath(f"{module}.py")
    # Without madstar there are no errors of its own.
    text = re.sub(rf"\b({_ERRORS})\b", "ValueError", path.read_text(encoding="utf-8"))
    tree = ast.parse(text)
    lines = text.splitlines()
    definitions: dict[str, tuple[int, int]] = {}
    inner: dict[str, Name] = {}
    outer: dict[str, str] = {}
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _note_import(module, node, inner, outer)
        else:
            assert node.end_lineno is not None
            lasting = (_first_line(node, lines), node.end_lineno)
            definitions.update(dict.fromkeys(_defined(node), lasting))
    return Source(text, ast.get_docstring(tree) or "", definitions, inner, outer)


def _note_import(
    module: str, node: ast.Import | ast.ImportFrom, inner: dict[str, Name], outer: dict[str, str]
) -> None:
    for alias in node.names:
        name = alias.asname or alias.name
        renamed = f" as {alias.asname}" if alias.asname else ""
        if isinstance(node, ast.Import):
            outer[name] = f"import {alias.name}{renamed}"
        elif node.level:
            room = module.split("/")[: -node.level]
            inner[name] = ("/".join([*room, *(node.module or "").split(".")]).strip("/"), alias.name)
        elif node.module == "jaxtyping":
            # Shapes stay where they are, as the annotations that plain Python has for them.
            outer[name] = f"from typing import Annotated as {name}"
        elif node.module != "__future__":
            outer[name] = f"from {node.module} import {alias.name}{renamed}"


def _defined(node: ast.stmt) -> list[str]:
    """The names that a statement defines: one, or those of `A, B = 1, 2`."""
    match node:
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            return [name]
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
        case ast.Assign(targets=[ast.Tuple(elts=parts)]):
            return [part.id for part in parts if isinstance(part, ast.Name)]
    return []


def _first_line(node: ast.stmt, lines: list[str]) -> int:
    """Where a definition begins, with its decorators and the comments right above it; counted from 0."""
    first = min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))]) - 1
    while lines[first - 1].startswith("#"):
        first -= 1
    return first


def _resolved(module: str, name: str) -> Name:
    """Where a name is really defined, through the names that rooms hand on."""
    while True:
        if _is_room(module):
            module = f"{module}/__init__"
        source = _source(module)
        if name in source.definitions:
            return module, name
        module, name = source.inner[name]


def _is_room(module: str) -> bool:
    return files(__package__.rpartition(".")[0]).joinpath(module).is_dir()


@lru_cache(maxsize=1024)
def _definition(
    module: str,
    name: str,
    known: tuple[tuple[str, bool], ...],
    entries: frozenset[str] | None,
    absent: frozenset[str],
) -> Definition:
    """A definition as this architecture needs it; of a table, the `entries` only."""
    source = _source(module)
    first, last = source.definitions[name]
    text = "\n".join(source.text.splitlines()[first:last])
    if entries is not None:
        text = _only_entries(text, entries)
    read = _read_by_bases(module, text)
    text = fold(text, dict(known), omitted_methods=COST_METHODS, kept_methods=read, absent=absent)
    tree = ast.parse(text)
    names = frozenset(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return Definition(text, names, not isinstance(tree.body[0], ast.ClassDef | ast.FunctionDef))


def _distinct(needed: dict[Name, Definition]) -> dict[Name, Definition]:
    """The definitions, those of a name that another module's has already under a name with their module's."""
    taken: set[str] = set()
    renamed: dict[Name, str] = {}
    for module in _in_import_order(ROOTS[0][0]):
        for name in _source(module).definitions:
            if (module, name) in needed:
                if name in taken:
                    renamed[module, name] = _with_module(module, name)
                taken.add(renamed.get((module, name), name))
    if not renamed:
        return needed
    changed = {}
    for (module, name), definition in needed.items():
        source = _source(module)
        here = {
            n: _resolved(module, n)
            for n in definition.names | {name}
            if n in source.inner or n in source.definitions
        }
        words = {word: renamed[where] for word, where in here.items() if where in renamed}
        changed[module, name] = (
            replace(definition, text=_reworded(definition.text, words)) if words else definition
        )
    return changed


def _with_module(module: str, name: str) -> str:
    """`split` of the module key_decay as key_decay_split, `_split`, `SPLIT` and `Split` likewise."""
    stem = module.rpartition("/")[2]
    private, plain = "_" * name.startswith("_"), name.lstrip("_")
    if plain.isupper():
        return f"{private}{stem.upper()}_{plain}"
    if plain[0].isupper():
        return f"{private}{stem.title().replace('_', '')}{plain}"
    return f"{private}{stem}_{plain}"


def _reworded(text: str, words: Mapping[str, str]) -> str:
    """A definition with other names for what it uses, and for itself."""
    tree = ast.parse(text)
    assert not any(isinstance(node, ast.arg) and node.arg in words for node in ast.walk(tree)), words
    lines = [line.encode() for line in text.splitlines()]
    found = [
        (n.lineno, n.col_offset, n.id) for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id in words
    ]
    for line, column, name in sorted(found, reverse=True):
        old = lines[line - 1]
        lines[line - 1] = old[:column] + words[name].encode() + old[column + len(name) :]
    text = b"\n".join(lines).decode()
    for name, other in words.items():
        text = re.sub(rf"^(class|def) {name}\b", rf"\1 {other}", text, flags=re.MULTILINE)
    return text


def _read_by_bases(module: str, text: str) -> frozenset[str]:
    """Attributes that the package's base classes of a class read: private methods of these names are used."""
    source, found = _source(module), set()
    for node in ast.parse(text).body:
        for base in node.bases if isinstance(node, ast.ClassDef) else ():
            if isinstance(base, ast.Name) and (base.id in source.inner or base.id in source.definitions):
                where, name = _resolved(module, base.id)
                if where == ERRORS:
                    continue
                first, last = _source(where).definitions[name]
                above = "\n".join(_source(where).text.splitlines()[first:last])
                found |= {part.attr for part in ast.walk(ast.parse(above)) if isinstance(part, ast.Attribute)}
                found |= _read_by_bases(where, above)
    return frozenset(found)


def _only_entries(text: str, keys: frozenset[str]) -> str:
    """A dictionary of one entry a line without those of other keys."""
    lines = text.splitlines()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value not in keys:
                    assert value.end_lineno == key.lineno
                    lines[key.lineno - 1] = ""
    return "\n".join(line for line in lines if line)


def _import_blocks(imports: set[str]) -> Iterator[str]:
    """Imports as isort has them: the standard library, then the others, names of one module together."""
    merged: dict[str, list[str]] = {}
    lines = []
    for line in imports:
        module, _, name = line.removeprefix("from ").partition(" import ")
        if line.startswith("import") or " as " in line:
            lines.append(line)
        else:
            merged.setdefault(module, []).append(name)
    for module, names in merged.items():
        lines.append(f"from {module} import {', '.join(sorted(names, key=_isort_key))}")
    lines.sort(
        key=lambda line: (line.startswith("from"), line.split()[1], "import Annotated" not in line, line)
    )
    others = [line for line in lines if line.split()[1].split(".")[0] in THIRD_PARTY]
    yield "\n".join(line for line in lines if line not in others)
    yield "\n".join(others)


def _isort_key(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def _in_import_order(module: str, seen: set[str] | None = None) -> Iterator[str]:
    """Every module of the package that this one imports, then itself: what is needed comes first."""
    seen = set() if seen is None else seen
    module = f"{module}/__init__" if _is_room(module) else module
    if module in seen:
        return
    seen.add(module)
    for needed, _ in _source(module).inner.values():
        if needed != ERRORS:
            yield from _in_import_order(needed, seen)
    yield module


def _section(module: str, needed: dict[Name, Definition]) -> str:
    """A module's part of the file: its introduction as comments, then its definitions in their order."""
    source = _source(module)
    names = [name for name in source.definitions if (module, name) in needed]
    # Names that one statement defines stand there once.
    names = list({source.definitions[name]: name for name in names}.values())
    if not names:
        return ""
    title = f"# {module.rpartition('/')[2]} "
    text = title + "-" * (100 - len(title)) + "\n#\n"
    text += "\n".join(f"# {line}".rstrip() for line in source.introduction.splitlines())
    for before, name in zip([None, *names], names, strict=False):
        definition = needed[module, name]
        constants = definition.constant and (before is None or needed[module, before].constant)
        adjacent = before is not None and source.definitions[before][1] == source.definitions[name][0]
        text += ("\n" if adjacent else "\n\n" if constants else "\n\n\n") + definition.text
    return text
