"""A laboratory for designing neural architectures.

    run = madstar.search(data="my_corpus/", objectives=["quality", "cache"], minutes=30)
    model = run.front[0].build()
    scores = madstar.benchmark(["mh-hyena", "swiglu", "mh-attention", "swiglu"])
    graph = madstar.trace(torch.nn.Linear(4, 8), torch.zeros(2, 4))

Names are loaded when first used, so that `import madstar` alone is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .errors import MadstarError
from .version import __version__

if TYPE_CHECKING:
    from .genome import Genome, SearchSpace, Sizes
    from .graph import trace
    from .liv import AutoEncoder, Backbone, LanguageModel, generate
    from .liv.layers.choice import LayerChoice
    from .objectives import Measurement, Subject
    from .protocol import benchmark
    from .search import Run, SearchInterrupted, resume, search

_HOMES = {
    "AutoEncoder": "liv",
    "Backbone": "liv",
    "Genome": "genome",
    "LanguageModel": "liv",
    "LayerChoice": "liv.layers.choice",
    "Measurement": "objectives",
    "Run": "search",
    "SearchInterrupted": "search",
    "SearchSpace": "genome",
    "Sizes": "genome",
    "Subject": "objectives",
    "benchmark": "protocol",
    "generate": "liv",
    "resume": "search",
    "trace": "graph.trace",
}

__all__ = [
    "AutoEncoder",
    "Backbone",
    "Genome",
    "LanguageModel",
    "LayerChoice",
    "MadstarError",
    "Measurement",
    "Run",
    "SearchInterrupted",
    "SearchSpace",
    "Sizes",
    "Subject",
    "__version__",
    "benchmark",
    "generate",
    "resume",
    "search",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name == "search":
        # The room itself, which is callable: whoever imports it first, `madstar.search(...)` works.
        return importlib.import_module(".search", __name__)
    if name not in _HOMES:
        raise AttributeError(f"madstar has no '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
