"""Examples drawn of a view, each a function of the view and a generator.

The draws avoid what would give answers away (docs/datasets.md): neighbours are masked together, several
edges are removed beside decoys, only operations are deleted whose place an argument can take without a trace.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from ...graph.vocabulary import category
from ..hiding import Wiring, bypass
from ..view import INPUT, GraphView
from .examples import Classified, Completion, Incomplete, Links, Operations

MASKED = 0.3
MOST_MASKED = 256
LEAST_SPAN = 2
"""From source to target of an edge that is removed: the node just before is too easy a guess."""
MOST_LINKS = 16
LINK_SHARE = 0.1
DELETIONS = 4
COMPLETIONS = 4
NEAR = 0.75
"""Share of operations, counted, that two matched graphs of different labels have in common at least."""

_MEAN_SPAN = 4
_DELETED = frozenset({"normalisation", "activation"})
_DELETED_OPS = frozenset({"linear", "addmm"})


def operations(view: GraphView, rng: random.Random, entry: str = "", way: str = "spans") -> Operations | None:
    """Masked operations, in spans or in whole blocks; None for a view too small to mask.

    Where blocks do not make up the share, spans fill it.
    """
    asked = [i for i, node in enumerate(view.nodes) if node.op != INPUT]
    goal = min(round(MASKED * len(asked)), MOST_MASKED)
    if goal < 1:
        return None
    masked: set[int] = set()
    if way == "blocks":
        _mask_blocks(view, rng, goal, masked)
        if not masked:
            return None
    _mask_spans(asked, rng, goal, masked)
    return Operations(entry, tuple(sorted(masked)), way)


def _mask_blocks(view: GraphView, rng: random.Random, goal: int, masked: set[int]) -> None:
    held: dict[int, list[int]] = defaultdict(list)
    for number, node in enumerate(view.nodes):
        block = node.block
        while block > 0 and node.op != INPUT:  # the nodes of a block are those of the blocks in it too
            held[block].append(number)
            block = view.blocks[block].parent
    blocks = [nodes for _, nodes in sorted(held.items()) if 2 <= len(nodes) <= goal]
    rng.shuffle(blocks)
    for nodes in blocks:
        if len(masked.union(nodes)) <= goal:
            masked.update(nodes)


def _mask_spans(asked: Sequence[int], rng: random.Random, goal: int, masked: set[int]) -> None:
    while len(masked) < goal:
        length = min(1 + int(rng.expovariate(1 / (_MEAN_SPAN - 0.5))), goal - len(masked))
        start = rng.randrange(len(asked))
        masked.update(asked[start : start + length])


def links(view: GraphView, rng: random.Random, entry: str = "") -> Links | None:
    """Removed edges, a tenth of those of two nodes or more, at least two and at most 16; as many decoys.

    One edge is removed of a node at most. Decoys are nodes that lose nothing. None where nothing fits.
    """
    found = [n for n, e in enumerate(view.edges) if e.kind == "data" and e.target - e.source >= LEAST_SPAN]
    rng.shuffle(found)
    goal = min(max(2, round(LINK_SHARE * len(found))), MOST_LINKS)
    chosen: dict[int, int] = {}
    for number in found:
        if len(chosen) < goal:
            chosen.setdefault(view.edges[number].target, number)
    if not chosen:
        return None
    last: dict[int, int] = {}
    for edge in view.edges:
        last[edge.target] = max(last.get(edge.target, 0), edge.position)
    whole = sorted(set(last) - set(chosen))
    decoys = rng.sample(whole, min(len(whole), len(chosen)))
    places = tuple((target, 1 + _places(view, target, last[target])) for target in sorted(decoys))
    return Links(entry, tuple(sorted(chosen.values())), places)


def _places(view: GraphView, target: int, last: int) -> int:
    """The last place of an argument, be it another node's result or a weight."""
    taken = {e.position for e in view.edges if e.target == target}
    return max(last, len(taken) + len(view.nodes[target].weights) - 1)


def incomplete(view: GraphView, rng: random.Random, entry: str = "") -> list[Incomplete]:
    """The intact graph and up to four deletions, each of a kind of operation not yet deleted if there is."""
    wiring = Wiring.of(view)
    fits = [n for n in range(len(view)) if deletable(view, n, wiring)]
    if not fits:
        return []
    rng.shuffle(fits)
    seen: Counter[str] = Counter()
    ranked = []
    for number in fits:
        ranked.append((seen[view.nodes[number].op], number))
        seen[view.nodes[number].op] += 1
    ranked.sort(key=lambda pair: pair[0])
    return [Incomplete(entry, -1), *(Incomplete(entry, n) for _, n in ranked[:DELETIONS])]


def deletable(view: GraphView, node: int, wiring: Wiring) -> bool:
    """Whether deleting a node leaves a graph that is whole to look at, and is a loss one may notice.

    A view or a copy is none, and neither is what nothing but the model's output takes.
    """
    op = view.nodes[node].op
    sources = {edge.source for edge in wiring.into[node] if edge.kind == "data"}
    residual = op == "add" and len(sources) == 2
    if not residual and op not in _DELETED_OPS and category(op) not in _DELETED:
        return False
    return any(taker >= 0 for taker in wiring.takers[node]) and bypass(view, node, wiring) >= 0


def completions(view: GraphView, rng: random.Random, entry: str = "") -> list[Completion]:
    """Up to four places from which on a graph is to be gone on with."""
    first = next((i for i, node in enumerate(view.nodes) if node.op != INPUT), len(view))
    places = range(first + 1, len(view))
    return [Completion(entry, n) for n in sorted(rng.sample(places, min(len(places), COMPLETIONS)))]


def classified(
    labels: Mapping[str, str], counts: Mapping[str, Mapping[str, int]], question: str
) -> Iterator[Classified]:
    """An example for each entry with a label, matched with the nearest of another label.

    `labels` and `counts` of operations are by entry. Nearness is the share of operations in common,
    counted relative to the graphs' sizes.
    """
    named = sorted(key for key, label in labels.items() if label)
    ops = sorted({op for key in named for op in counts[key]})
    import numpy as np

    shares = np.zeros((len(named), len(ops)))
    column = {op: i for i, op in enumerate(ops)}
    for row, key in enumerate(named):
        for op, count in counts[key].items():
            shares[row, column[op]] = count
    shares /= np.maximum(1, shares.sum(axis=1, keepdims=True))
    kinds = np.array([labels[key] for key in named])
    for row, key in enumerate(named):
        common = np.minimum(shares, shares[row]).sum(axis=1)
        common[kinds == labels[key]] = -1
        near = int(common.argmax())
        confuser = named[near] if common[near] >= NEAR else ""
        yield Classified(key, labels[key], question, confuser)
