"""The tensors within what a forward takes and gives, and the names of what it takes by position."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_POSITIONS: dict[type, list[str]] = {}


def positions(cls: type) -> list[str]:
    """The names of the arguments that a module's forward takes by position."""
    if cls not in _POSITIONS:
        forward: Any = None
        for base in cls.__mro__:
            if "forward" in vars(base):
                forward = vars(base)["forward"]
                break
        code = getattr(inspect.unwrap(forward) if callable(forward) else None, "__code__", None)
        _POSITIONS[cls] = list(code.co_varnames[1 : code.co_argcount]) if code is not None else []
    return _POSITIONS[cls]


def leaves(given: Any, depth: int = 6) -> list[tuple[str, Tensor]]:
    """The tensors in a structure, with paths: in dicts, sequences, dataclasses and plain objects.

    Plain dicts are read in the order of their names. Models fill some of them from sets (masks by the type of
    layer), in another order in each process, and which input of a block is its first must not hang on that.
    """
    return list(_leaves(given, "", depth))


def _leaves(given: Any, path: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    if isinstance(given, Tensor):
        yield path, given
        return
    if (
        depth == 0
        or given is None
        or isinstance(given, (str, bytes, int, float, torch.Size, nn.Module, type))
    ):
        return
    parts: Any
    if isinstance(given, Mapping):
        by_name = type(given) is dict and all(isinstance(key, str) for key in given)
        parts = [(key, given[key]) for key in sorted(given)] if by_name else given.items()
    elif isinstance(given, (list, tuple)):
        fields = getattr(given, "_fields", None)
        parts = zip(fields, given, strict=True) if fields else enumerate(given)
    elif dataclasses.is_dataclass(given):
        parts = ((field.name, getattr(given, field.name)) for field in dataclasses.fields(given))
    elif hasattr(given, "__dict__") and not callable(given):
        parts = list(vars(given).items())
    else:
        return
    for key, part in parts:
        yield from _leaves(part, f"{path}.{key}" if path else str(key), depth - 1)
