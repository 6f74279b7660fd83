"""The laboratory's own model as entries: the graph transformer that learns of all the others.

The encoder alone is an entry too: the heads are more than half of the nodes, and random edits leave large
graphs alone.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from ..transformer.config import SIZES
from ..transformer.traceable import MODELS, traced
from .entries import Entry, entry_of
from .wanted import Wanted

SIZE = "base"
"""The default of `madstar learn train`."""

_CODE = ("features.py", "transformer")


def graph_transformers() -> list[Wanted]:
    """The graph transformer of the default size: its encoder, and the encoder with two of its heads."""
    identity = _code_of_the_model()
    return [Wanted(f"madstar:{name}", identity, partial(_entry, name)) for name in MODELS]


def _entry(name: str) -> Entry:
    return entry_of(traced(name, SIZES[SIZE]), f"madstar:{name}", "madstar", facts={"size": SIZE})


def _code_of_the_model() -> str:
    """A hash of the transformer's code, which may change while that of the corpus does not."""
    digest = hashlib.sha256()
    house = Path(__file__).parents[1]
    for place in (house / name for name in _CODE):
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.read_bytes())
    return digest.hexdigest()
