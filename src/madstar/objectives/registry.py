"""Objectives by name: the built-in ones, other packages' (entry points), and the user's own functions.

A user's own is written `path/to/file.py:function` or `package.module:function`. The function takes
a `Subject` and returns a number or a `Measurement`; its attributes `direction` ("min", the default,
or "max"), `unit` and `kind` ("trained", the default, "measured" or "static") may say more.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Callable
from typing import Any

from ..errors import ObjectiveError, in_one_line
from ..plugins import entry_point, entry_point_names, load_attribute, reference_to
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
    offered = entry_point_names(ENTRY_POINTS)
    if base in offered and at:
        raise ObjectiveError(f"objective '{name}': {base} takes no length; write {base}")
    if (plugin := _plugin(base)) is not None:
        return from_function(plugin, name)
    known = [*BUILTIN, *SCREENS, *offered]
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
            raise ObjectiveError(f"objective '{name}' failed with {in_one_line(error)}") from error
        if isinstance(value, Measurement):
            return value
        try:
            return Measurement(float(value))
        except Exception:  # arrays and tensors have errors of their own kinds
            shown = " ".join(reprlib.repr(value).split())
            raise ObjectiveError(f"objective '{name}' returned {shown}: return a number") from None

    said = (function.__doc__ or "").strip().splitlines() or ["the user's own"]
    return Objective(name, direction, getattr(function, "unit", ""), kind, said[0], measure)


def reference(function: Callable[[Subject], Any]) -> str:
    """`file.py:name` of a function, by which worker processes find it.

    Raises ObjectiveError for a function that they cannot find.
    """
    found = reference_to(function)
    if not found:
        raise ObjectiveError(
            f"objective {function!r} cannot be found by worker processes: "
            "define it with def at the top of a file"
        )
    return found


def _own(name: str) -> Objective:
    function = load_attribute(name, "objective", ObjectiveError)
    if not callable(function):
        where, _, attribute = name.rpartition(":")
        raise ObjectiveError(f"objective '{name}': {where} has no function '{attribute}'")
    return from_function(function, name)


def _plugin(name: str) -> Callable[[Subject], Any] | None:
    function = entry_point(ENTRY_POINTS, name, "objective", ObjectiveError)
    if function is not None and not callable(function):
        raise ObjectiveError(f"objective '{name}': what its package offers is no function")
    return function


def _length(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS) or int(text) < 1:
        raise ObjectiveError(
            f"objective '{name}': '{text}' is no length; write a number of tokens after the @"
        )
    return int(text)
