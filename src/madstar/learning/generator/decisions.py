"""A graph as the decisions that make it: definitions first, in canonical order, the whole last.

    begin  grade  domain  form  size  width  block*  whole
    block = ("block",) input+ ("body",) item* ("outputs",) pointer+ ("done",)
    whole = as block, with ("whole",): what is given back
    node  = ("node", OP, SLOTS) pointer... [("set", ATTRIBUTES)] [("weights", SHAPES)]
    call  = ("call",) ("which", N) ("times", N) [("carried", PAIRS)] pointer...

A pointer is ("from", N), an input of the block, or ("back", N), the N-th value before. What a node needs is
said in the order of its slots; attributes and shapes of weights are relative (`relative.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from madstar.errors import GraphError
from madstar.graph.causality import CAUSAL
from madstar.graph.checking import check
from madstar.graph.execution.mixing import mixes
from madstar.graph.hashing import canonical_order
from madstar.graph.inference import Inference
from madstar.graph.inference.engine import stated
from madstar.graph.inference.types import Type
from madstar.graph.model import Attribute, Call, Definition, Graph, Item, Node, Shape
from madstar.graph.statistics import statistics
from madstar.graph.varying import differs
from madstar.graph.wiring import given, sources

from ..tokens.writing import found_types
from .relative import (
    CHANNELS,
    VIEWS,
    Inexpressible,
    again,
    channels,
    raw_sizes,
    recalled,
    relative,
    size_term,
    with_rest,
)

Decision = tuple[Any, ...]
SYMBOLS = {"batch": (2, 3), "length": (16, 24)}
STREAMS = ("mixer", "causal", "residual")
"""Forms of what takes one float32[batch, length, width] and gives one of the same type."""
GRADES = ("unmeasured", "best", "middle", "rest")
"""In which third of what was measured a graph stands."""
BEST = GRADES[1]
MOST_TO_RUN = 1 << 26
"""Parameters of a graph that is run to see whether it mixes tokens; of a larger one that is not known."""
FARTHEST = 48
"""How far back a pointer reaches."""


def size_bucket(parameters: int) -> int:
    """Half powers of ten: 0 for none, 1 for up to 3, 8 for up to 10^4."""
    bucket = 0
    while parameters >= 10 ** (bucket / 2) and bucket < 24:
        bucket += 1
    return bucket


def domain_of(graph: Graph) -> str:
    """What the graph's facts say it is for: "domain", else "genome" for what is made of one, else "other"."""
    found = graph.facts.get("domain")
    if isinstance(found, str) and found:
        return found
    return "genome" if str(graph.facts.get("source", "")).startswith("genome:") else "other"


def form_of(graph: Graph) -> str:
    """What the whole takes and gives.

    For one float32[batch, length, width] in and one such out "mixer" where places depend on earlier ones and
    none on a later one, "causal" where that is not seen to bring places together, "residual" where a place
    may depend on a later one; else "other".
    """
    main = graph.main
    types = {f"%{value.name}": Type(value.shape, value.dtype) for value in main.inputs}
    types |= {f"%{v.name}": Type(v.shape, v.dtype) for item in main.items for v in given(item)}
    found = [Type(value.shape, value.dtype) for value in main.inputs]
    if len(found) != 1 or [types.get(ref) for ref in main.outputs] != found:
        return "other"
    if not is_stream(found[0]):
        return "other"
    if not is_causal(graph):
        return "residual"
    return "mixer" if is_mixer(graph) else "causal"


def is_causal(graph: Graph) -> bool:
    """Whether `check` finds that no place of what the graph gives depends on a later one."""
    found = check(graph, causal=True).causality
    return found is not None and found.verdict == CAUSAL


def is_mixer(graph: Graph) -> bool:
    """Whether a causal graph in a layer's place, run with random weights, brings tokens together."""
    if statistics(graph).parameters > MOST_TO_RUN:
        return False
    try:
        return mixes(graph)
    except (GraphError, RuntimeError, ValueError, ArithmeticError):
        return False


def is_stream(type_: Type) -> bool:
    """Whether it is a float32[batch, length, width], what goes from layer to layer."""
    shape = type_.shape
    return type_.dtype == "float32" and shape[:2] == ("batch", "length") and _ends_in_width(shape)


def _ends_in_width(shape: Shape) -> bool:
    return len(shape) == 3 and isinstance(shape[2], int)


def width_of(graph: Graph, form: str) -> int:
    """The width that sizes are said by: that of what goes through, or of most weights' last dimensions."""
    if form in STREAMS:
        return int(graph.main.inputs[0].shape[2])
    counts: dict[int, int] = {}
    for definition in graph.definitions.values():
        for parameter in definition.parameters:
            for size in parameter.shape[-1:]:
                counts[size] = counts.get(size, 0) + (size > 4)
    if counts:
        return max(counts, key=lambda size: (counts[size], size))
    sizes = [dim for value in graph.main.inputs for dim in value.shape[-1:] if isinstance(dim, int)]
    return max(sizes, default=1)


def encode(graph: Graph, domain: str = "", grade: str = GRADES[0]) -> list[Decision]:
    """The decisions that make a graph. Raises Inexpressible for a graph that they cannot make.

    That is one with turns that differ, a block without inputs, buffers, a weight that is used twice in a
    block, types that inference does not find, or a value that is taken from too far back. Weights that
    nothing takes are left out, and those that blocks share become weights of each.
    """
    form = form_of(graph)
    width = width_of(graph, form)
    size = size_bucket(statistics(graph).parameters)
    made: list[Decision] = [("begin",), ("grade", grade), ("domain", domain or domain_of(graph))]
    made += [("form", form), ("size", size), ("width", width)]
    order = canonical_order(graph)
    numbers = {name: number for number, name in enumerate(order)}
    inference = Inference(graph.symbols)
    sizes: tuple[int, ...] = ()
    for name, (items, _) in order.items():
        block = Block(graph.definitions[name], items, numbers, width, inference, sizes)
        made += block.decisions(name == graph.root)
        sizes = block.sizes
    return made


class Block:
    """One definition on its way to decisions."""

    def __init__(
        self,
        definition: Definition,
        items: list[Item],
        numbers: Mapping[str, int],
        width: int,
        inference: Inference,
        sizes: tuple[int, ...],
    ) -> None:
        self.sizes = sizes
        self.block, self.items, self.numbers = definition, items, numbers
        self.width, self.inference = width, inference
        self.values = {f"%{value.name}": number for number, value in enumerate(definition.inputs)}
        self.types = {f"%{v.name}": Type(v.shape, v.dtype) for v in definition.inputs}
        self.own = {f"@{p.path}": p for p in definition.parameters}
        self.used: set[str] = set()
        self.idle = dict.fromkeys(self.values)

    def decisions(self, whole: bool, close: bool = True) -> list[Decision]:
        """All of the block; with `close` False without its end."""
        if self.block.varying or not self.block.inputs:
            raise Inexpressible
        made: list[Decision] = [("whole",) if whole else ("block",)]
        first: list[Shape] = []
        for value in self.block.inputs:
            terms = tuple(size_term(size, (), self.width, first) for size in value.shape)
            terms = again(terms, self.sizes)
            first = first or [value.shape]
            self.sizes = recalled(self.sizes, raw_sizes(terms, self.sizes))
            made.append(("input", value.dtype, terms))
        made.append(("body",))
        for item in self.items:
            made += self._node(item) if isinstance(item, Node) else self._call(item)
            for ref in sources(item):
                self.idle.pop(ref, None)
            for value in given(item):
                self.idle[f"%{value.name}"] = None
                self.values[f"%{value.name}"] = len(self.values)
                self.types[f"%{value.name}"] = Type(value.shape, value.dtype)
        if not close:
            return made
        made.append(("outputs",))
        made += [self._pointer(ref) for ref in self.block.outputs]
        return [*made, ("done",)]

    def _pointer(self, ref: str) -> Decision:
        if ref not in self.values:
            raise Inexpressible  # a weight that is no argument of an operation
        number = self.values[ref]
        if number < len(self.block.inputs):
            return ("from", number)
        if len(self.values) - number > FARTHEST:
            raise Inexpressible
        return ("back", len(self.values) - number)

    def _node(self, node: Node) -> list[Decision]:
        held = [argument for argument in node.arguments if argument.source in self.own]
        taken = [argument for argument in node.arguments if argument.source not in self.own]
        slots = tuple((a.slot, "w" if a.source in self.own else "v") for a in node.arguments)
        made: list[Decision] = [("node", node.op, slots), *(self._pointer(a.source) for a in taken)]
        operands = [self.types[argument.source].shape for argument in taken]
        beside = self._beside({argument.source for argument in taken})
        shapes = []
        for argument in held:
            if argument.source in self.used:
                raise Inexpressible  # one weight in two places
            self.used.add(argument.source)
            weight = self.own[argument.source]
            if not weight.trained and not (node.op == "batch_norm" and argument.slot.startswith("running_")):
                raise Inexpressible  # nothing would say what the buffer holds
            terms = tuple(size_term(size, operands, self.width, beside) for size in weight.shape)
            if argument.slot == "weight" and weight.shape[1:2] == (
                channels(node.op, node.attributes, operands),
            ):
                terms = (terms[0], CHANNELS, *terms[2:])
            terms = again(terms, self.sizes)
            shapes.append((terms, weight.dtype, weight.trained))
        attributes = tuple((n, self._said(node.op, n, v, operands, beside)) for n, v in node.attributes)
        said = raw_sizes(tuple(v for _, v in attributes) if node.op in VIEWS else (), self.sizes)
        said += raw_sizes(tuple(terms for terms, _, _ in shapes), self.sizes)
        self.sizes = recalled(self.sizes, said)
        made.append(("set", attributes))
        if held:
            made.append(("weights", tuple(shapes)))
        tensors = {a.slot: self.types[a.source] for a in taken}
        tensors |= {a.slot: Type(self.own[a.source].shape, self.own[a.source].dtype) for a in held}
        ordered = {a.slot: tensors[a.slot] for a in node.arguments}
        if found_types(self.inference, node.op, ordered, node.attributes) != stated(node.outputs):
            raise Inexpressible
        return made

    def _beside(self, taken: set[str]) -> list[Shape]:
        """The shapes of the first input and of the oldest value that nothing took, nor this node takes."""
        waiting = [ref for ref in self.idle if ref not in taken]
        return [self.block.inputs[0].shape, *(self.types[ref].shape for ref in waiting[:1])]

    def _said(self, op: str, name: str, value: Attribute, operands: list[Shape], beside: list[Shape]) -> Any:
        said = relative(value, operands, self.width, beside)
        if VIEWS.get(op) != name or not isinstance(value, tuple) or not operands:
            return said
        sizes = [size for size in value if isinstance(size, (int, str)) and not isinstance(size, bool)]
        if op != "expand" and len(sizes) == len(value):
            said = with_rest(said, sizes, operands[0])
        return again(said, self.sizes)

    def _call(self, call: Call) -> list[Decision]:
        if differs(call):
            raise Inexpressible
        made: list[Decision] = [
            ("call",),
            ("which", self.numbers[self.block.name] - self.numbers[call.definition]),
        ]
        made.append(("times", call.count))
        if call.count > 1:
            made.append(("carried", tuple(sorted(call.carried))))
        return made + [self._pointer(ref) for ref in call.arguments]
