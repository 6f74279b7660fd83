"""Whether a graph holds together: every name resolves, order is that of computation, sizes are within limits.

Everything else in this room may rely on a graph that passed. It says nothing about whether shapes fit the
operations. The limits keep a file of a few lines from standing for 10^9 nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any

from ..errors import GraphError
from .dims import is_canonical
from .model import Call, Definition, Graph, Node, Value
from .sound_calls import Type, check_call, check_own, is_attribute
from .varying import attributes_of, open_names
from .wiring import given
from .wiring import sources as sources

MAX_ITEMS = 10_000_000
"""Nodes that a graph may have when nothing is folded."""
MAX_NESTING = 200
"""Blocks within blocks."""
MAX_NAME = 1000
MAX_RANK = 64


def check_sound(graph: Graph) -> None:
    """Raise GraphError, naming block and item, unless the graph is sound."""
    order = ordered_definitions(graph)
    if unused := sorted(set(graph.definitions) - set(order)):
        raise GraphError(f"block {unused[0]!r} is defined but never called; remove it, or call it")
    for name in order:
        if graph.definitions[name].name != name:
            raise GraphError(f"block {name!r} calls itself {graph.definitions[name].name!r}; use one name")
        _check_definition(graph.definitions[name], graph.definitions)
    _check_sizes(graph, order)
    main = graph.main
    if main.varying:
        raise GraphError(f"block {main.name!r} leaves {main.varying[0]!r:.80} open and is the whole: set it")
    if len(graph.input_names) != len(main.inputs) or len(graph.output_names) != len(main.outputs):
        raise GraphError(
            f"block {main.name!r}: {len(main.inputs)} inputs and {len(main.outputs)} outputs, but names for "
            f"{len(graph.input_names)} and {len(graph.output_names)}"
        )
    for symbol, sizes in graph.symbols.items():
        if not symbol.isidentifier() or not sizes or not all(_is_size(size) for size in sizes):
            raise GraphError(f"symbol {symbol!r}: give the sizes at which it was traced, all at least 1")


def ordered_definitions(graph: Graph) -> list[str]:
    """The names of all definitions that the root needs, each after those it calls.

    Raises GraphError for a call of what is not defined, a block that contains itself, and deep nesting.
    """
    if graph.root not in graph.definitions:
        raise GraphError(f"the root {graph.root!r} is not among the graph's {len(graph.definitions)} blocks")
    done: dict[str, int] = {}
    entered: set[str] = {graph.root}
    stack: list[tuple[str, Iterator[str]]] = [(graph.root, _called(graph, graph.root))]
    while stack:
        name, calls = stack[-1]
        child = next(calls, None)
        if child is None:
            depth = 1 + max((done[c] for c in _called(graph, name)), default=0)
            if depth > MAX_NESTING:
                raise GraphError(f"block {name!r}: blocks are nested more than {MAX_NESTING} deep")
            done[name] = depth
            entered.discard(name)
            stack.pop()
        elif child in entered:
            raise GraphError(f"block {child!r} contains itself, by way of {name!r}; a graph has no recursion")
        elif child not in done:
            entered.add(child)
            stack.append((child, _called(graph, child)))
    return list(done)


def unfolded_sizes(graph: Graph) -> dict[str, int]:
    """For each definition the number of nodes that it stands for when every call is written out."""
    sizes: dict[str, int] = {}
    for name in ordered_definitions(graph):
        sizes[name] = sum(
            1 if isinstance(item, Node) else item.count * sizes[item.definition]
            for item in graph.definitions[name].items
        )
    return sizes


def _called(graph: Graph, name: str) -> Iterator[str]:
    for item in graph.definitions[name].items:
        if isinstance(item, Call):
            if item.definition not in graph.definitions:
                raise GraphError(f"block {name!r}, call {item.name!r}: there is no block {item.definition!r}")
            yield item.definition


def _check_sizes(graph: Graph, order: list[str]) -> None:
    written: dict[str, int] = {}  # nodes and calls, so that empty blocks cost too
    for name in order:
        written[name] = 1 + sum(
            1 if isinstance(item, Node) else item.count * written[item.definition]
            for item in graph.definitions[name].items
        )
        if written[name] > MAX_ITEMS:
            raise GraphError(f"block {name!r} stands for more than {MAX_ITEMS:,} nodes when written out")


def _check_definition(definition: Definition, table: Mapping[str, Definition]) -> None:
    place = f"block {definition.name!r}"
    known: dict[str, Type] = {}
    for parameter in definition.parameters:
        if f"@{parameter.path}" in known:
            raise GraphError(f"{place}: parameter {parameter.path!r} is listed twice")
        if not parameter.path or not all(_is_size(size, least=0) for size in parameter.shape):
            raise GraphError(f"{place}: parameter {parameter.path!r} needs a path and a shape of numbers")
        known[f"@{parameter.path}"] = parameter.shape, parameter.dtype
    for value in definition.inputs:
        _define(value, known, place)
    open_here = set(definition.varying)
    if len(open_here) < len(definition.varying) or not all(map(_is_name, open_here)):
        raise GraphError(f"{place}: `varying` must be names, each once")
    items: set[str] = set()
    for item in definition.items:
        where = f"{place}, {'node' if isinstance(item, Node) else 'call'} {item.name!r}"
        if item.name in items or not _is_name(item.name):
            raise GraphError(f"{where}: the name is taken or no name; names are unique in a block")
        items.add(item.name)
        if isinstance(item, Call):
            check_own(item, where)
        for source in sources(item):
            if source not in known:
                raise GraphError(
                    f"{where}: {source!r} is not known here; it must be an input, a parameter or given before"
                )
        if isinstance(item, Node):
            _check_node(item, where)
        else:
            check_call(item, table[item.definition], known, where)
        for value in attributes_of(item):
            for name in open_names(value):
                if name not in open_here:
                    raise GraphError(f"{where}: {name!r:.80} is open, and not among the block's `varying`")
        for value in given(item):
            _define(value, known, where)
    for source in definition.outputs:
        if source not in known:
            raise GraphError(f"{place}: its output {source!r} is nowhere given")


def _define(value: Value, known: dict[str, Type], where: str) -> None:
    reference = f"%{value.name}"
    if reference in known or not _is_name(value.name):
        raise GraphError(f"{where}: the value {value.name!r} is given before, or that is no name")
    if len(value.shape) > MAX_RANK:
        raise GraphError(f"{where}: the value {value.name!r} has {len(value.shape)} dimensions")
    for dim in value.shape:
        if (isinstance(dim, int) and not _is_size(dim, least=0)) or not is_canonical(dim):
            raise GraphError(f"{where}: {dim!r:.60} in the shape of {value.name!r} is no canonical size")
    if not value.dtype.isidentifier():
        raise GraphError(f"{where}: {value.dtype!r:.60} is no dtype; write it as in 'float32'")
    known[reference] = value.shape, value.dtype


def _check_node(node: Node, where: str) -> None:
    slots = [argument.slot for argument in node.arguments]
    if len(set(slots)) < len(slots):
        raise GraphError(f"{where}: a slot is filled twice; a list has slots 'tensors.0', 'tensors.1'")
    names = [name for name, _ in node.attributes]
    if any(left >= right for left, right in pairwise(names)):
        raise GraphError(f"{where}: attributes must be sorted by name, each given once")
    if not node.op:
        raise GraphError(f"{where}: has no operation")
    for name, value in node.attributes:
        if not is_attribute(value):
            raise GraphError(f"{where}: attribute {name!r} is no plain data (numbers, text, tuples of these)")


def _is_name(name: str) -> bool:
    return 0 < len(name) <= MAX_NAME and not any(c.isspace() or not c.isprintable() for c in name)


def _is_size(size: Any, least: int = 1) -> bool:
    return isinstance(size, int) and not isinstance(size, bool) and size >= least
