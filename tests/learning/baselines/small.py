"""Views of small made-up models, and a corpus of them in memory: examples, families, splits."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from madstar.graph.model import Argument, Definition, Graph, Node, Parameter, Value
from madstar.learning.datasets import drawing
from madstar.learning.datasets.examples import TASKS, Classified, Measured
from madstar.learning.view import INPUT, Edge, GraphView, ViewBlock, ViewNode

SHAPE = ("batch", "length", 8)


class Builder:
    """Adds nodes one after the other, each of the same shape unless it is said."""

    def __init__(self) -> None:
        self.nodes: list[ViewNode] = []
        self.edges: list[Edge] = []
        self.depths: list[int] = []

    def add(
        self, op: str, *sources: int, shape: tuple[int | str, ...] = SHAPE, weights: tuple[str, ...] = ()
    ) -> int:
        number = len(self.nodes)
        depth = 1 + max((self.depths[s] for s in sources), default=-1)
        held = tuple((slot, Parameter(f"{number}.{slot}", (8, 8), "float32")) for slot in weights)
        value = Value(f"{op}_{number}", shape, "float32")
        self.nodes.append(ViewNode(op, (), (value,), held, 0, 1, depth, "whole", f"{op}_{number}", ""))
        self.depths.append(depth)
        for position, source in enumerate(sources):
            self.edges.append(Edge(source, number, 0, position, ("input", "other")[min(position, 1)]))
        return number

    def view(self) -> GraphView:
        block = ViewBlock("whole", "Whole", -1, 0, 1, "")
        edges = sorted(self.edges, key=lambda e: (e.target, e.position, e.source))
        return GraphView(tuple(self.nodes), tuple(edges), (block,), (len(self.nodes) - 1,))


def model(seed: int, layers: int = 4) -> GraphView:
    """Residual layers of a norm, a linear, an activation and a linear; gates and adds where the seed says."""
    rng = random.Random(seed)
    norm, activation = rng.choice(["layer_norm", "rms_norm"]), rng.choice(["gelu", "silu", "relu"])
    gated = rng.random() < 0.5
    b = Builder()
    x = b.add(INPUT, shape=("batch", "length"))
    x = b.add("embedding", x, weights=("weight",))
    for _ in range(layers):
        h = b.add(norm, x, weights=("weight",))
        y = b.add(activation, b.add("linear", h, weights=("weight",)))
        if gated:
            y = b.add("mul", y, b.add("linear", h, weights=("weight",)))
        y = b.add("linear", y, weights=("weight",))
        if rng.random() < 0.3:
            y = b.add("dropout", y)
        x = b.add("add", x, y)
    b.add(norm, x, weights=("weight",))
    return b.view()


@dataclass
class Small:
    """A corpus of small models; a family is every three of them."""

    count: int = 24
    hash: str = "small"
    views: dict[str, GraphView] = field(default_factory=dict)
    made: dict[str, list[Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.made = {task: [] for task in TASKS}
        for number in range(self.count):
            entry = f"model {number}"
            view = self.views[entry] = model(number, 3 + number % 3)
            rng = random.Random(number)
            gated = any(node.op == "mul" for node in view.nodes)
            self.made["operation"] += [x for x in (drawing.operations(view, rng, entry),) if x]
            self.made["link"] += [x for x in (drawing.links(view, rng, entry),) if x]
            self.made["incomplete"] += drawing.incomplete(view, rng, entry)
            self.made["completion"] += drawing.completions(view, rng, entry)
            self.made["classification"].append(Classified(entry, "gated" if gated else "plain"))
            self.made["performance"].append(Measured(entry, "quality", "short", float(len(view)), None, 1))

    def graph(self, key: str) -> Graph:
        return graph_of(self.views[key], key, "text")

    def examples(self, task: str) -> Sequence[Any]:
        return self.made[task]

    def families(self) -> Mapping[str, str]:
        return {entry: f"family {i // 3}" for i, entry in enumerate(self.views)}

    def split(self, task: str, name: str, seed: int) -> Mapping[str, Sequence[int]]:
        families = sorted(set(self.families().values()))
        random.Random(seed).shuffle(families)
        parts = (
            dict.fromkeys(families, "train") | dict.fromkeys(families[:2], "test") | {families[2]: "valid"}
        )
        found: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
        for number, example in enumerate(self.made[task]):
            found[parts[self.families()[example.entry]]].append(number)
        return found


def wild(seed: int, size: int = 30) -> GraphView:
    """A chain of operations at random with skips: no two seeds are akin."""
    rng = random.Random(seed)
    ops = rng.sample(["relu", "gelu", "silu", "tanh", "sigmoid", "exp", "neg", "sqrt", "abs", "sin"], 4)
    b = Builder()
    x = kept = b.add(INPUT)
    for number in range(size):
        kind = rng.random()
        if kind < 0.3 and kept != x:
            x = b.add(rng.choice(["add", "mul", "sub"]), x, kept)
            kept = x if rng.random() < 0.5 else kept
        elif kind < 0.5:
            x = b.add("linear", x, weights=("weight",))
        else:
            x = b.add(ops[number % 4] if rng.random() < 0.8 else rng.choice(ops), x)
    return b.view()


def graph_of(view: GraphView, name: str, inputs: str) -> Graph:
    """The view of one block as a graph; the whole is one definition."""
    values = [node.outputs[0] for node in view.nodes]
    taken: dict[int, list[Argument]] = {i: [] for i in range(len(view))}
    for edge in view.edges:
        taken[edge.target].append(Argument(edge.slot, f"%{values[edge.source].name}"))
    items, weights = [], []
    for number, node in enumerate(view.nodes):
        held = [Argument(slot, f"@{weight.path}") for slot, weight in node.weights]
        weights += [weight for _, weight in node.weights]
        if node.op != INPUT:
            arguments = (*taken[number], *held)
            items.append(Node(node.name, node.op, arguments, node.outputs, node.attributes))
    given = tuple(values[i] for i, node in enumerate(view.nodes) if node.op == INPUT)
    ends = tuple(f"%{values[i].name}" for i in view.outputs)
    whole = Definition("whole", "Whole", given, tuple(weights), tuple(items), ends)
    return Graph(
        name,
        "whole",
        {"whole": whole},
        tuple(f"input_{i}" for i in range(len(given))),
        tuple(f"output_{i}" for i in range(len(ends))),
        {"batch": (2,), "length": (8,)},
        facts={"inputs": inputs, "class": name},
    )
