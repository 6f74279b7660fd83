"""Who is tried next: strategies, rungs, the run loop, and what a run has found."""

from .coordinator import Running, Snapshot, Watcher
from .run import DEFAULT_HOME, Run, SearchInterrupted, begin, make_settings, resume, search
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
