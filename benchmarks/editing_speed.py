"""What building, editing and checking cost at 10,000 nodes and more.

    python -m benchmarks.editing_speed [--layers 700] [--repeats 5]

A stack of transformer layers, each with attention, an MLP and two norms, is traced. Measured is CPU time on
one thread, the least and the most of the repeats: of an edit of one layer, of all layers, and of rewrites
everywhere, each with the unfolding, all types and the soundness seen to; of folding and hashing the result;
of checking it; of building a module with given weights.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .machine import keep

ADAPTER = {
    "path": "{site}.adapter",
    "steps": [
        {"op": "linear", "name": "down", "out_features": 8},
        {"op": "relu"},
        {"op": "linear", "name": "up", "out_features": "same"},
    ],
}
EDITS: dict[str, list[dict[str, Any]]] = {
    "one site": [{"edit": "insert_after", "select": "layers[100].mlp", "new": ADAPTER}],
    "one site in each layer": [{"edit": "insert_after", "select": "layers[*].mlp", "new": ADAPTER}],
    "lora beside every linear layer": [{"rewrite": "lora", "select": "**:linear"}],
    "grouped_query everywhere": [{"rewrite": "grouped_query", "groups": 2}],
    "experts for every MLP": [{"rewrite": "experts", "select": "layers[*].mlp", "experts": 4}],
}


class Layer(nn.Module):
    """Attention and an MLP, each behind a norm."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        y = self.norm1(x)
        q, k, v = (p(y).view(batch, length, self.heads, -1).transpose(1, 2) for p in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.mlp(self.norm2(x))


class Stack(nn.Module):
    """Layers one after the other."""

    def __init__(self, layers: int, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Layer(width, 4) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=700)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    print(keep("editing_speed", measured(given.layers, given.repeats)))


def measured(layers: int, repeats: int) -> dict[str, Any]:
    """Seconds for each step."""
    from madstar.graph.checking import check
    from madstar.graph.editing import edit
    from madstar.graph.execution import build
    from madstar.graph.soundness import unfolded_sizes
    from madstar.graph.trace import trace
    from madstar.graph.unfolding import unfold
    from madstar.graph.walk import parameters

    torch.set_num_threads(1)
    module = Stack(layers).eval()
    graph = trace(module, lambda batch, length: (torch.zeros(batch, length, 16),), name="stack")
    weights = dict(module.state_dict())
    found: dict[str, Any] = {"layers": layers, "nodes": unfolded_sizes(graph)[graph.root]}
    found["weights"] = len(parameters(graph))
    found["unfold"] = seconds(lambda: unfold(graph), repeats)
    found["build"] = seconds(lambda: build(graph, weights), repeats)
    for name, program in EDITS.items():
        edited = edit(graph, program)
        found[name] = {
            "edit": seconds(lambda program=program: edit(graph, program), repeats),  # type: ignore[misc]
            "nodes": unfolded_sizes(edited.unfolded)[edited.unfolded.root],
            "fold and hash": seconds(lambda edited=edited: edited.graph, repeats),  # type: ignore[misc]
            "check": seconds(lambda whole=edited.graph: check(whole), repeats),  # type: ignore[misc]
        }
        print(name, found[name], flush=True)
    return {"command": "python -m benchmarks.editing_speed", **found}


def seconds(step: Callable[[], Any], repeats: int) -> dict[str, float]:
    """CPU seconds of a step: the least and the most."""
    taken = []
    for _ in range(repeats):
        begun = time.process_time()
        step()
        taken.append(time.process_time() - begun)
    return {"least": round(min(taken), 4), "most": round(max(taken), 4)}


if __name__ == "__main__":
    main()
