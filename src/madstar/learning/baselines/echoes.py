"""What a graph says of itself, counted: what stands elsewhere in it where the same stands around.

The graph transformer reads this too (`transformer/echoes.py`), so forests are given it for a fair comparison.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from ..hiding import HIDDEN
from .wiring import NONE, Wiring

Keys = Mapping[str, tuple[str, ...]]
"""What stands around a node, by the name of the context."""


class Echoes:
    """Counts, for each context, of what stands in it in one graph."""

    def __init__(self) -> None:
        self.tables: dict[tuple[str, tuple[str, ...]], Counter[str]] = defaultdict(Counter)

    def add(self, keys: Keys, op: str) -> None:
        """Count a node's operation. Contexts in which something is hidden are left out."""
        for name, key in keys.items():
            if HIDDEN not in key:
                self.tables[name, key][op] += 1

    def row(self, keys: Keys) -> Counter[str]:
        """The share of each operation in the same contexts, and how many there are, as columns."""
        counts: Counter[str] = Counter()
        for name, key in keys.items():
            found = self.tables.get((name, key))
            if found:
                total = found.total()
                counts[f"echoes of {name}"] = total
                for op, count in found.items():
                    counts[f"echo of {name} {op}"] = count / total  # type: ignore[assignment]
        return counts


def around_hidden(w: Wiring, node: int) -> Keys:
    """The contexts of a node whose operation is asked: what stands before and after, gives and takes."""
    givers = [w.ops[p] for _, p in w.parents[node][:2]] or [NONE]
    taker = w.ops[w.children[node][0][1]] if w.children[node] else NONE
    before = w.around(node, -2), w.around(node, -1)
    after = w.around(node, 1), w.around(node, 2)
    return {
        "giver": (givers[0],),
        "givers": tuple(givers),
        "taker": (taker,),
        "giver and taker": (givers[0], taker),
        "givers and taker": (*givers, taker),
        "two before": before,
        "one before and after": (before[1], after[0]),
        "two after": after,
        "two before and after": before + after,
    }


def around_gap(w: Wiring, node: int) -> Keys:
    """The contexts of a node that may stand where something is missing: it is a part of most itself."""
    own, hidden = w.ops[node], around_hidden(w, node)
    with_own = {f"{name} with own": (*key, own) for name, key in hidden.items()}
    return {**hidden, **with_own, "one after with own": (own, w.around(node, 1))}


def before(w: Wiring, node: int) -> Keys:
    """The contexts of what comes next: up to six operations before it, and what gives the last its own."""
    found = {f"{n} before": tuple(w.around(node, -k) for k in range(1, n + 1)) for n in (1, 2, 3, 4, 6)}
    if node:
        givers = tuple(w.ops[p] for _, p in w.parents[node - 1][:2])
        found["givers of one before"] = (w.ops[node - 1], *givers)
    return found
