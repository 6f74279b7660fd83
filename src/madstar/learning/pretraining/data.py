"""What the transformer learns from: views of training graphs, and examples to choose by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...errors import DataError
from ..datasets.examples import Example
from ..features import OperationTable
from ..hiding import anonymous
from ..view import INPUT, GraphView
from .drawing import deletable

LARGEST = 4096
"""Nodes of a graph to train on, at most: larger ones are unrolled loops, which say the same many times."""


@dataclass(frozen=True)
class TrainingData:
    """Graphs to train on and examples to validate with.

    `views` are of all graphs by entry, `train` the entries to learn from, `shares` how often each is drawn
    (they add to 1), `labels` what each entry is classified as ("domain:text"). `valid` are examples about
    other graphs. `hash` names the dataset. `deletable` are, by entry and operation, the nodes that may be
    deleted.
    """

    views: Mapping[str, GraphView]
    train: tuple[str, ...]
    shares: NDArray[np.float64]
    valid: Mapping[str, Sequence[Example]]
    labels: Mapping[str, tuple[str, ...]]
    table: OperationTable
    classes: tuple[str, ...]
    hash: str
    deletable: Mapping[str, dict[str, tuple[int, ...]]] = field(repr=False)


def training_data(
    views: Mapping[str, GraphView],
    train: Sequence[str],
    valid: Mapping[str, Sequence[Example]],
    hash: str,
    families: Mapping[str, str] | None = None,
    labels: Mapping[str, str | Collection[str]] | None = None,
) -> TrainingData:
    """Put training data together.

    `labels` are one or more for an entry: "text", or with the question "domain:text". An entry is drawn less
    often the more entries its family has, by the root of their number: near copies teach little. Operations
    are numbered by how often the training graphs have them, ties by name.

    Raises:
        DataError: no graph to train on has an operation.
    """
    bare = {entry: anonymous(view) for entry, view in views.items()}
    kept = tuple(
        sorted(
            e for e in train if len(bare[e]) <= LARGEST and any(node.op != INPUT for node in bare[e].nodes)
        )
    )
    if not kept:
        raise DataError("the dataset has no graphs to train on; make one with madstar learn dataset")
    counts = Counter(node.op for entry in kept for node in bare[entry].nodes)
    names = tuple(sorted(counts, key=lambda name: (-counts[name], name)))
    sizes = Counter((families or {}).get(entry, entry) for entry in kept)
    shares = np.array([sizes[(families or {}).get(entry, entry)] ** -0.5 for entry in kept])
    found = {
        entry: (given,) if isinstance(given, str) else tuple(sorted(given))
        for entry, given in (labels or {}).items()
    }
    return TrainingData(
        bare,
        kept,
        shares / shares.sum(),
        valid,
        found,
        OperationTable(names),
        tuple(sorted({label for e in kept for label in found.get(e, ())})),
        hash,
        {entry: deletable(bare[entry]) for entry in kept},
    )


def class_weights(data: TrainingData, power: float = 0.25) -> NDArray[np.float32]:
    """What an operation's loss counts: more where it is rare, 1 on average over the training graphs."""
    counts = Counter(node.op for entry in data.train for node in data.views[entry].nodes)
    number = np.array([counts[name] for name in data.table.names], np.float64)
    weights = (number.sum() / number) ** power
    weights = np.minimum(weights, 8 * weights.min())
    return (weights / (weights * number).sum() * number.sum()).astype(np.float32)
