"""Examples to train on, drawn anew at every step: of the kinds that datasets ask, the hard ones rather."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np

from ..datasets.drawing import deletable as can_be_deleted
from ..datasets.drawing import operations
from ..datasets.examples import Incomplete, Links, Operations
from ..hiding import Wiring
from ..view import GraphView

MOST_LINKS = 24
_BLOCKS = 0.3


def draw_operations(entry: str, view: GraphView, rng: np.random.Generator) -> Operations | None:
    """Masked spans; three times in ten whole blocks, where there are any."""
    way = "blocks" if rng.random() < _BLOCKS else "spans"
    drawn = random.Random(int(rng.integers(1 << 62)))
    return operations(view, drawn, entry, way) or operations(view, drawn, entry)


def draw_links(entry: str, view: GraphView, rng: np.random.Generator) -> Links | None:
    """An eighth of the edges that do not come from the node before, far ones rather; and as many decoys.

    At most one is removed of each node.
    """
    able = [i for i, e in enumerate(view.edges) if e.kind == "data" and e.target - e.source >= 2]
    if not able:
        return None
    far = np.array([view.edges[i].target - view.edges[i].source for i in able], float) ** 0.5
    count = min(max(2, len(able) // 8), MOST_LINKS, len(able))
    chosen: dict[int, int] = {}
    for at in rng.choice(len(able), count, replace=False, p=far / far.sum()):
        chosen.setdefault(view.edges[able[at]].target, able[at])
    last = {e.target: max(e.position, len(view.nodes[e.target].weights)) for e in view.edges}
    others = [target for target in last if target not in chosen]
    few: list[int] = rng.permutation(len(others))[: len(chosen)].tolist()
    decoys = tuple((others[i], last[others[i]] + 1) for i in sorted(few))
    return Links(entry, tuple(sorted(chosen.values())), decoys)


def deletable(view: GraphView) -> dict[str, tuple[int, ...]]:
    """The nodes that may be deleted, by their operation."""
    wiring = Wiring.of(view)
    found: dict[str, list[int]] = {}
    for i, node in enumerate(view.nodes):
        if can_be_deleted(view, i, wiring):
            found.setdefault(node.op, []).append(i)
    return {op: tuple(nodes) for op, nodes in sorted(found.items())}


def draw_incomplete(
    entry: str, able: Mapping[str, Sequence[int]], rng: np.random.Generator
) -> Incomplete | None:
    """One of the nodes that may be deleted; all operations equally often."""
    if not able:
        return None
    nodes = list(able.values())[int(rng.integers(len(able)))]
    return Incomplete(entry, nodes[int(rng.integers(len(nodes)))])
