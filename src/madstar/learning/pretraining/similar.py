"""The nearest graphs of a dataset, by the angle between the vectors that a transformer gives them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open

from ...errors import ConfigurationError
from ..transformer.model import GraphTransformer
from ..view import GraphView
from .answering import embeddings
from .checkpoint import WEIGHTS, write_tensors

if TYPE_CHECKING:
    from ..datasets.dataset import Stored

INDEX = "embeddings.safetensors"
_LARGEST = 4096
_AT_ONCE = 32


class Neighbour(NamedTuple):
    """An entry and the cosine of the angle to it, -1 to 1, after the mean of all is taken away."""

    entry: str
    similarity: float


class Index(NamedTuple):
    """The vectors of a dataset's entries."""

    keys: tuple[str, ...]
    vectors: Float[np.ndarray, "entries width"]


def nearest(model: GraphTransformer, index: Index, view: GraphView, n: int = 10) -> list[Neighbour]:
    """The n nearest entries, the nearest first. Raises ConfigurationError for n below 1."""
    if n < 1:
        raise ConfigurationError(f"n is {n}: give at least 1")
    mean = index.vectors.mean(0)
    vectors = _unit(index.vectors - mean)
    found = vectors @ _unit(embeddings(model, [view]) - mean)[0]
    order = sorted(range(len(index.keys)), key=lambda i: (-found[i], index.keys[i]))
    return [Neighbour(index.keys[i], float(found[i])) for i in order[:n]]


def index_of(
    model: GraphTransformer,
    folder: Path,
    stored: Stored,
    progress: Callable[[int, int], None] | None = None,
) -> Index:
    """The vectors of a dataset's entries, kept in the model's folder once they are made.

    Graphs of more than 4,096 nodes, unrolled loops, are left out. `progress` is told entries done and in all.
    """
    origin = hashlib.sha256(stored.hash.encode() + (folder / WEIGHTS).read_bytes()).hexdigest()
    if (known := _read(folder / INDEX, origin)) is not None:
        return known
    keys = tuple(key for key in stored.keys if int(stored.row(key)["nodes"]) <= _LARGEST)
    found = []
    for start in range(0, len(keys), _AT_ONCE):
        found.append(embeddings(model, [stored.views[key] for key in keys[start : start + _AT_ONCE]]))
        if progress is not None:
            progress(min(start + _AT_ONCE, len(keys)), len(keys))
    index = Index(keys, np.concatenate(found))
    tensors = {"vectors": torch.from_numpy(index.vectors.astype(np.float32))}
    write_tensors(folder / INDEX, tensors, {"origin": origin, "keys": json.dumps(keys)})
    return Index(keys, index.vectors.astype(np.float32))


def _read(path: Path, origin: str) -> Index | None:
    """What is kept, if it is of this model and dataset."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("origin") != origin:
                return None
            return Index(tuple(json.loads(metadata["keys"])), file.get_tensor("vectors").numpy())
    except (OSError, SafetensorError, KeyError, ValueError):
        return None


def _unit(vectors: Float[np.ndarray, "k width"]) -> Float[np.ndarray, "k width"]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
