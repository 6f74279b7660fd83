"""What building costs for graphs of 10,000 nodes, and what a node costs beside torch's own call.

Called by `python -m benchmarks.rebuild --large`. Building: a stack of residual blocks of linear, activation,
norm and additions, traced as it is (each block another, so that nothing folds) and folded. Running: the same
stack at width 8, where almost all of the time is overhead: time by node of the original and of the built
module, the best of repeated runs taken in turn.
"""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Ten operations: two norms, two linear layers, two activations, scaling and additions."""

    def __init__(self, width: int, inner: int):
        super().__init__()
        self.norm, self.up, self.act = nn.LayerNorm(width), nn.Linear(width, inner), nn.SiLU()
        self.middle, self.down, self.gate = nn.LayerNorm(inner), nn.Linear(inner, width), nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        y = self.down(self.middle(self.act(self.up(self.norm(x)))) * 0.5)
        return x + y * self.gate(y) + 0.1


class Stack(nn.Module):
    """Blocks one after the other, alike or each of another inner width."""

    def __init__(self, blocks: int, alike: bool, width: int = 8):
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, 8 if alike else 8 + i % 997) for i in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def large(blocks: int = 1000, repeats: int = 5) -> dict[str, Any]:
    """Seconds to build, to compute for the first time, and microseconds by node."""
    from madstar.graph.execution import build
    from madstar.graph.trace import trace
    from madstar.graph.walk import nodes

    torch.set_num_threads(1)
    found: dict[str, Any] = {}
    for word, alike in (("folded", True), ("unfolded", False)):
        stack = Stack(blocks, alike).eval()
        graph = trace(stack, lambda batch, length: (torch.randn(batch, length, 8),))
        count = sum(1 for _ in nodes(graph, unfolded=True))
        x = torch.randn(2, 4, 8)
        built, seconds = None, []
        for _ in range(repeats):
            begun = time.perf_counter()
            built = build(graph, stack)
            seconds.append(time.perf_counter() - begun)
        assert built is not None
        with torch.no_grad():
            begun = time.perf_counter()
            built(x)
            first = time.perf_counter() - begun
            times: dict[str, list[float]] = {"original": [], "built": []}
            for _ in range(3 * repeats):
                for name, module in (("original", stack), ("built", built)):
                    begun = time.perf_counter()
                    module(x)
                    times[name].append(time.perf_counter() - begun)
        best = {name: min(each) / count * 1e6 for name, each in times.items()}
        found[word] = {
            "nodes": count,
            "written": sum(len(d.items) for d in graph.definitions.values()),
            "build_seconds": {"best": min(seconds), "worst": max(seconds)},
            "first_forward_seconds": first,
            "microseconds_a_node": best,
        }
        print(word, found[word], flush=True)
    return {"command": "python -m benchmarks.rebuild --large", "blocks": blocks, **found}
