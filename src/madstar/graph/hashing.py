"""A hash of what a graph computes, the same on every machine and whatever its parts are called.

A block is read from its outputs back: each item is numbered after what it needs, in the order of the slots.
So neither names nor the order in which independent items are listed matter, and the record that is hashed
holds the whole structure: equal hashes mean equal graphs. Items that nothing needs follow, ordered by
hashes of their own.

Left out: names of values, items, blocks and parameters, paths, classes, how weights are initialised, the
body of a node (its operation says it already), and whatever is no structure (facts, guesses, symbols'
sizes). Kept: operations, attributes, slots, wiring, the nesting in blocks, runs, shapes, dtypes, which
parameters are trained, and which weights are one tensor. What a block leaves open counts by its position in
the list of open names, as inputs do.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from ..errors import GraphError
from .model import Call, Definition, Graph, Item, Parameter, Shape, Value, Varying
from .paths import join
from .soundness import ordered_definitions
from .varying import differs
from .walk import representatives
from .wiring import given, sources


def structural_hash(graph: Graph, block: str = "", shapes: bool = True) -> str:
    """32 hexadecimal digits for the graph, or for one of its blocks by the definition's name.

    With `shapes=False` the sizes of values and parameters do not count (their number of dimensions neither),
    so that models of one form and different widths are alike; attributes count always. Folded and unfolded
    graphs differ; hash `unfold(graph)` to compare what is computed. Raises GraphError for an unknown block.
    """
    if block and block not in graph.definitions:
        raise GraphError(f"there is no block {block!r} in {graph.name!r}")
    reader = _Reader(graph, shapes)
    root = block or graph.root
    shared = _shared(graph, root, reader) if reader.any_weights else []
    return _digest([reader.blocks[root].digest, shared])


def block_hashes(graph: Graph, shapes: bool = True) -> dict[str, str]:
    """The hash of each definition by name, each without regard to weights shared between its blocks."""
    return {name: block.digest for name, block in _Reader(graph, shapes).blocks.items()}


def canonical_order(graph: Graph) -> dict[str, tuple[list[Item], dict[str, int]]]:
    """For each definition its items in canonical order, and its weights' numbers by path.

    Definitions come in an order that no name decides either: each after those it calls, as the whole needs
    them, itself last.
    """
    blocks = _Reader(graph, shapes=True).blocks
    done: dict[str, tuple[list[Item], dict[str, int]]] = {}
    stack = [graph.root]
    while stack:
        name = stack[-1]
        calls = [item.definition for item in blocks[name].items if isinstance(item, Call)]
        if below := [called for called in dict.fromkeys(calls) if called not in done]:
            stack.append(below[0])
            continue
        done[name] = blocks[name].items, blocks[name].weights
        stack.pop()
    return done


@dataclass(frozen=True)
class _Block:
    digest: str
    items: list[Item]  # in canonical order
    weights: dict[str, int]  # parameters' paths and their canonical numbers


class _Reader:
    def __init__(self, graph: Graph, shapes: bool) -> None:
        self.shapes = shapes
        self.blocks: dict[str, _Block] = {}
        self.open: dict[str, dict[str, int]] = {
            name: {varying: i for i, varying in enumerate(definition.varying)}
            for name, definition in graph.definitions.items()
        }
        for name in ordered_definitions(graph):
            self.blocks[name] = self._read(graph.definitions[name])
        self.any_weights = any(block.weights for block in self.blocks.values())

    def _read(self, definition: Definition) -> _Block:
        own = {f"@{parameter.path}": parameter for parameter in definition.parameters}
        numbers: dict[str, int] = {f"%{v.name}": i for i, v in enumerate(definition.inputs)}
        record: list[Any] = [[self._value(value) for value in definition.inputs]]
        if definition.varying:
            record.append(["open", len(definition.varying)])
        items = self._order(definition)
        names = self.open[definition.name]
        weights: dict[str, int] = {}
        for item in items:
            taken: list[Any] = []
            for source in sources(item):
                if source in own and source[1:] not in weights:
                    weights[source[1:]] = len(weights)
                    record.append(self._parameter(own[source]))
                taken.append([weights[source[1:]]] if source in own else numbers[source])
            record.append([self._label(item, names), taken])
            for value in given(item):
                numbers[f"%{value.name}"] = len(numbers)
        unused = [p for p in definition.parameters if p.path not in weights]
        for parameter in sorted(unused, key=lambda p: (_text(self._parameter(p)), p.path)):
            weights[parameter.path] = len(weights)
            record.append(self._parameter(parameter))
        outputs = [[weights[s[1:]]] if s in own else numbers[s] for s in definition.outputs]
        return _Block(_digest([record, outputs]), items, weights)

    def _order(self, definition: Definition) -> list[Item]:
        made = {f"%{value.name}": item for item in definition.items for value in given(item)}
        placed: set[str] = set()
        order: list[Item] = []

        def place(roots: Iterable[str]) -> None:
            stack: list[tuple[Item | None, Iterable[str]]] = [(None, iter(roots))]
            while stack:
                item, needs = stack[-1]
                for source in needs:
                    before = made.get(source)
                    if before is not None and before.name not in placed:
                        stack.append((before, iter(sources(before))))
                        placed.add(before.name)
                        break
                else:
                    stack.pop()
                    if item is not None:
                        order.append(item)

        place(definition.outputs)
        if len(order) < len(definition.items):
            dead = [item for item in definition.items if item.name not in placed]
            needed = {source for item in dead for source in sources(item)}
            last = [item for item in dead if not any(f"%{value.name}" in needed for value in given(item))]
            marks = self._marks(definition)
            held = {item.name: (marks[item.name], _weights_of(item)) for item in last}
            times = Counter(held.values())
            # Those of one mark that hold the same weights stand together, so that no other order tells.
            for item in sorted(last, key=lambda i: (marks[i.name], -times[held[i.name]], held[i.name])):
                if item.name not in placed:
                    place(sources(item))
                    placed.add(item.name)
                    order.append(item)
        return order

    def _marks(self, definition: Definition) -> dict[str, str]:
        """For each item a hash of all that it is computed from."""
        kinds = {f"@{p.path}": _text(self._parameter(p)) for p in definition.parameters}
        kinds |= {f"%{v.name}": f"input {i}" for i, v in enumerate(definition.inputs)}
        marks: dict[str, str] = {}
        for item in definition.items:
            label = self._label(item, self.open[definition.name])
            marks[item.name] = _digest([label, [kinds[source] for source in sources(item)]])
            for number, value in enumerate(given(item)):
                kinds[f"%{value.name}"] = f"{marks[item.name]} {number}"
        return marks

    def _label(self, item: Item, names: dict[str, int]) -> list[Any]:
        outputs = [self._value(value) for value in item.outputs]
        if not isinstance(item, Call):
            slots = [argument.slot for argument in item.arguments]
            return ["node", item.op, _plain(item.attributes, names), slots, outputs]
        label = ["call", self.blocks[item.definition].digest, item.count, sorted(item.carried), outputs]
        if differs(item):
            within = self.open[item.definition]
            settings = sorted((within[name], _plain(values, names)) for name, values in item.settings)
            places = [[place for place, _ in pairs] for pairs in (item.own, item.gathered)]
            label += [*places, settings]
        return label

    def _value(self, value: Value) -> list[Any]:
        return [value.dtype, self._shape(value.shape)]

    def _parameter(self, parameter: Parameter) -> list[Any]:
        return ["weight", parameter.dtype, parameter.trained, self._shape(parameter.shape)]

    def _shape(self, shape: Shape) -> list[Any]:
        return list(shape) if self.shapes else []


def _shared(graph: Graph, root: str, reader: _Reader) -> list[Any]:
    """Groups of places in the canonical order that hold one tensor: by one path, or tied.

    A place is the way to it: for each call its number and the number of its path, then the weight's number.
    """
    same = representatives(graph)
    places: dict[str, list[tuple[int, ...]]] = {}
    stack: list[tuple[str, str, tuple[int, ...]]] = [(root, "", ())]
    while stack:
        name, base, way = stack.pop()
        block = reader.blocks[name]
        for path, number in block.weights.items():
            full = join(base, path)
            places.setdefault(same.get(full, full), []).append((*way, number))
        for number, item in enumerate(block.items):
            if isinstance(item, Call):
                for turn, path in enumerate(item.paths):
                    stack.append((item.definition, join(base, path), (*way, number, turn)))
    return sorted(sorted(group) for group in places.values() if len(group) > 1)


def _weights_of(item: Item) -> tuple[str, ...]:
    """What weights an item holds, in words that are the same for the same weights."""
    paths = item.paths if isinstance(item, Call) else ()
    return (*paths, *(source for source in sources(item) if source.startswith("@")))


def _plain(value: Any, names: dict[str, int]) -> Any:
    """Attributes so that 1, 1.0 and true stay apart in the record, as they do in Python's JSON."""
    if isinstance(value, tuple):
        return [_plain(part, names) for part in value]
    if isinstance(value, Varying):
        return {"open": names[value.name]}
    return {"float": repr(value)} if isinstance(value, float) else value


def _text(record: Any) -> str:
    return json.dumps(record, separators=(",", ":"))


def _digest(record: Any) -> str:
    return blake2b(_text(record).encode(), digest_size=16).hexdigest()
