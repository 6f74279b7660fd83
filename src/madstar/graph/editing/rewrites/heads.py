"""How the numbers that a linear layer gives are arranged as heads, whatever is between.

A layer may make queries, keys and values at once, in any order; views, splits and transpositions then lay
them out. What they do is found by doing it: the operations are computed with numbers that say where they
come from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ... import dims
from ...inference import Type
from ...model import Call, Definition, Dim, Graph, Item, Node, Shape, Value
from ..following import Use, sources
from .linears import linear_of

if TYPE_CHECKING:
    from torch import Tensor

MOVES = frozenset(
    "view reshape transpose permute split chunk unbind getitem narrow contiguous clone unflatten flatten "  # noqa: SIM905
    "squeeze unsqueeze select movedim swapaxes".split()
)

_LARGEST = 1 << 25
"""Numbers that are laid out to see how; a layer that gives more at the sizes traced is not followed."""


@dataclass(frozen=True)
class Heads:
    """Numbers of a linear layer laid out as heads.

    `maker` is the layer's item (a node, or a block that is one), `ref` the last value in which its
    numbers are only moved. `order` says for each dimension of it which of [*leading dimensions, heads, width]
    it is; `rows[h][d]` which number of the layer stands there. Where it is not `split` there is one head.
    Where heads are merged with another dimension, as [batch*heads, length, width], `order` is that before,
    and `merged` the shape of the value.
    """

    maker: Item
    ref: str
    order: tuple[int, ...]
    rows: tuple[tuple[int, ...], ...]
    split: bool
    merged: tuple[Dim, ...] = ()

    @property
    def dim(self) -> int:
        """The dimension of heads."""
        return self.order.index(len(self.order) - 2)


def reaching(use: Use, ref: str) -> tuple[list[Item], set[str]]:
    """The linear layers of the block that a value comes from, and the names of all items on the way."""
    todo, reached, found = [ref], set(), []
    while todo:
        made = use.makers.get(todo.pop())
        if made is None or made[0].name in reached:
            continue
        item = made[0]
        reached.add(item.name)
        if is_linear(use, item):
            found.append(item)
            continue
        todo += item.arguments if isinstance(item, Call) else sources(item).values()
    return found, reached


def is_linear(use: Use, item: Item) -> bool:
    """Whether an item is a linear layer: a node, or a block of one with views around it."""
    if isinstance(item, Node):
        return linear_of(item) is not None
    block = use.table[item.definition]
    return inner_linear(block) is not None


def inner_linear(block: Definition) -> Node | None:
    """The linear layer that a block is, with nothing but views around it."""
    if len(block.inputs) != 1 or len(block.outputs) != 1:
        return None
    found = None
    for item in block.items:
        if isinstance(item, Call):
            return None
        if linear_of(item) is not None and found is None:
            found = item
        elif item.op not in ("view", "reshape", "contiguous", "flatten", "unflatten"):
            return None
    return found


def heads_of(graph: Graph, use: Use, ref: str) -> Heads | None:
    """What a value is of the one linear layer that it comes from; None where that is not so."""
    layers, reached = reaching(use, ref)
    if len(layers) != 1:
        return None
    maker = layers[0]
    start = ref_now = f"%{maker.outputs[0].name}"
    moves: list[Node] = []
    passed: list[str] = [start]
    while ref_now != ref:
        takers = [item for item in use.users.get(ref_now, ()) if item.name in reached]
        item = takers[0] if len(takers) == 1 else None
        if not isinstance(item, Node) or item.op not in MOVES or len(item.arguments) != 1:
            break
        given = [f"%{value.name}" for value in item.outputs]
        given = [
            each for each in given if each == ref or any(i.name in reached for i in use.users.get(each, ()))
        ]
        if len(given) != 1:
            break
        moves.append(item)
        ref_now = given[0]
        passed.append(ref_now)
    # A part of the places is no layout of all: then the last value that has all.
    for count in range(len(moves), -1, -1):
        found = _moved(graph, use, start, moves[:count], passed[count])
        layout = None if found is None else _layout(found, maker, passed[count])
        if layout is None and found is not None:
            layout = _merged(found, maker, passed[count], use.types[passed[count]].shape)
        if layout is not None:
            return layout
    return None


def _merged(found: tuple[Tensor, tuple[int, ...]], maker: Item, ref: str, shape: Shape) -> Heads | None:
    """The layout of what has heads behind one of the leading dimensions, in one dimension with it."""
    moved, before = found
    for size in before[:-1]:
        for dim in range(moved.dim() - 1):
            if size > 1 and moved.shape[dim] % size == 0 and moved.shape[dim] > size:
                split = moved.unflatten(dim, (size, -1))
                layout = _layout((split, before), maker, ref)
                if layout is not None and layout.split and layout.dim == dim + 1:
                    return replace(layout, merged=shape)
    return None


def _layout(found: tuple[Tensor, tuple[int, ...]], maker: Item, ref: str) -> Heads | None:
    """The layout of numbers that say where they come from, in a tensor of the given shape."""
    import torch

    moved, shape = found
    *leading, numbers = shape
    order = [-1] * moved.dim()
    parts, step = [], numbers
    for place in reversed(range(len(leading))):
        size = leading[place]
        steps = torch.arange(size) * step
        dims_ = [d for d in range(moved.dim()) if order[d] < 0 and moved.shape[d] == size]
        dim = next((d for d in dims_ if torch.equal(_line(moved, d) - moved.flatten()[0], steps)), None)
        if dim is None:
            return None
        order[dim] = place
        parts.append(steps.reshape([size if d == dim else 1 for d in range(moved.dim())]))
        step *= size
    rest = [dim for dim, place in enumerate(order) if place < 0]
    if not 1 <= len(rest) <= 2:
        return None
    for number, dim in enumerate(rest, len(leading) + 2 - len(rest)):
        order[dim] = number
    first = moved[tuple(slice(None) if dim in rest else slice(1) for dim in range(moved.dim()))]
    if not torch.equal(sum(parts, first), moved):
        return None
    rows = first.reshape(-1, first.shape[rest[-1]])
    return Heads(maker, ref, tuple(order), tuple(tuple(row) for row in rows.tolist()), len(rest) == 2)


def _line(moved: Tensor, dim: int) -> Tensor:
    """What stands along one dimension, at the beginning of all others."""
    return moved[tuple(slice(None) if d == dim else 0 for d in range(moved.dim()))]


def _moved(
    graph: Graph, use: Use, start: str, moves: list[Node], ref: str
) -> tuple[Tensor, tuple[int, ...]] | None:
    """What moves do to numbers that say where they come from, and the shape these have at the beginning."""
    import torch

    from ...execution import build

    sizes = {name: traced[0] for name, traced in graph.symbols.items()}
    names = {
        dim for value in _stated(use, start, moves) for size in value.shape for dim in dims.symbols(size)
    }
    if not names <= set(sizes):
        return None
    value = _stated(use, start, moves)[0]
    shape = tuple(dims.evaluate(size, sizes) for size in value.shape)
    items = tuple(_at(node, sizes) for node in moves)
    block = Definition("Moves", "Moves", (Value(value.name, shape, "int64"),), (), items, (ref,))
    small = Graph("moves", "Moves", {"Moves": block}, ("input",), ("output",))
    if torch.Size(shape).numel() > _LARGEST:
        return None
    numbers = torch.arange(torch.Size(shape).numel()).reshape(shape)
    try:
        made = build(small)(numbers)
    except Exception:
        return None
    found = next(iter(made.values())) if isinstance(made, Mapping) else made
    return (found, shape) if isinstance(found, torch.Tensor) else None


def _stated(use: Use, start: str, moves: list[Node]) -> list[Value]:
    maker = use.makers[start][0]
    return [*maker.outputs[:1], *(value for node in moves for value in node.outputs)]


def _at(node: Node, sizes: Mapping[str, int]) -> Node:
    """The node at given sizes, on whole numbers."""

    def at(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(at(part) for part in value)
        if isinstance(value, str) and dims.is_canonical(value) and dims.symbols(value) <= set(sizes):
            return dims.evaluate(value, sizes)
        return value

    outputs = tuple(
        Value(v.name, tuple(dims.evaluate(size, sizes) for size in v.shape), "int64") for v in node.outputs
    )
    attributes = tuple((slot, at(value)) for slot, value in node.attributes)
    return replace(node, outputs=outputs, attributes=attributes, path="", body=())


def sized(type_: Type, last: int) -> Type:
    """A type with another last size."""
    return Type((*type_.shape[:-1], last), type_.dtype)
