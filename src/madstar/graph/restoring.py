"""A module left as it was: what one run keeps for the next is no part of the computation.

Models keep tables of positions and anchors that they have computed once, in attributes or in functions that
remember their results (`functools.lru_cache`). A run that finds them there does not compute them, and a graph
of it would hold constants that nobody can make again.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import Any

from torch import nn

_HELD = (dict, OrderedDict, list, set)
_NONE: frozenset[str] = frozenset()


@contextmanager
def restored(module: nn.Module) -> Iterator[None]:
    """Run a module with nothing that its functions remember, and take out again what the run leaves in it.

    Attributes of the module and all within it are as before in the end, and so are those of objects of the
    model's own classes among them, and the contents of lists, dictionaries and sets, such as the registered
    buffers. No deeper, and tensors that were written into stay so. The functions are those of the files that
    define the classes, torch's own excepted. A run that exchanges modules within it (big_bird takes another
    attention for short inputs) has made it another, and that stays as it then is.
    """
    parts = list(module.modules())
    files = _files(module)
    forget = _memories(files)
    kept = [(held, held.copy(), own) for part in parts for held, own in _holders(part, files)]
    for clear in forget:
        clear()
    try:
        yield
    finally:
        if [id(part) for part in module.modules()] == [id(part) for part in parts]:
            for held, contents, own in kept:
                _refill(held, contents, own)
        for clear in forget:
            clear()


def _refill(held: Any, contents: Any, own: frozenset[str]) -> None:
    if isinstance(held, dict):
        contents |= {name: held[name] for name in own if name in held}
        same = len(held) == len(contents) and all(
            name in held and held[name] is value for name, value in contents.items()
        )
    else:
        same = len(held) == len(contents) and all(a is b for a, b in zip(held, contents, strict=True))
    if same:
        return
    held.clear()
    (held.extend if isinstance(held, list) else held.update)(contents)


def _holders(part: Any, files: Mapping[str, ModuleType]) -> Iterator[tuple[Any, frozenset[str]]]:
    """What holds a part's state: its attributes, and those of them that hold other things.

    With each the names of what an object keeps for good (`functools.cached_property`): that follows from
    the object alone, such as a table of words that takes 30,000 writes.
    """
    yield vars(part), _NONE if isinstance(part, nn.Module) else _cached(type(part))
    for value in vars(part).values():
        if type(value) in _HELD:
            yield value, _NONE
        elif (
            type(value).__module__ in files
            and isinstance(part, nn.Module)
            and not isinstance(value, (nn.Module, type))
            and hasattr(value, "__dict__")
        ):
            yield from _holders(value, files)


def _cached(cls: type) -> frozenset[str]:
    return frozenset(
        name
        for kind in cls.__mro__
        for name, value in vars(kind).items()
        if isinstance(value, cached_property)
    )


def _files(module: nn.Module) -> dict[str, ModuleType]:
    """The files that define the classes of a module's parts, but for torch's own."""
    names = {cls.__module__ for kind in {type(part) for part in module.modules()} for cls in kind.__mro__}
    own = sorted(name for name in names if name.partition(".")[0] not in ("torch", "builtins"))
    return {name: sys.modules[name] for name in own if name in sys.modules}


def _memories(files: Mapping[str, ModuleType]) -> list[Callable[[], None]]:
    """What empties each function that remembers."""
    found = []
    for name, file in files.items():
        for value in list(vars(file).values()):
            if getattr(value, "__module__", None) != name:
                continue
            for each in (value, *vars(value).values()) if isinstance(value, type) else (value,):
                clear = _clearing(each)
                if clear is not None:
                    found.append(clear)
    return found


def _clearing(function: Any) -> Callable[[], None] | None:
    """What empties a function's memory, also where another function is wrapped around it."""
    function = getattr(function, "__func__", getattr(function, "fget", function))
    cells = getattr(function, "__closure__", None) or ()
    for each in (function, *(cell.cell_contents for cell in cells if _filled(cell))):
        if not isinstance(each, type):
            clear = getattr(each, "cache_clear", None)
            if callable(clear):
                return clear
    return None


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
