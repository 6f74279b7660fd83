"""Computation graphs as values: types, tracing, folding, checking, statistics, showing, comparing.

Names are loaded when first used: to read and show a graph needs no torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .checking import check
    from .diff import diff
    from .execution import build, run
    from .json_format import load, save
    from .model import Graph
    from .trace import trace

_HOMES = {
    "Graph": "model",
    "build": "execution",
    "check": "checking",
    "diff": "diff",
    "load": "json_format",
    "run": "execution",
    "save": "json_format",
    "trace": "trace",
}

__all__ = ["Graph", "build", "check", "diff", "load", "run", "save", "trace"]


class _Room(ModuleType):
    """Keeps `madstar.graph.trace` and `.diff` the functions, which have the names of their files."""

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"madstar.graph has no '{name}'")
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)

    def __setattr__(self, name: str, value: Any) -> None:
        # Importing a file puts it here under its name.
        if isinstance(value, ModuleType) and _HOMES.get(name) == name:
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Room
