"""By what graphs are known to be alike: their larger blocks, and the words of Weisfeiler and Lehman.

Sizes count in neither, so that models of one form and different widths are alike. A block's hash has its
attributes; its bare hash has operations and wiring alone, so it holds together more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...graph.hashing import block_hashes, canonical_order
from ...graph.model import Call, Graph
from ...graph.soundness import unfolded_sizes
from ...graph.wiring import given, sources
from ..view import GraphView, view

LEAST_BLOCK = 16
"""Nodes, written out, from which on a block is one that two graphs should not share across a split."""

_ROUNDS = 2


@dataclass(frozen=True)
class Fingerprint:
    """What of a graph is compared.

    `blocks` and `bare` are hashes of its blocks of `LEAST_BLOCK` nodes or more, the whole included, sorted;
    `words` the sorted 64-bit labels of its nodes with up to two rounds of neighbours; `counts` how often
    each operation stands in it.
    """

    blocks: tuple[str, ...]
    bare: tuple[str, ...]
    words: NDArray[np.uint64]
    counts: dict[str, int]


def fingerprint(graph: Graph) -> Fingerprint:
    """The fingerprint of a graph."""
    sizes = unfolded_sizes(graph)
    large = [name for name, size in sizes.items() if size >= LEAST_BLOCK]
    blocks = block_hashes(graph, shapes=False) if large else {}
    bare = _bare_hashes(graph) if large else {}
    seen = view(graph)
    counts: dict[str, int] = {}
    for node in seen.nodes:
        counts[node.op] = counts.get(node.op, 0) + 1
    return Fingerprint(
        tuple(sorted({blocks[name][:16] for name in large})),
        tuple(sorted({bare[name] for name in large})),
        words(seen),
        dict(sorted(counts.items())),
    )


def words(graph: GraphView) -> NDArray[np.uint64]:
    """The labels of a view's nodes: the operation, and with it those that it takes, in order, and gives to.

    Two rounds of Weisfeiler and Lehman over data edges; each label once, sorted.
    """
    taken: list[list[int]] = [[] for _ in graph.nodes]
    takers: list[list[int]] = [[] for _ in graph.nodes]
    for edge in graph.edges:  # in order of target and position
        if edge.kind == "data":
            taken[edge.target].append(edge.source)
            takers[edge.source].append(edge.target)
    labels = [_number(node.op) for node in graph.nodes]
    found = set(labels)
    for _ in range(_ROUNDS):
        labels = [
            _number((labels[i], [labels[j] for j in taken[i]], sorted(labels[j] for j in takers[i])))
            for i in range(len(labels))
        ]
        found.update(labels)
    return np.array(sorted(found), dtype=np.uint64)


def likeness(left: NDArray[np.uint64], right: NDArray[np.uint64]) -> float:
    """The share of labels that two graphs have in common, of all that either has (Jaccard)."""
    common = np.intersect1d(left, right, assume_unique=True).size
    return float(common / max(1, left.size + right.size - common))


def _bare_hashes(graph: Graph) -> dict[str, str]:
    """For each definition a hash of its operations and wiring: no attributes, sizes, dtypes or weights."""
    found: dict[str, str] = {}
    for name, (items, _) in canonical_order(graph).items():
        definition = graph.definitions[name]
        numbers = {f"%{value.name}": i for i, value in enumerate(definition.inputs)}
        record: list[Any] = [len(definition.inputs)]
        for item in items:
            label = (found[item.definition], item.count) if isinstance(item, Call) else item.op
            record.append([label, _places(sources(item), numbers)])
            for value in given(item):
                numbers[f"%{value.name}"] = len(numbers)
        record.append(_places(definition.outputs, numbers))
        found[name] = blake2b(repr(record).encode(), digest_size=8).hexdigest()
    return found


def _places(references: Sequence[str], numbers: dict[str, int]) -> list[int]:
    return [numbers.get(reference, -1) for reference in references]  # a weight is -1


def _number(label: Any) -> int:
    return int.from_bytes(blake2b(repr(label).encode(), digest_size=8).digest(), "big")
