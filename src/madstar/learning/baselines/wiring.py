"""A view as plain lists of operations and neighbours: what lookups, forests and heuristics read."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ...graph.model import Shape
from ..hiding import HIDDEN
from ..view import GraphView, ViewNode

NONE = "<none>"
"""Stands where there is no node: before the first, after the last."""

Neighbour = tuple[int, int]
"""The position of the argument, and a node's number."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """Operations in the order of computation, and the data edges.

    `parents` of a node are (position, source), by position; `children` (position there, target), by target.
    `shapes` are those of first outputs, with the dtype; None where there is none or it is hidden.
    """

    ops: tuple[str, ...]
    parents: tuple[tuple[Neighbour, ...], ...]
    children: tuple[tuple[Neighbour, ...], ...]
    shapes: tuple[tuple[Shape, str] | None, ...] = ()

    def __len__(self) -> int:
        return len(self.ops)

    def around(self, node: int, offset: int) -> str:
        """The operation so many places before or after in the order of computation."""
        place = node + offset
        return self.ops[place] if 0 <= place < len(self.ops) else NONE


def wiring(view: GraphView) -> Wiring:
    """The data edges of a view. Those of carried and later uses are left out."""
    parents: list[list[Neighbour]] = [[] for _ in view.nodes]
    children: list[list[Neighbour]] = [[] for _ in view.nodes]
    for edge in view.edges:
        if edge.kind == "data":
            parents[edge.target].append((edge.position, edge.source))
            children[edge.source].append((edge.position, edge.target))
    shapes = tuple(_shape(node) for node in view.nodes)
    return Wiring(tuple(node.op for node in view.nodes), _fixed(parents), _fixed(children), shapes)


def _shape(node: ViewNode) -> tuple[Shape, str] | None:
    if node.op == HIDDEN or not node.outputs:
        return None
    return node.outputs[0].shape, node.outputs[0].dtype


def masked(whole: Wiring, nodes: Collection[int]) -> Wiring:
    """The wiring of `hidden(view, nodes)`: no operations there, and no gaps between positions."""
    asked = frozenset(nodes)
    ops = tuple(HIDDEN if i in asked else op for i, op in enumerate(whole.ops))
    parents, children = list(whole.parents), [list(found) for found in whole.children]
    for node in asked:
        places = {p: i for i, p in enumerate(sorted({p for p, _ in whole.parents[node]}))}
        if all(p == i for p, i in places.items()):
            continue
        parents[node] = tuple((places[p], source) for p, source in whole.parents[node])
        for source in {source for _, source in whole.parents[node]}:
            children[source] = [(places[p] if t == node else p, t) for p, t in children[source]]
    shapes = tuple(None if i in asked else shape for i, shape in enumerate(whole.shapes))
    return Wiring(ops, tuple(parents), _fixed(children), shapes)


def _fixed(lists: Sequence[list[Neighbour]]) -> tuple[tuple[Neighbour, ...], ...]:
    return tuple(tuple(each) for each in lists)


def relations(w: Wiring, node: int) -> dict[str, list[int]]:
    """The nodes around a node within two edges, by how they are related to it."""
    parents = [p for _, p in w.parents[node]]
    children = [c for _, c in w.children[node]]
    return {
        "parent": parents,
        "child": children,
        "grandparent": [g for p in parents for _, g in w.parents[p]],
        "grandchild": [g for c in children for _, g in w.children[c]],
        "sibling": [s for p in parents for _, s in w.children[p] if s != node],
        "mate": [m for c in children for _, m in w.parents[c] if m != node],
    }


def parents_context(w: Wiring, node: int) -> tuple[object, ...]:
    """The operations that a node takes from, by position."""
    return tuple(w.ops[p] for _, p in w.parents[node])


def near_context(w: Wiring, node: int) -> tuple[object, ...]:
    """What a node takes from, by position, and who takes from it, at which position."""
    return (parents_context(w, node), tuple(sorted((w.ops[c], p) for p, c in w.children[node])))


def wide_context(w: Wiring, node: int) -> tuple[object, ...]:
    """The same with what its parents take from and who takes from its children."""
    up = tuple((w.ops[p], parents_context(w, p)) for _, p in w.parents[node])
    down = tuple(
        sorted((w.ops[c], p, tuple(sorted(w.ops[g] for _, g in w.children[c]))) for p, c in w.children[node])
    )
    return (up, down)
