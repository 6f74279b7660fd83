"""What users and other packages add: an attribute of a file or a module by its name, and entry points.

A reference is written `path/to/file.py:Name` or `package.module:Name`. Loading one runs the code that
it names; whatever that raises becomes one error of one line. `graph:FILE` is a graph as a layer.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType

from .errors import MadstarError, in_one_line

SCHEMES = {"graph": "madstar.graph.execution.as_layer:of_file"}
"""Words that stand in the place of a module, with what makes a thing of the file that is named behind."""


def is_reference(name: str) -> bool:
    """Whether a name is written as a reference, with a colon, rather than as a known name."""
    return ":" in name


def load_attribute(reference: str, what: str, error: type[MadstarError]) -> object:
    """What `path/to/file.py:Name` or `package.module:Name` names.

    `what` is the noun of the message ("layer", "task"). Raises `error` for a reference that is
    incomplete, a file or an attribute that is not there, and for whatever the code raises on loading.
    """
    where, _, attribute = reference.rpartition(":")
    if not where or not attribute:
        raise error(f"{what} '{reference}': write path/to/file.py:Name or package.module:Name")
    module = _module(reference, where, what, error)
    if not hasattr(module, attribute):
        raise error(f"{what} '{reference}': {where} has no '{attribute}'{nearest(attribute, vars(module))}")
    found: object = getattr(module, attribute)
    return found


def entry_point(group: str, name: str, what: str, error: type[MadstarError]) -> object | None:
    """What another package offers as `name` in `group`; None where none does.

    Raises `error` for whatever that package raises on loading.
    """
    point: EntryPoint | None = next((each for each in entry_points(group=group) if each.name == name), None)
    if point is None:
        return None
    with _loading(name, point.value, what, error):
        found: object = point.load()
    return found


def entry_point_names(group: str) -> tuple[str, ...]:
    """The names that other packages offer in `group`, sorted. Loads nothing."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean ...?)` with the nearest of the known names, or nothing where none is near."""
    near = difflib.get_close_matches(name, [each for each in known if not each.startswith("_")], n=1)
    return f" (did you mean {near[0]}?)" if near else ""


def absolute(reference: str) -> str:
    """A reference with its file's whole path, so that it is found from any folder; else unchanged."""
    scheme, path = of_scheme(reference)
    if scheme and path.is_file():
        return f"{scheme}:{path.resolve()}"
    where, colon, attribute = reference.rpartition(":")
    if colon and where.endswith(".py") and Path(where).is_file():
        return f"{Path(where).resolve()}:{attribute}"
    return reference


def of_scheme(reference: str) -> tuple[str, Path]:
    """The scheme of a reference, such as "graph", and the file behind it; no scheme for other references."""
    scheme, colon, path = reference.partition(":")
    return (scheme, Path(path)) if colon and path and scheme in SCHEMES else ("", Path())


def made_by_scheme(reference: str, what: str, error: type[MadstarError]) -> object:
    """What a scheme makes of its file. Raises `error` with what it says of a file that will not do."""
    scheme, path = of_scheme(reference)
    module, _, name = SCHEMES[scheme].partition(":")
    try:
        return getattr(importlib.import_module(module), name)(str(path))
    except (MadstarError, OSError) as raised:
        raise error(f"{what} '{reference}': {raised}") from raised


def reference_to(function: object) -> str:
    """`file.py:name` of a function or class by which other processes find it; empty where they cannot.

    They cannot find what was made inside a function, typed into an interpreter, or has no name.
    """
    name = getattr(function, "__qualname__", "")
    module = sys.modules.get(getattr(function, "__module__", ""))
    path = getattr(module, "__file__", None)
    if not name or "<" in name or "." in name or path is None:
        return ""
    return f"{Path(path).resolve()}:{name}"


def _module(reference: str, where: str, what: str, error: type[MadstarError]) -> ModuleType:
    if not where.endswith(".py"):
        with _loading(reference, where, what, error):
            return importlib.import_module(where)
    path = Path(where)
    if not path.is_file():
        raise error(f"{what} '{reference}': there is no file {where}")
    # One module for each file and content: a class loaded twice is the same class.
    with _loading(reference, where, what, error):
        content = hashlib.sha256(str(path.resolve()).encode() + b"\0" + path.read_bytes()).hexdigest()[:12]
    name = f"madstar_own_{path.stem}_{content}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # data classes look for their module here
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)  # so that the file may import others beside it, as a script may
    try:
        with _loading(reference, where, what, error):
            spec.loader.exec_module(module)
    except MadstarError:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _loading(name: str, where: str, what: str, error: type[MadstarError]) -> Iterator[None]:
    """Whatever foreign code raises while it is loaded, as an error of one line."""
    try:
        yield
    except (Exception, SystemExit) as raised:
        raise error(f"{what} '{name}': loading {where} failed with {in_one_line(raised)}") from raised
