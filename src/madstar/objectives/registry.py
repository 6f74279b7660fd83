"""Objectives by name: the built-in ones, other packages' (entry points), and the user's own functions.

A user's own is written `path/to/file.py:function` or `package.module:function`. The function takes
a `Subject` and returns a number or a `Measurement`; its attributes `direction` ("min", the default,
or "max"), `unit` and `kind` ("trained", the default, "measured" or "static") may say more.
"""

from __future__ import annotations

import difflib
import hashlib
import importlib
import importlib.util
import reprlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from ..errors import ObjectiveError
from .builtin import BUILTIN, SHORT_NAMES, TAKES_LENGTH
from .objective import KINDS, TRAINED, Measurement, Objective, Subject
from .zero_cost import SCREENS

ENTRY_POINTS = "madstar.objectives"
_MAX_DIGITS = 9


def find_objective(name: str) -> Objective:
    """The objective of that name.

    Raises ObjectiveError for an unknown one (with the nearest known), a wrong length, or a user's
    function that cannot be loaded. Loading a user's function runs the user's file.
    """
    if ":" in name:
        return _own(name)
    base, at, length = name.partition("@")
    base = SHORT_NAMES.get(base, base)
    if base in BUILTIN:
        if at and base not in TAKES_LENGTH:
            raise ObjectiveError(f"objective '{name}': {base} takes no length; write {base}")
        return BUILTIN[base](_length(name, length) if at else None)
    if base in SCREENS:
        if at:
            raise ObjectiveError(f"objective '{name}': {base} takes no length; write {base}")
        return SCREENS[base]
    plugins = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if base in plugins:
        if at:
            raise ObjectiveError(f"objective '{name}': {base} takes no length; write {base}")
        return from_function(_plugin(plugins[base]), name)
    known = [*BUILTIN, *SCREENS, *plugins]
    near = difflib.get_close_matches(base, known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ObjectiveError(
        f"unknown objective {name!r}{hint}: choose from {', '.join(known)}, "
        "or name your own as file.py:function"
    )


def from_function(function: Callable[[Subject], Any], name: str) -> Objective:
    """An objective from a user's function. Raises ObjectiveError where its attributes are wrong."""
    direction, kind = getattr(function, "direction", "min"), getattr(function, "kind", TRAINED)
    if direction not in ("min", "max"):
        raise ObjectiveError(f"objective '{name}': direction is '{direction}', but must be min or max")
    if kind not in KINDS:
        raise ObjectiveError(f"objective '{name}': kind is '{kind}', but must be one of {', '.join(KINDS)}")

    def measure(subject: Subject) -> Measurement:
        try:
            value = function(subject)
        except (ObjectiveError, MemoryError):
            raise
        except Exception as error:
            if "allocate memory" in str(error):
                raise  # the worker tells what ran out of memory from what is wrong
            raise ObjectiveError(
                f"objective '{name}' failed with {type(error).__name__}: {_one_line(str(error))}"
            ) from error
        if isinstance(value, Measurement):
            return value
        try:
            return Measurement(float(value))
        except Exception:  # arrays and tensors have errors of their own kinds
            shown = _one_line(reprlib.repr(value))
            raise ObjectiveError(f"objective '{name}' returned {shown}: return a number") from None

    said = (function.__doc__ or "").strip().splitlines() or ["the user's own"]
    return Objective(name, direction, getattr(function, "unit", ""), kind, said[0], measure)


def reference(function: Callable[[Subject], Any]) -> str:
    """`file.py:name` of a function, by which worker processes find it.

    Raises ObjectiveError for a function that they cannot find.
    """
    name = getattr(function, "__qualname__", "")
    module = sys.modules.get(getattr(function, "__module__", ""))
    path = getattr(module, "__file__", None)
    if not name or "<" in name or "." in name or path is None:
        raise ObjectiveError(
            f"objective {function!r} cannot be found by worker processes: "
            "define it with def at the top of a file"
        )
    return f"{Path(path).resolve()}:{name}"


def absolute(name: str) -> str:
    """An objective's name with its file's whole path, so that it is found from any folder later."""
    where, colon, attribute = name.rpartition(":")
    if colon and where.endswith(".py") and Path(where).is_file():
        return f"{Path(where).resolve()}:{attribute}"
    return name


def _own(name: str) -> Objective:
    where, _, attribute = name.rpartition(":")
    module = _module(name, where)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ObjectiveError(f"objective '{name}': {where} has no function '{attribute}'")
    return from_function(function, name)


def _module(name: str, where: str) -> ModuleType:
    if not where.endswith(".py"):
        with _loading(name, where):
            return importlib.import_module(where)
    path = Path(where)
    if not path.is_file():
        raise ObjectiveError(f"objective '{name}': there is no file {where}")
    # One name for each file: files of one name in two folders are two modules.
    place = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]
    spec = importlib.util.spec_from_file_location(f"madstar_objective_{path.stem}_{place}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # data classes look for their module here
    try:
        with _loading(name, where):
            spec.loader.exec_module(module)
    except ObjectiveError:
        del sys.modules[spec.name]
        raise
    return module


def _plugin(point: EntryPoint) -> Callable[[Subject], Any]:
    with _loading(point.name, point.value):
        function = point.load()
    if not callable(function):
        raise ObjectiveError(f"objective '{point.name}': {point.value} is no function")
    return cast(Callable[[Subject], Any], function)


@contextmanager
def _loading(name: str, where: str) -> Iterator[None]:
    """Whatever foreign code raises while it is loaded, as an ObjectiveError of one line."""
    try:
        yield
    except (Exception, SystemExit) as error:
        raised = _one_line(f"{type(error).__name__}: {error}")
        raise ObjectiveError(f"objective '{name}': loading {where} failed with {raised}") from error


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _length(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS) or int(text) < 1:
        raise ObjectiveError(
            f"objective '{name}': '{text}' is no length; write a number of tokens after the @"
        )
    return int(text)
