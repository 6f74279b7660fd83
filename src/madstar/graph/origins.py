"""Where a size or a dtype comes from: back from a value, through blocks, to what set it.

A size is followed through every operation that hands it on: through a linear layer all but the last, which
its weight sets. Where several arguments have the size, the first is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .inference import BlockTypes, Type
from .model import Argument, Call, Definition, Graph, Item, Node
from .paths import join
from .walk import producers

_MAX_STEPS = 10_000


@dataclass(frozen=True)
class Frame:
    """A definition where it is used: its full path, and the call and frame that it is used from."""

    graph: Graph
    types: Mapping[str, BlockTypes]
    definition: Definition
    path: str
    call: Call | None = None
    parent: Frame | None = None

    def inside(self, call: Call) -> Frame:
        """The frame of a call's first module."""
        inner = self.graph.definitions[call.definition]
        return Frame(self.graph, self.types, inner, join(self.path, call.paths[0]), call, self)

    def type_of(self, ref: str) -> Type:
        """What is inferred of a reference."""
        return self.types[self.definition.name].types[ref]

    def name_of(self, item: Item) -> str:
        """The full path of a node or call, its module's or its block's with its own name."""
        if isinstance(item, Call):
            return join(self.path, item.paths[0])
        return join(self.path, item.path) if item.path else f"{self.path}:{item.name}"


def origin(frame: Frame, ref: str, dim: int | None, dtype: bool = False) -> str:
    """Words for what set a dimension of a value, or its dtype, or without either what made it."""
    for _ in range(_MAX_STEPS):
        if ref.startswith("@"):
            return f"parameter {join(frame.path, ref[1:])} {frame.type_of(ref)}"
        inputs = [f"%{value.name}" for value in frame.definition.inputs]
        if ref in inputs:
            position = inputs.index(ref)
            if frame.parent is None or frame.call is None:
                return f"input {frame.graph.input_names[position]} {frame.type_of(ref)}"
            ref, frame = frame.call.arguments[position], frame.parent
            continue
        item, number = producers(frame.definition)[ref]
        if isinstance(item, Call):
            frame = frame.inside(item)
            ref = frame.definition.outputs[number]
            continue
        step = _dtype_from(frame, item, ref) if dtype else _size_from(frame, item, ref, dim)
        if step is None:
            return _said(frame, item, ref, dim)
        ref, dim = step
    return ""


def _said(frame: Frame, node: Node, ref: str, dim: int | None) -> str:
    text = f"{node.op} {frame.name_of(node)}"
    given = frame.type_of(ref)
    if dim is not None and dim < len(given.shape):
        for argument in node.arguments:
            found = frame.type_of(argument.source)
            if argument.source.startswith("@") and given.shape[dim] in found.shape:
                return f"{text} with {argument.source} {found}"
    return text


_Step = tuple[str, int | None] | None


def _dtype_from(frame: Frame, node: Node, ref: str) -> _Step:
    dtype = frame.type_of(ref).dtype
    if node.op in ("to", "constant") or any(slot == "dtype" for slot, _ in node.attributes):
        return None
    given = next((a for a in node.arguments if frame.type_of(a.source).dtype == dtype), None)
    return (given.source, None) if given is not None else None


# Of the sizes of the results, counted from the back: the slot they are from and where there; None sets them.
_PRODUCTS: dict[str, dict[int, tuple[str, int]]] = {
    "matmul": {1: ("other", 1), 2: ("input", 2)},
    "mm": {1: ("mat2", 1), 2: ("input", 2)},
    "bmm": {1: ("mat2", 1), 2: ("input", 2), 3: ("input", 3)},
    "addmm": {1: ("mat2", 1), 2: ("mat1", 2)},
    "baddbmm": {1: ("batch2", 1), 2: ("batch1", 2), 3: ("batch1", 3)},
    "scaled_dot_product_attention": {1: ("value", 1), 2: ("query", 2), 3: ("query", 3), 4: ("query", 4)},
}


def _size_from(frame: Frame, node: Node, ref: str, dim: int | None) -> _Step:
    """The argument, and the dimension of it, from which a node hands on a size; None where it sets it."""
    made = frame.type_of(ref)
    if dim is None or dim >= len(made.shape):
        return None
    rank, back = len(made.shape), len(made.shape) - dim
    slots = {a.slot: a for a in node.arguments}
    if node.op == "linear" or node.op == "embedding":
        return None if back == 1 else _at(frame, slots.get("input"), dim)
    if node.op.startswith("conv"):
        given = slots.get("input")
        same = given is not None and dim == 0 and len(frame.type_of(given.source).shape) == rank
        return _at(frame, given, 0) if same else None
    if (product := _PRODUCTS.get(node.op)) is not None:
        slot, place = product.get(back, ("input", back))
        argument = slots.get(slot)
        if argument is None:
            return None
        return _at(frame, argument, len(frame.type_of(argument.source).shape) - place)
    attributes = dict(node.attributes)
    if node.op in ("transpose", "permute", "movedim", "t", "mT"):
        return _turned(frame, slots.get("input"), node.op, attributes, dim, rank)
    if node.op in ("cat", "stack") and attributes.get("dim", 0) in (dim, dim - rank):
        return None
    return _alike(frame, node, made, dim)


def _at(frame: Frame, argument: Argument | None, dim: int) -> _Step:
    if argument is None or not 0 <= dim < len(frame.type_of(argument.source).shape):
        return None
    return argument.source, dim


def _turned(
    frame: Frame, given: Argument | None, op: str, attributes: Mapping[str, object], dim: int, rank: int
) -> _Step:
    order = list(range(rank))
    if op == "permute" and isinstance(dims := attributes.get("dims"), tuple):
        order = [d % rank for d in dims if isinstance(d, int)]
    elif op == "transpose":
        pair = [attributes.get("dim0"), attributes.get("dim1")]
        a, b = (d % rank if isinstance(d, int) else 0 for d in pair)
        order[a], order[b] = order[b], order[a]
    elif rank > 1:
        order[-1], order[-2] = order[-2], order[-1]
    return _at(frame, given, order[dim]) if dim < len(order) else None


def _alike(frame: Frame, node: Node, made: Type, dim: int) -> _Step:
    """Elementwise, views, slices: the same size at the same place from the front or from the back."""
    size = made.shape[dim]
    for argument in node.arguments:
        given = frame.type_of(argument.source).shape
        back = dim - len(made.shape)
        if -back <= len(given) and given[back] == size and made.shape[dim:] == given[back:]:
            return argument.source, len(given) + back
        if dim < len(given) and given[: dim + 1] == made.shape[: dim + 1]:
            return argument.source, dim
    for argument in node.arguments:
        given = frame.type_of(argument.source).shape
        if len(given) == len(made.shape) and given[dim] == size:
            return argument.source, dim
    return None
