"""Who is tried next: strategies, rungs, the run loop, and what a run has found."""

import sys
from types import ModuleType
from typing import Any

from .coordinator import Running, Snapshot, Watcher
from .run import DEFAULT_HOME, Run
from .session import SearchInterrupted, begin, make_settings, resume, search
from .settings import SearchSettings
from .summary import Entry, RunSummary, summarise

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


class _CallableRoom(ModuleType):
    """Makes `madstar.search(...)` a search, although `madstar.search` is this room as well."""

    def __call__(self, *arguments: Any, **settings: Any) -> Run:
        return search(*arguments, **settings)


sys.modules[__name__].__class__ = _CallableRoom
