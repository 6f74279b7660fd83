"""A folded graph as one flat list of nodes with typed edges: what every learner reads.

A definition's nodes are listed once, where the graph first computes them, with the number of times they are
computed. What a block takes and gives is resolved to the nodes inside, so that edges run from operation to
operation, whatever blocks lie between. An edge is

    data     from the first use of a block: it always runs forward in the list
    carried  from one turn of a run to the next
    again    from a later use of a block, or a later turn with values of its own

Kinds of blocks, paths and names stand beside the nodes for people; a learner does not see them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from madstar.graph.model import Attribute, Call, Definition, Graph, Node, Parameter, Value
from madstar.graph.paths import join
from madstar.graph.soundness import ordered_definitions
from madstar.graph.wiring import given, positions

KINDS = ("data", "carried", "again")
INPUT = "input"
"""The operation that stands for an input of the model; these nodes come first."""


@dataclass(frozen=True, slots=True)
class ViewNode:
    """An operation, or an input of the model.

    `weights` are the parameters it takes with the slots they are in. `block` numbers the block it is in
    (`GraphView.blocks`), `count` how often it is computed, `depth` the longest way of data edges to it.
    `definition` and `name` say where it stands in the graph; `path` at its first use.
    """

    op: str
    attributes: tuple[tuple[str, Attribute], ...]
    outputs: tuple[Value, ...]
    weights: tuple[tuple[str, Parameter], ...]
    block: int
    count: int
    depth: int
    definition: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Edge:
    """What node `source` gives (its output of that number) fills argument `position` of node `target`.

    `position` counts among the tensors the target takes, weights included; `slot` is the argument's name.
    """

    source: int
    target: int
    output: int
    position: int
    slot: str
    kind: str = "data"


@dataclass(frozen=True, slots=True)
class ViewBlock:
    """A definition at its first use: the block around it (-1 for the whole), how often it is computed."""

    definition: str
    kind: str
    parent: int
    depth: int
    count: int
    path: str


@dataclass(frozen=True)
class GraphView:
    """Nodes in the order of first computation, edges by target and position, blocks in the order of use.

    `outputs` are the nodes that give what the model gives.
    """

    nodes: tuple[ViewNode, ...]
    edges: tuple[Edge, ...]
    blocks: tuple[ViewBlock, ...]
    outputs: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.nodes)


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a value comes from: an output of a node, or, with node -1, an input of the definition."""

    node: int
    output: int


@dataclass(frozen=True, slots=True)
class _Taker:
    """A node that takes an input of the definition."""

    node: int
    position: int
    slot: str
    again: bool = False


@dataclass
class _Summary:
    """What a definition is to those that call it."""

    takers: dict[int, list[_Taker]]
    outputs: list[_Origin | None]


def view(graph: Graph) -> GraphView:
    """The flat view of a graph. Folded as it is given; shapes keep their symbols."""
    return _Reader(graph).read()


class _Reader:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[ViewNode] = []
        self.edges: dict[tuple[int, int, int, int], Edge] = {}  # the first of its kind stays
        self.blocks: list[ViewBlock] = []
        self.summaries: dict[str, _Summary] = {}
        self.counts = _counts(graph)

    def read(self) -> GraphView:
        main = self.graph.main
        for name, value in zip(self.graph.input_names, main.inputs, strict=True):
            outputs = (value,)
            self.nodes.append(ViewNode(INPUT, (), outputs, (), 0, 1, 0, main.name, value.name, name))
        summary = self._definition(main, "", -1, 0)
        for position, takers in summary.takers.items():
            for taker in takers:
                self._edge(_Origin(position, 0), taker, "data")
        outputs_of = [o for o in summary.outputs if o is not None]
        ends = dict.fromkeys(o.node if o.node >= 0 else o.output for o in outputs_of)
        ordered = sorted(self.edges.values(), key=lambda e: (e.target, e.position, e.source))
        return GraphView(_with_depths(self.nodes, ordered), tuple(ordered), tuple(self.blocks), tuple(ends))

    def _definition(self, definition: Definition, path: str, parent: int, depth: int) -> _Summary:
        block = len(self.blocks)
        count = self.counts[definition.name]
        self.blocks.append(ViewBlock(definition.name, definition.kind, parent, depth, count, path))
        known: dict[str, _Origin] = {
            f"%{value.name}": _Origin(-1, i) for i, value in enumerate(definition.inputs)
        }
        weights = {f"@{parameter.path}": parameter for parameter in definition.parameters}
        summary = self.summaries[definition.name] = _Summary({}, [])
        for item in definition.items:
            if isinstance(item, Node):
                self._node(item, definition, known, weights, summary, block, path)
            else:
                self._call(item, known, summary, path, block, depth)
        summary.outputs = [known.get(ref) for ref in definition.outputs]
        return summary

    def _node(
        self,
        node: Node,
        definition: Definition,
        known: dict[str, _Origin],
        weights: dict[str, Parameter],
        summary: _Summary,
        block: int,
        path: str,
    ) -> None:
        number = len(self.nodes)
        taken = tuple((a.slot, weights[a.source]) for a in node.arguments if a.source in weights)
        where = join(path, node.path) if node.path else f"{path}:{node.name}"
        self.nodes.append(
            ViewNode(
                node.op,
                node.attributes,
                node.outputs,
                taken,
                block,
                self.counts[definition.name],
                0,
                definition.name,
                node.name,
                where,
            )
        )
        for position, argument in enumerate(node.arguments):
            if (origin := known.get(argument.source)) is not None:
                self._take(origin, _Taker(number, position, argument.slot), summary, "data")
        for output, value in enumerate(node.outputs):
            known[f"%{value.name}"] = _Origin(number, output)

    def _call(
        self, call: Call, known: dict[str, _Origin], summary: _Summary, path: str, block: int, depth: int
    ) -> None:
        inner = self.summaries.get(call.definition)
        first = inner is None
        if inner is None:
            called = self.graph.definitions[call.definition]
            inner = self._definition(called, join(path, call.paths[0]), block, depth + 1)

        def enter(position: int, ref: str, kind: str) -> None:
            if (origin := known.get(ref)) is not None:
                for taker in inner.takers.get(position, ()):
                    self._take(origin, taker, summary, kind)

        for position, ref in enumerate(call.arguments):
            enter(position, ref, "data" if first else "again")
        for position, refs in call.own:
            for ref in refs[1:]:
                enter(position, ref, "again")
        if call.count > 1:
            for output, position in call.carried:
                origin = inner.outputs[output]
                if origin is not None and origin.node >= 0:
                    for taker in inner.takers.get(position, ()):
                        self._edge(origin, taker, "carried")
        for place, value in zip(positions(call), given(call), strict=True):
            origin = inner.outputs[place]
            if origin is not None and origin.node < 0:  # what the block is given, it gives
                origin = known.get(call.arguments[origin.output])
            if origin is not None:
                known[f"%{value.name}"] = origin

    def _take(self, origin: _Origin, taker: _Taker, summary: _Summary, kind: str) -> None:
        if origin.node >= 0:
            self._edge(origin, taker, kind)
        else:
            again = taker.again or kind == "again"
            summary.takers.setdefault(origin.output, []).append(replace(taker, again=again))

    def _edge(self, origin: _Origin, taker: _Taker, kind: str) -> None:
        if kind == "data" and taker.again:
            kind = "again"
        edge = Edge(origin.node, taker.node, origin.output, taker.position, taker.slot, kind)
        self.edges.setdefault((edge.source, edge.target, edge.output, edge.position), edge)


def _with_depths(nodes: list[ViewNode], edges: Iterable[Edge]) -> tuple[ViewNode, ...]:
    """The nodes with the longest way of data edges to each; `edges` are in order of their targets."""
    depths = [0] * len(nodes)
    for edge in edges:
        if edge.kind == "data":
            depths[edge.target] = max(depths[edge.target], depths[edge.source] + 1)
    return tuple(replace(node, depth=depth) for node, depth in zip(nodes, depths, strict=True))


def _counts(graph: Graph) -> Counter[str]:
    """How often each definition is computed."""
    counts: Counter[str] = Counter({graph.root: 1})
    for name in reversed(list(ordered_definitions(graph))):  # callers before what they call
        for item in graph.definitions[name].items:
            if isinstance(item, Call):
                counts[item.definition] += counts[name] * item.count
    return counts
