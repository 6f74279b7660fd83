"""Datasets of graphs: examples of six tasks, splits, what is on disk, how answers are judged.

    dataset = load("data", "operation")
    graph, label = dataset[0]
    parts = dataset.get_idx_split(split="family", seed=0)
    Evaluator("operation").eval({"y_true": ..., "y_pred": ...})

Names are loaded when first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .building import DatasetSettings, build_dataset
    from .dataset import Dataset, Stored, load
    from .evaluator import Evaluator

_HOMES = {
    "Dataset": "dataset",
    "DatasetSettings": "building",
    "Evaluator": "evaluator",
    "Stored": "dataset",
    "build_dataset": "building",
    "load": "dataset",
}

__all__ = ["Dataset", "DatasetSettings", "Evaluator", "Stored", "build_dataset", "load"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"madstar.learning.datasets has no '{name}'")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
