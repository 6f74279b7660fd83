"""Arguments in other words, or as values: the slots and attributes are those of the vocabulary."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from madstar.graph.checking import check
from madstar.graph.execution import build
from madstar.graph.model import Graph
from madstar.graph.trace import trace
from madstar.graph.walk import nodes

INPUT = torch.arange(24.0).reshape(2, 4, 3)
BAG = torch.tensor([[0, 1], [2, 0]])


class Plain(nn.Module):
    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def named(x: Tensor) -> Tensor:
    return x + torch.arange(start=1, end=x.shape[1] + 1)[:, None] + torch.arange(end=3)


def stepped(x: Tensor) -> Tensor:
    return x + torch.arange(start=0, end=2 * x.shape[1], step=2)[:, None]


def bound(x: Tensor) -> Tensor:
    ends = torch.tensor([1, 3])
    return torch.cat([x[:, ends[0] : ends[1]], x[:, : ends[0]]], 1)


def bags(x: Tensor) -> Tensor:
    weights = torch.tensor([[0.5, 0.5], [2.0, 1.0]])
    return x.sum(1) + nn.functional.embedding_bag(BAG, x[0], per_sample_weights=weights, mode="sum")


CASES: dict[str, tuple[Callable[[Tensor], Any], str, dict[str, Any]]] = {
    "axis": (lambda x: torch.mean(x, axis=1), "mean", {"dim": 1}),
    "axis of cat": (lambda x: torch.cat([x, x], axis=-1), "cat", {"dim": -1}),
    "keepdims": (lambda x: x / torch.sum(x, dim=1, keepdims=True), "sum", {"dim": 1, "keepdim": True}),
    "axis of a method": (lambda x: x.sum(axis=2, keepdims=True), "sum", {"dim": 2, "keepdim": True}),
    "a count with names": (named, "arange", {"range": (1, 5)}),
    "a count with a step": (stepped, "arange", {"range": (0, 8, 2)}),
    "Python's bool": (lambda x: torch.ones(x.shape, dtype=bool) & (x > 3), "ones", {"dtype": "bool"}),
    "Python's int": (lambda x: x + torch.zeros(3, dtype=int), "zeros", {"dtype": "int64"}),
    "Python's float": (lambda x: x.to(float) * 2, "to", {"dtype": "float64"}),
    "a bound that is a tensor": (bound, "getitem", {}),
    "bags": (bags, "embedding_bag", {"mode": "sum"}),
}  # fmt: skip


def first(graph: Graph, op: str) -> dict[str, Any]:
    return next(dict(place.item.attributes) for place in nodes(graph) if place.item.op == op)


@pytest.mark.parametrize("name", CASES)
def test_the_graph_says_it_in_its_own_words_and_computes_it(name: str) -> None:
    function, op, wanted = CASES[name]
    module = Plain(function)
    graph = trace(module, (INPUT,), symbols=("batch",) if name != "bags" else ())
    said = first(graph, op)
    assert {slot: said.get(slot) for slot in wanted} == wanted
    assert "<" not in repr(said)
    assert not [
        finding.line for finding in check(graph, causal=False).findings if finding.severity == "error"
    ]
    torch.testing.assert_close(build(graph)(INPUT), module(INPUT), rtol=0, atol=0)
