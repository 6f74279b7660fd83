"""Views with something hidden: what a learner may see of an example.

Whatever is hidden here must not come back by another way, so names, paths and classes of blocks are blank in
all of these views: "add_3" says that there are an "add_1" and an "add_2".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from ..errors import DataError
from ..graph.model import Parameter, Value
from .view import Edge, GraphView, ViewBlock, ViewNode

HIDDEN = "?"
"""The operation of a node whose operation is hidden."""

_NOTHING = Value("", (), "")


def anonymous(view: GraphView) -> GraphView:
    """The view without names: of nodes, values, weights, blocks, their classes and paths."""
    return GraphView(
        tuple(_nameless(node) for node in view.nodes),
        view.edges,
        tuple(_nameless_block(block) for block in view.blocks),
        view.outputs,
    )


def hidden(view: GraphView, nodes: Collection[int]) -> GraphView:
    """The view in which these nodes show nothing but their wiring, their block and how often they run.

    Gone are operation, attributes, weights, shapes, dtypes and ranks of outputs, the slots' names and the
    places between the arguments where weights stand. As many outputs stay as others use.
    """
    _check(view, nodes)
    asked = frozenset(nodes)
    used: dict[int, int] = {}
    places: dict[int, set[int]] = {}
    for edge in view.edges:
        if edge.source in asked:
            used[edge.source] = max(used.get(edge.source, 0), edge.output)
        if edge.target in asked:
            places.setdefault(edge.target, set()).add(edge.position)
    dense = {target: {p: i for i, p in enumerate(sorted(found))} for target, found in places.items()}
    edges = [
        replace(edge, slot="", position=dense[edge.target][edge.position]) if edge.target in asked else edge
        for edge in view.edges
    ]
    bare = anonymous(view)
    return GraphView(
        tuple(
            replace(node, op=HIDDEN, attributes=(), weights=(), outputs=(_NOTHING,) * (used.get(i, 0) + 1))
            if i in asked
            else node
            for i, node in enumerate(bare.nodes)
        ),
        _ordered(edges),
        bare.blocks,
        bare.outputs,
    )


def without_edges(view: GraphView, numbers: Collection[int]) -> GraphView:
    """The view without these edges (numbers in `view.edges`), nor others into the same arguments.

    Depths count the edges that are left.
    """
    if numbers and not 0 <= min(numbers) <= max(numbers) < len(view.edges):
        raise DataError(f"the view has edges 0 to {len(view.edges) - 1}, not {max(numbers)}")
    gone = {(view.edges[n].target, view.edges[n].position) for n in numbers}
    edges = tuple(edge for edge in view.edges if (edge.target, edge.position) not in gone)
    bare = anonymous(view)
    return GraphView(_with_depths(bare.nodes, edges), edges, bare.blocks, bare.outputs)


def prefix(view: GraphView, given: int) -> GraphView:
    """The first `given` nodes and the data edges among them; later uses and turns are still to come."""
    if not 0 <= given <= len(view):
        raise DataError(f"the view has {len(view)} nodes; {given} of them cannot be given")
    bare = anonymous(view)
    nodes = bare.nodes[:given]
    edges = tuple(e for e in view.edges if e.kind == "data" and e.target < given)
    most = max((node.block for node in nodes), default=-1)
    return GraphView(nodes, edges, bare.blocks[: most + 1], ())


def bypass(view: GraphView, node: int, wiring: Wiring | None = None) -> int:
    """The position of the argument that takes the node's place when it is deleted, -1 if none can.

    That is the first data argument of the shape and dtype of its one result, of those that leave nothing
    unused: what else the node took must have other takers, or a loose end would give the deletion away.
    `wiring` is that of the view, where it is at hand.
    """
    one = view.nodes[node]
    if len(one.outputs) != 1:
        return -1
    wiring = wiring or Wiring.of(view)
    wanted = one.outputs[0].shape, one.outputs[0].dtype
    entering = [edge for edge in wiring.into[node] if edge.kind == "data"]
    for edge in sorted(entering, key=lambda e: e.position):
        value = view.nodes[edge.source].outputs[edge.output]
        others = {each.source for each in wiring.into[node] if each.position != edge.position}
        loose = any(wiring.takers[other] == {node} for other in others - {edge.source})
        if (value.shape, value.dtype) == wanted and not loose:
            return edge.position
    return -1


@dataclass(frozen=True)
class Wiring:
    """The edges into each node, and who takes what each gives; the model's outputs are taken by node -1."""

    into: tuple[tuple[Edge, ...], ...]
    takers: tuple[frozenset[int], ...]

    @classmethod
    def of(cls, view: GraphView) -> Wiring:
        """That of a view."""
        into: list[list[Edge]] = [[] for _ in view.nodes]
        takers: list[set[int]] = [set() for _ in view.nodes]
        for edge in view.edges:
            into[edge.target].append(edge)
            takers[edge.source].add(edge.target)
        for output in view.outputs:
            takers[output].add(-1)
        return cls(tuple(map(tuple, into)), tuple(map(frozenset, takers)))


def without(view: GraphView, node: int) -> GraphView:
    """The view with a node deleted and bypassed; all later nodes count one less. -1 deletes nothing.

    Raises DataError for a node that no argument of its can stand for.
    """
    bare = anonymous(view)
    if node == -1:
        return bare
    _check(view, (node,))
    position = bypass(view, node)
    if position < 0:
        raise DataError(f"node {node} ({view.nodes[node].op}) cannot be deleted: no argument has its shape")
    # What it carries to itself from turn to turn goes with it.
    ways = [e for e in view.edges if e.target == node != e.source and e.position == position]
    edges: dict[tuple[int, int, int, int], Edge] = {}
    for edge in view.edges:
        if edge.target == node:
            continue
        for way in ways if edge.source == node else (None,):
            made = edge if way is None else _joined(way, edge)
            moved = replace(made, source=_moved(made.source, node), target=_moved(made.target, node))
            edges.setdefault((moved.source, moved.target, moved.output, moved.position), moved)
    stands = next(e.source for e in ways if e.kind == "data")
    outputs = dict.fromkeys(_moved(stands if o == node else o, node) for o in view.outputs)
    left = bare.nodes[:node] + bare.nodes[node + 1 :]
    ordered = _ordered(e for e in edges.values() if e.source != e.target)
    return GraphView(_with_depths(left, ordered), ordered, bare.blocks, tuple(outputs))


def place(view: GraphView, node: int) -> int:
    """Where `without(view, node)` shows the gap: the first node there that takes what took its place.

    -1 if nothing takes it but the model's outputs.
    """
    takers = [e.target for e in view.edges if e.source == node and e.kind == "data"]
    return _moved(min(takers), node) if takers else -1


def _joined(way: Edge, edge: Edge) -> Edge:
    """The edge from what the deleted node took to what took the deleted node."""
    kinds = {way.kind, edge.kind}
    kind = next(kind for kind in ("again", "carried", "data") if kind in kinds)
    return replace(edge, source=way.source, output=way.output, kind=kind)


def _moved(number: int, deleted: int) -> int:
    return number - (number > deleted)


def _check(view: GraphView, nodes: Collection[int]) -> None:
    if nodes and not 0 <= min(nodes) <= max(nodes) < len(view):
        wrong = min(nodes) if min(nodes) < 0 else max(nodes)
        raise DataError(f"the view has nodes 0 to {len(view) - 1}, not {wrong}")


def _nameless(node: ViewNode) -> ViewNode:
    named = node.definition or node.name or node.path or any(value.name for value in node.outputs)
    if not named and not any(weight.path for _, weight in node.weights):
        return node  # trainings ask the same nodes again and again
    return replace(
        node,
        outputs=tuple(Value("", value.shape, value.dtype) for value in node.outputs),
        weights=tuple((slot, _nameless_weight(weight)) for slot, weight in node.weights),
        definition="",
        name="",
        path="",
    )


def _nameless_weight(weight: Parameter) -> Parameter:
    return replace(weight, path="")


def _nameless_block(block: ViewBlock) -> ViewBlock:
    if not (block.definition or block.kind or block.path):
        return block
    return replace(block, definition="", kind="", path="")


def _ordered(edges: Iterable[Edge]) -> tuple[Edge, ...]:
    return tuple(sorted(edges, key=lambda e: (e.target, e.position, e.source)))


def _with_depths(nodes: tuple[ViewNode, ...], edges: Iterable[Edge]) -> tuple[ViewNode, ...]:
    depths = [0] * len(nodes)
    for edge in edges:
        if edge.kind == "data":
            depths[edge.target] = max(depths[edge.target], depths[edge.source] + 1)
    return tuple(
        node if node.depth == d else replace(node, depth=d) for node, d in zip(nodes, depths, strict=True)
    )
