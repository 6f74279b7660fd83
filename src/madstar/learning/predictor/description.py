"""A graph in plain facts, by group: what a predictor of scores reads.

Each group is a sparse mapping from a name to a number. The names are open: a new operation is a new name.

    size        logarithms of parameters, FLOPs, activations, cache, nodes
    operations  how often each operation is computed
    places      how often in the first, second and last third of the computation
    pairs       how often one operation takes what another gives
    blocks      how often blocks of each form (`forms.py`) are computed, in all and by thirds
    sequence    how often a block of one form is followed by one of another form in the same block
    embedding   what a graph transformer makes of the graph, where one is given

Counts enter as log(1 + count). The groups of counts follow what performance predictors have used: operation
counts and paths (White et al. 2021, "How powerful are performance predictors"), graph features (Kadlecová et
al. 2024, GRAF).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log, log1p

from ...graph.dims import evaluate
from ...graph.model import Call, Graph
from ...graph.statistics import VIEWS, statistics
from ...graph.walk import walk
from ..view import GraphView, view
from .forms import block_forms

GROUPS = ("size", "operations", "places", "pairs", "blocks", "sequence", "embedding")
THIRDS = ("early", "middle", "late")

_SIZES = {"batch": 1, "length": 256}


@dataclass(frozen=True)
class Description:
    """The facts of one graph: group, name, number."""

    groups: Mapping[str, Mapping[str, float]]


def describe(graph: Graph, embedding: Sequence[float] = ()) -> Description:
    """The facts of a graph. FLOPs and bytes are those of one sequence of 256 tokens, where it takes any."""
    found = view(graph)
    operations: Counter[str] = Counter()
    places: Counter[str] = Counter()
    blocks: Counter[str] = Counter()
    sequence: Counter[str] = Counter()
    forms = block_forms(graph)
    computed = list(walk(graph, unfolded=True))
    before: dict[tuple[str, int], str] = {}  # the last form called in each block
    for number, place in enumerate(computed):
        third = THIRDS[min(2, number * 3 // len(computed))]
        if isinstance(place.item, Call):
            form = forms[place.item.definition]
            blocks[form] += 1
            blocks[f"{form} {third}"] += 1
            around = (place.block, place.depth)
            if around in before:
                sequence[f"{before[around]} {form}"] += 1
            before[around] = form
        elif place.item.op not in VIEWS:
            operations[place.item.op] += 1
            places[f"{place.item.op} {third}"] += 1
    return Description(
        {
            "size": _size(graph),
            "operations": _logs(operations),
            "places": _logs(places),
            "pairs": _logs(_pairs(found)),
            "blocks": _logs(blocks),
            "sequence": _logs(sequence),
            "embedding": {str(number): float(value) for number, value in enumerate(embedding)},
        }
    )


def _size(graph: Graph) -> dict[str, float]:
    cost = statistics(graph)
    bindings = {symbol: _SIZES.get(symbol, max(sizes)) for symbol, sizes in graph.symbols.items()}
    return {
        "parameters": log(1 + cost.parameters),
        "flops": log(1 + evaluate(cost.flops, bindings)),
        "activations": log(1 + evaluate(cost.activation_bytes, bindings)),
        "cache": log(1 + evaluate(cost.cache_bytes, bindings)),
        "nodes": log(1 + cost.unfolded),
    }


def _pairs(found: GraphView) -> Counter[str]:
    """Producer and consumer of every edge, as often as the consumer is computed; views are looked through."""
    seen_as = _seen_as(found)
    pairs: Counter[str] = Counter()
    for edge in found.edges:
        target = found.nodes[edge.target]
        if target.op not in VIEWS:
            for op in seen_as[edge.source]:
                pairs[f"{op} {target.op}"] += target.count
    return pairs


def _seen_as(found: GraphView) -> list[frozenset[str]]:
    """The operation of each node; of a view those that it is a view of, which need not come before it."""
    seen_as = [frozenset() if node.op in VIEWS else frozenset({node.op}) for node in found.nodes]
    edges = [edge for edge in found.edges if found.nodes[edge.target].op in VIEWS]
    changed = True
    while changed:
        changed = False
        for edge in edges:
            both = seen_as[edge.target] | seen_as[edge.source]
            changed = changed or both != seen_as[edge.target]
            seen_as[edge.target] = both
    return seen_as


def _logs(counts: Mapping[str, int]) -> dict[str, float]:
    return {name: log1p(count) for name, count in counts.items()}
