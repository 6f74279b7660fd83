"""A dataset on disk as training data: one split's graphs to train on, examples to choose by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..datasets.examples import Example
from .data import TrainingData, training_data
from .losses import TRAINED
from .validation import MOST

if TYPE_CHECKING:
    from ..datasets.dataset import Stored

_LARGEST = 1024
"""Nodes of a graph to validate with: the choice of a step shall not cost more than the steps."""


def from_dataset(stored: Stored, split: str = "family", seed: int = 0) -> TrainingData:
    """The training graphs of a split, and a few of its validation examples of every task.

    Raises DataError for an unknown split or one that leaves nothing to train on.
    """
    parts = stored.entry_split(split, seed)
    valid: dict[str, list[Example]] = {}
    for task in TRAINED:
        examples = stored.examples(task)
        found = [examples[int(i)] for i in stored.split(task, split, seed)["valid"]]
        found = [e for e in found if int(stored.row(e.entry)["nodes"]) <= _LARGEST]
        valid[task] = found[:: max(1, -(-len(found) // MOST))]
    labels = {
        entry: [f"{name}:{stored.row(entry)[name]}" for name in ("domain", "role") if stored.row(entry)[name]]
        for entry in parts["train"]
    }
    wanted = {*parts["train"], *(example.entry for task in TRAINED for example in valid[task])}
    return training_data(
        {entry: stored.views[entry] for entry in sorted(wanted)},
        parts["train"],
        valid,
        stored.hash,
        stored.families(),
        labels,
    )
