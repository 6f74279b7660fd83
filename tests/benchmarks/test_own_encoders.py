"""What the benchmark of edited encoders trains, and what its table says of it."""

from __future__ import annotations

from typing import Any

import pytest
from benchmarks.own_encoders import CHANGES, FIGURES, UNCHANGED, changed, table

from madstar.graph.checking import check
from madstar.graph.hashing import structural_hash
from madstar.learning.features import OperationTable
from madstar.learning.transformer.config import TransformerConfig
from madstar.learning.transformer.of_graph import EncoderOfGraph

TINY = TransformerConfig(width=16, layers=2, heads=2, dropout=0.0)


@pytest.mark.parametrize("name", CHANGES)
def test_every_change_is_an_encoder(name: str) -> None:
    graph = changed(TINY, name)
    assert not check(graph).errors
    EncoderOfGraph(graph, TINY, OperationTable(("linear", "add")))
    same = structural_hash(graph) == structural_hash(changed(TINY, UNCHANGED))
    assert same == (name == UNCHANGED)


def row(change: str, split: int, figure: float) -> dict[str, Any]:
    test = {task: {name: figure} for task, name in FIGURES.items()}
    validation = {"mean": figure / 2}
    return {
        "change": change, "split_seed": split, "parameters": 1000, "seconds": 10.0, "validation": validation,
        "test": test,
    }  # fmt: skip


def test_the_table_has_differences_on_the_same_splits() -> None:
    rows = [row(UNCHANGED, 0, 0.5), row(UNCHANGED, 1, 0.7), row("ReLU", 0, 0.6), row("ReLU", 1, 0.6)]
    rows.append(row("parallel", 2, 0.9))  # there is no unchanged one to compare it with
    plain, relu = table(rows).splitlines()[1:]
    assert plain.split()[3:] == ["1,000", "10", "0.300", "±", "0.071", *["0.600", "±", "0.141"] * 5]
    assert relu.split()[:4] == ["ReLU", "1,000", "10", "+0.000"]
    assert relu.split()[4:] == ["±", "0.071", *["+0.000", "±", "0.141"] * 5]
