"""Figures of a graph for predictors: parameters, FLOPs, paths, Weisfeiler-Lehman labels, GRAF's counts."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict

from ...errors import GraphError
from ...graph.dims import evaluate, symbols
from ...graph.flops import node_flops
from ...graph.model import Dim, Node, Shape
from ..view import GraphView
from .classification import histogram
from .wiring import Wiring, wiring

SIZE = 128
"""Any symbol's size when FLOPs are counted; the batch counts once."""


def parameters(view: GraphView) -> int:
    """Numbers that are trained; what is used several times is taken to have weights of its own each time."""
    sizes = {
        (node.definition, weight.path): node.count * math.prod(weight.shape)
        for node in view.nodes
        for _, weight in node.weights
        if weight.trained
    }
    return sum(sizes.values())


def flops(view: GraphView) -> float:
    """FLOPs of one pass, with every symbol at `SIZE` and a batch of one."""
    shapes: list[dict[str, Shape]] = [
        {slot: weight.shape for slot, weight in node.weights} for node in view.nodes
    ]
    for edge in view.edges:
        outputs = view.nodes[edge.source].outputs
        if edge.kind == "data" and edge.output < len(outputs):
            shapes[edge.target][edge.slot] = outputs[edge.output].shape
    total = 0.0
    for node, at in zip(view.nodes, shapes, strict=True):
        plain = Node("", node.op, (), node.outputs, node.attributes)
        try:
            total += node.count * _number(node_flops(plain, at))
        except (GraphError, ValueError, KeyError, IndexError, TypeError, ZeroDivisionError):
            continue  # an operation whose shapes do not say
    return total


def _number(dim: Dim) -> float:
    if isinstance(dim, int):
        return dim
    return evaluate(dim, {name: 1 if name == "batch" else SIZE for name in symbols(dim)})


def path_counts(view: GraphView) -> Counter[str]:
    """Chains of one, two and three operations along data edges, by how often they are computed.

    Whole paths from input to output, as White et al. (arXiv 2007.04965) encode cells, are too many in graphs
    of this size.
    """
    w = wiring(view)
    counts: Counter[str] = Counter()
    for number, node in enumerate(view.nodes):
        counts[node.op] += node.count
        for _, parent in w.parents[number]:
            counts[f"{w.ops[parent]} > {node.op}"] += node.count
            for _, above in w.parents[parent]:
                counts[f"{w.ops[above]} > {w.ops[parent]} > {node.op}"] += node.count
    return counts


def wl_counts(view: GraphView, rounds: int = 3) -> Counter[str]:
    """Labels after each round of refinement (Shervashidze et al., JMLR 12, 2011), by how often computed."""
    w = wiring(view)
    labels = list(w.ops)
    counts: Counter[str] = Counter()
    for turn in range(rounds + 1):
        for label, node in zip(labels, view.nodes, strict=True):
            counts[f"{turn} {label}"] += node.count
        labels = [_refined(w, labels, node) for node in range(len(w))]
    return counts


def _refined(w: Wiring, labels: list[str], node: int) -> str:
    up = [labels[p] for _, p in w.parents[node]]
    down = sorted(labels[c] for _, c in w.children[node])
    text = "\n".join((labels[node], *up, "/", *down))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def graph_counts(view: GraphView) -> Counter[str]:
    """After GRAF (Kadlecová et al., ICML 2024): operations, degrees, depths, ways with few of an operation.

    For each operation the number, the mean numbers of its arguments and takers, and the longest chain of it
    alone; of the graph depth, longest and shortest ways from inputs to outputs, widths, and sizes.
    """
    w = wiring(view)
    found: Counter[str] = Counter({f"number of {op}": n for op, n in histogram(view).items()})
    by_op: dict[str, list[int]] = defaultdict(list)
    for node, op in enumerate(w.ops):
        by_op[op].append(node)
    for op, nodes in by_op.items():
        found[f"arguments of {op}"] = sum(len(w.parents[n]) for n in nodes) / len(nodes)  # type: ignore[assignment]
        found[f"takers of {op}"] = sum(len(w.children[n]) for n in nodes) / len(nodes)  # type: ignore[assignment]
    alone, most, shortest = [0] * len(w), [0] * len(w), [0] * len(w)
    for node, op in enumerate(w.ops):
        parents = [p for _, p in w.parents[node]]
        alone[node] = 1 + max((alone[p] for p in parents if w.ops[p] == op), default=0)
        most[node] = 1 + max((most[p] for p in parents), default=0)
        shortest[node] = 1 + min((shortest[p] for p in parents), default=0)
        found[f"chain of {op}"] = max(found[f"chain of {op}"], alone[node])
    widths = Counter(most)
    found["nodes"], found["edges"] = len(w), sum(map(len, w.parents))
    found["depth"] = max(most, default=0)
    found["width"] = max(widths.values(), default=0)
    found["shortest"] = min((shortest[o] for o in view.outputs), default=0)
    found["blocks"] = len(view.blocks)
    found["nesting"] = max((block.depth for block in view.blocks), default=0)
    found["computed"] = sum(node.count for node in view.nodes)
    found["log parameters"] = math.log1p(parameters(view))  # type: ignore[assignment]
    return found
