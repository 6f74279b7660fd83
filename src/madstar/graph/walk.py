"""Everywhere a graph computes and every weight it has, with full paths.

A walk of the graph as it is written visits each node once, with the number of times it is computed; a walk
with `unfolded=True` visits each of these times, with its own path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches
from fnmatch import fnmatchcase

from ..errors import GraphError
from .model import Call, Definition, Graph, Item, Node, Parameter
from .paths import join
from .varying import Binding, bindings, bound_item
from .wiring import given, positions, sources


@dataclass(frozen=True, slots=True)
class Place:
    """Where an item stands: the full path of its block, the block, how many blocks are around it.

    `count` is how often the item is computed in the whole graph at this place of the folded graph; it is 1
    in an unfolded walk, where what a block leaves open is set too. The path is that of the first.
    """

    block: str
    definition: Definition
    item: Item
    depth: int
    count: int

    @property
    def path(self) -> str:
        """The full path of the module that the item is, or its block's and its name: "layers.0:add_1"."""
        if isinstance(self.item, Call):
            return join(self.block, self.item.paths[0])
        return join(self.block, self.item.path) if self.item.path else f"{self.block}:{self.item.name}"


def walk(graph: Graph, unfolded: bool = False) -> Iterator[Place]:
    """All nodes and calls in the order of computation, a call before what it holds."""
    stack: list[tuple[Iterator[Place], Binding]] = [(_items(graph, graph.root, "", 0, 1, {}), {})]
    while stack:
        place = next(stack[-1][0], None)
        if place is None:
            stack.pop()
        elif isinstance(place.item, Call) and unfolded and place.item.count > 1:
            stack.append((_each(place, place.item), stack[-1][1]))
        else:
            yield place
            if isinstance(call := place.item, Call):
                inner = next(bindings(call, stack[-1][1])) if unfolded else {}
                count = place.count * call.count
                items = _items(graph, call.definition, place.path, place.depth + 1, count, inner)
                stack.append((items, inner))


def nodes(graph: Graph, unfolded: bool = False) -> Iterator[Place]:
    """As `walk`, only the nodes."""
    return (place for place in walk(graph, unfolded) if isinstance(place.item, Node))


def _items(graph: Graph, name: str, block: str, depth: int, count: int, binding: Binding) -> Iterator[Place]:
    definition = graph.definitions[name]
    return (Place(block, definition, bound_item(i, binding), depth, count) for i in definition.items)


def _each(place: Place, run: Call) -> Iterator[Place]:
    """The turns of a run as calls of one path; what is carried stands as the first turn takes it."""
    for turn, path in enumerate(run.paths):
        arguments, outputs = list(run.arguments), list(run.outputs)
        for position, refs in run.own:
            arguments[position] = refs[turn]
        for position, names in run.gathered if turn < run.count - 1 else ():
            outputs[position] = replace(outputs[position], name=names[turn])
        settings = tuple((name, values[turn : turn + 1]) for name, values in run.settings)
        copy = Call(run.name, run.definition, (path,), tuple(arguments), tuple(outputs), settings=settings)
        yield Place(place.block, place.definition, copy, place.depth, 1)


def parameters(graph: Graph) -> dict[str, Parameter]:
    """Every weight and buffer by its full path ("model.layers.17.self_attn.q_proj.weight"), in order of use.

    The `Parameter` is its definition's, its own path relative. Tied ones are listed each.
    """
    found: dict[str, Parameter] = {}
    for block, definition in blocks(graph):
        for parameter in definition.parameters:
            found.setdefault(join(block, parameter.path), parameter)
    return found


def blocks(graph: Graph) -> Iterator[tuple[str, Definition]]:
    """Each block by its full path, in order of use; one that is used twice under one path comes once."""
    seen: set[tuple[str, str]] = set()
    stack: list[tuple[str, str]] = [(graph.root, "")]
    while stack:
        name, block = stack.pop()
        if (name, block) in seen:
            continue
        seen.add((name, block))
        definition = graph.definitions[name]
        yield block, definition
        for item in reversed(definition.items):
            if isinstance(item, Call):
                stack += [(item.definition, join(block, path)) for path in reversed(item.paths)]


def representatives(graph: Graph) -> dict[str, str]:
    """For each tied path the first path of its group, under which the tensor is counted."""
    return {path: group[0] for group in graph.tied for path in group}


def find(graph: Graph, pattern: str) -> list[Place]:
    """The items, one for each time they are computed, whose full path fits a pattern.

    In a pattern `*` stands for anything, `?` for one character, and `[0-9]` for one of a range:
    "*.q_proj", "model.layers.1?.mlp". Raises GraphError where nothing fits, with the nearest paths.
    """
    places = [place for place in walk(graph, unfolded=True) if fnmatchcase(place.path, pattern)]
    if not places:
        paths = list(dict.fromkeys(place.path for place in walk(graph) if place.path))[:5000]
        near = get_close_matches(pattern, paths, n=3, cutoff=0.0)
        raise GraphError(f"nothing in {graph.name!r} has a path like {pattern!r}; nearest: {', '.join(near)}")
    return places


def producers(definition: Definition) -> dict[str, tuple[Item, int]]:
    """By reference ("%name") the item of the block that gives it, and which of its outputs it is."""
    return {
        f"%{value.name}": (item, number)
        for item in definition.items
        for number, value in zip(positions(item), given(item), strict=True)
    }


def users(definition: Definition) -> dict[str, list[Item]]:
    """By reference the items of the block that take it, in order."""
    found: dict[str, list[Item]] = {}
    for item in definition.items:
        for source in dict.fromkeys(sources(item)):
            found.setdefault(source, []).append(item)
    return found
