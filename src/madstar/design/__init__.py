"""Design: rounds of proposing, training and learning again, within limits that the loop cannot change.

`begin` and `resume` run it; `Limits` are what it may take; docs/design-loop.md says what holds them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .limits import Limits

if TYPE_CHECKING:
    from .session import Design, DesignInterrupted, begin, resume, seconds_of
    from .settings import DesignSettings, make_settings

_HOMES = {
    "Design": "session",
    "DesignInterrupted": "session",
    "DesignSettings": "settings",
    "begin": "session",
    "make_settings": "settings",
    "resume": "session",
    "seconds_of": "session",
}

__all__ = [
    "Design",
    "DesignInterrupted",
    "DesignSettings",
    "Limits",
    "begin",
    "make_settings",
    "resume",
    "seconds_of",
]


def __getattr__(name: str) -> Any:
    """Loaded when first used: the command confines itself before torch starts threads of its own."""
    if name not in _HOMES:
        raise AttributeError(f"madstar.design has no '{name}'")
    import importlib

    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
