"""Objectives by name: the built-in ones, other packages' (entry points), and the user's own functions.

A user's own is written `path/to/file.py:function` or `package.module:function`. The function takes
a `Subject` and returns a number or a `Measurement`; its attributes `direction` ("min", the default,
or "max"), `unit` and `kind` ("trained", the default, "measured" or "static") may say more.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import ObjectiveError
from .builtin import BUILTIN, SHORT_NAMES, TAKES_LENGTH
from .objective import KINDS, TRAINED, Measurement, Objective, Subject

ENTRY_POINTS = "madstar.objectives"


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
    plugins = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if base in plugins:
        return from_function(plugins[base].load(), name)
    known = [*BUILTIN, *plugins]
    near = difflib.get_close_matches(base, known, n=1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    raise ObjectiveError(
        f"unknown objective '{name}'{hint}: choose from {', '.join(known)}, "
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
        value = function(subject)
        if isinstance(value, Measurement):
            return value
        try:
            return Measurement(float(value))
        except (TypeError, ValueError):
            raise ObjectiveError(f"objective '{name}' returned {value!r}: return a number") from None

    meaning = (function.__doc__ or "the user's own").strip().splitlines()[0]
    return Objective(name, direction, getattr(function, "unit", ""), kind, meaning, measure)


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


def _own(name: str) -> Objective:
    where, _, attribute = name.rpartition(":")
    module = _module(name, where)
    function = getattr(module, attribute, None)
    if not callable(function):
        raise ObjectiveError(f"objective '{name}': {where} has no function '{attribute}'")
    return from_function(function, name)


def _module(name: str, where: str) -> ModuleType:
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where)
        if not path.is_file():
            raise ObjectiveError(f"objective '{name}': there is no file {where}")
        spec = importlib.util.spec_from_file_location(f"madstar_objective_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    except ObjectiveError:
        raise
    except Exception as error:
        raise ObjectiveError(
            f"objective '{name}': loading {where} failed with {type(error).__name__}: {error}"
        ) from error


def _length(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise ObjectiveError(
            f"objective '{name}': '{text}' is no length; write a number of tokens after the @"
        )
    return int(text)
