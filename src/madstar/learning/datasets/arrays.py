"""Views as arrays of whole numbers, the way the Open Graph Benchmark keeps graphs.

    edge_index   (2, E)  source, target
    edge_feat    (E, 4)  kind, position, output, slot
    node_feat    (N, 9)  operation, block's depth, count, depth, outputs, rank, dtype, weights, and log2 of
                         how many numbers are in these

Words are numbers of the dataset's vocabulary from 1 on; 0 is hidden or unknown. For learners of one's own:
those of madstar make their arrays of views.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..hiding import anonymous, hidden, place, prefix, without, without_edges
from ..view import INPUT, KINDS, GraphView, ViewNode
from .examples import Classified, Completion, Example, Incomplete, Links, Measured, Operations

NODE_FEATURES = (
    *("operation", "block_depth", "count", "depth", "outputs", "rank", "dtype", "weights"),
    "log2_weight_numbers",
)
EDGE_FEATURES = ("kind", "position", "output", "slot")


@dataclass(frozen=True)
class Vocabulary:
    """The numbers of words, from 1 on. `input` is the last operation."""

    operations: Mapping[str, int]
    dtypes: Mapping[str, int]
    slots: Mapping[str, int]

    @classmethod
    def of(cls, document: Mapping[str, Sequence[str]]) -> Vocabulary:
        """That of a schema.json."""
        ops, dtypes, slots = (
            {word: i for i, word in enumerate(document.get(name, ()), 1)}
            for name in ("operations", "dtypes", "slots")
        )
        return cls({**ops, INPUT: len(ops) + 1}, dtypes, slots)

    def operation(self, number: int) -> str:
        """The operation of a number; empty for 0 and what is none."""
        return next((word for word, i in self.operations.items() if i == number), "")


def shown(view: GraphView, example: Example) -> GraphView:
    """What a learner may see of the view for an example."""
    match example:
        case Operations():
            return hidden(view, example.masked)
        case Links():
            return without_edges(view, example.removed)
        case Incomplete():
            return without(view, example.deleted)
        case Completion():
            return prefix(view, example.given)
    return anonymous(view)


def graph_arrays(view: GraphView, words: Vocabulary) -> dict[str, Any]:
    """The view as `edge_index`, `edge_feat`, `node_feat` and `num_nodes`."""
    depths = [block.depth for block in view.blocks]
    nodes = [_node(node, depths, words) for node in view.nodes]
    edges = [
        (KINDS.index(e.kind), e.position, e.output, words.slots.get(e.slot.partition(".")[0], 0))
        for e in view.edges
    ]
    return {
        "edge_index": np.array([[e.source, e.target] for e in view.edges], np.int64).reshape(-1, 2).T.copy(),
        "edge_feat": np.array(edges, np.int64).reshape(-1, len(EDGE_FEATURES)),
        "node_feat": np.array(nodes, np.int64).reshape(-1, len(NODE_FEATURES)),
        "num_nodes": len(view),
    }


def asked_and_label(
    view: GraphView, example: Example, words: Vocabulary, classes: Sequence[str] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """What is asked, and the answer; `view` is the whole one.

    operation       (K,) nodes; their operations
    link            (K, 2) targets and positions; the sources, -1 for a decoy
    incomplete      nothing; whether something is deleted, and the place (-1 for none)
    completion      the number of nodes given; the operation, then the sources of its data edges
    classification  nothing; the number of the class
    performance     nothing; value, standard error (nan if unknown)
    """
    nothing = np.zeros(0, np.int64)
    match example:
        case Operations():
            ops = [words.operations.get(view.nodes[i].op, 0) for i in example.masked]
            return np.array(example.masked, np.int64), np.array(ops, np.int64)
        case Links():
            edges = [view.edges[n] for n in example.removed]
            asked = [(e.target, e.position) for e in edges] + list(example.decoys)
            sources = [e.source for e in edges] + [-1] * len(example.decoys)
            return np.array(asked, np.int64).reshape(-1, 2), np.array(sources, np.int64)
        case Incomplete():
            gap = example.deleted >= 0
            where = place(view, example.deleted) if gap else -1
            return nothing, np.array([gap, where], np.int64)
        case Completion():
            return np.array([example.given], np.int64), np.array(next_node(view, example, words), np.int64)
        case Classified():
            return nothing, np.array(classes.index(example.label), np.int64)
        case Measured():
            error = math.nan if example.error is None else example.error
            return nothing, np.array([example.value, error])


def next_node(view: GraphView, example: Completion, words: Vocabulary) -> list[int]:
    """The operation of the node that comes next, and the sources of its data edges by position."""
    edges = [e for e in view.edges if e.target == example.given and e.kind == "data"]
    operation = words.operations.get(view.nodes[example.given].op, 0)
    return [operation, *(e.source for e in sorted(edges, key=lambda e: e.position))]


def _node(node: ViewNode, depths: Sequence[int], words: Vocabulary) -> tuple[int, ...]:
    first = node.outputs[0] if node.outputs else None
    numbers = sum(math.prod(weight.shape) for _, weight in node.weights)
    return (
        words.operations.get(node.op, 0),
        depths[node.block] if node.block < len(depths) else 0,
        node.count,
        node.depth,
        len(node.outputs),
        len(first.shape) if first is not None else 0,
        words.dtypes.get(first.dtype, 0) if first is not None else 0,
        len(node.weights),
        round(math.log2(1 + numbers)),
    )
