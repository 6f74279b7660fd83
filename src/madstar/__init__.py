"""A laboratory for designing neural architectures.

    run = madstar.search(data="my_corpus/", objectives=["quality", "cache"], minutes=30)
    model = run.front[0].build()

Names are loaded when first used, so that `import madstar` alone is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import MadstarError
from .version import __version__

if TYPE_CHECKING:
    from .genome import Genome, SearchSpace, Sizes
    from .liv import Backbone, generate
    from .objectives import Measurement, Subject
    from .search import Run, SearchInterrupted, resume, search

_HOMES = {
    "Backbone": "liv",
    "Genome": "genome",
    "Measurement": "objectives",
    "Run": "search",
    "SearchInterrupted": "search",
    "SearchSpace": "genome",
    "Sizes": "genome",
    "Subject": "objectives",
    "generate": "liv",
    "resume": "search",
}

__all__ = [
    "Backbone",
    "Genome",
    "MadstarError",
    "Measurement",
    "Run",
    "SearchInterrupted",
    "SearchSpace",
    "Sizes",
    "Subject",
    "__version__",
    "generate",
    "resume",
    "search",
]


def __getattr__(name: str) -> Any:
    if name == "search":
        # The room itself, which is callable: whoever imports it first, `madstar.search(...)` works.
        return importlib.import_module(".search", __name__)
    if name not in _HOMES:
        raise AttributeError(f"madstar has no '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
