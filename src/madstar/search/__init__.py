"""Who is tried next: strategies, rungs, the run loop, and what a run has found.

Names are loaded when first used: a worker process needs `evaluation` alone, and must start fast.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .coordinator import Running, Snapshot, Watcher
    from .run import DEFAULT_HOME, Run
    from .session import SearchInterrupted, begin, make_settings, resume, search
    from .settings import SearchSettings
    from .summary import Entry, RunSummary, summarise

_HOMES = {
    "DEFAULT_HOME": "run",
    "Entry": "summary",
    "Run": "run",
    "RunSummary": "summary",
    "Running": "coordinator",
    "SearchInterrupted": "session",
    "SearchSettings": "settings",
    "Snapshot": "coordinator",
    "Watcher": "coordinator",
    "begin": "session",
    "make_settings": "session",
    "resume": "session",
    "search": "session",
    "summarise": "summary",
}

__all__ = [
    "DEFAULT_HOME",
    "Entry",
    "Run",
    "RunSummary",
    "Running",
    "SearchInterrupted",
    "SearchSettings",
    "Snapshot",
    "Watcher",
    "begin",
    "make_settings",
    "resume",
    "search",
    "summarise",
]


class _Room(ModuleType):
    """Makes `madstar.search(...)` a search, although `madstar.search` is this room as well."""

    def __call__(self, *arguments: Any, **settings: Any) -> Run:
        from .session import search

        return search(*arguments, **settings)

    def __getattr__(self, name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"madstar.search has no '{name}'")
        return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


sys.modules[__name__].__class__ = _Room
