"""Unfolding: every use of a block written out as a call of its own; groups that are no modules dissolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..errors import GraphError
from .model import Call, Definition, Graph, Item, Parameter
from .paths import SEQUENCE, SEQUENCE_MODULE, join
from .soundness import MAX_ITEMS, ordered_definitions
from .varying import Binding, bindings, bound_item, differs, key_of
from .wiring import given, renamed, rewired, sources


def unfold(graph: Graph) -> Graph:
    """The same computation without runs (each call has one path) and without blocks made by folding.

    Equal blocks stay one definition; one that leaves something open becomes one for each way that it is set.
    Raises GraphError where that would be more than 10 million items.
    """
    order = ordered_definitions(graph)
    ways = _ways(graph, order)
    written: dict[tuple[str, str], Definition] = {}
    names = set(order)
    total = 0
    for name in order:
        for number, (key, binding) in enumerate(ways[name].items()):
            block = graph.definitions[name]
            if key:
                block = replace(block, name=_unused(name, names) if number else name, varying=())
            written[name, key] = _Writer(block, binding, written, graph.definitions).definition()
            total += len(written[name, key].items)
            if total > MAX_ITEMS:
                raise GraphError(f"block {name!r}: more than {MAX_ITEMS:,} items when unfolded")
    unfolded = replace(graph, definitions={block.name: block for block in written.values()})
    used = reversed(ordered_definitions(unfolded))
    return replace(unfolded, definitions={name: unfolded.definitions[name] for name in used})


def _ways(graph: Graph, order: list[str]) -> dict[str, dict[str, Binding]]:
    """For each definition all that its open names stand for, somewhere in the whole."""
    ways: dict[str, dict[str, Binding]] = {name: {} for name in order}
    ways[graph.root][""] = {}
    for name in reversed(order):
        for outer in ways[name].values():
            for item in graph.definitions[name].items:
                if isinstance(item, Call):
                    found = ways[item.definition]
                    for binding in bindings(item, outer) if item.settings else ({},):
                        found.setdefault(key_of(binding), binding)
    return ways


def is_sequence(definition: Definition) -> bool:
    """Whether a block is no module: a group of items that folding has made a block."""
    return definition.kind == SEQUENCE and definition.module == SEQUENCE_MODULE


class _Writer:
    """Writes the items of one block out, bound, with fresh names for values that had none."""

    def __init__(
        self,
        block: Definition,
        binding: Binding,
        written: dict[tuple[str, str], Definition],
        folded: Mapping[str, Definition],
    ) -> None:
        self.block, self.binding = block, binding
        self.written, self.folded = written, folded
        self.items: list[Item] = []
        self.parameters: dict[str, Parameter] = {p.path: p for p in block.parameters}
        self.values = {v.name for v in block.inputs} | {v.name for i in block.items for v in given(i)}
        self.names = {item.name for item in block.items}

    def definition(self) -> Definition:
        if not self.binding and not any(
            isinstance(item, Call)
            and (item.count > 1 or differs(item) or is_sequence(self.folded[item.definition]))
            for item in self.block.items
        ):
            return self.block
        known: dict[str, str] = {}
        for item in self.block.items:
            if isinstance(item, Call):
                self._run(item, known)
            else:
                self.items.append(bound_item(_refer(item, known), self.binding))
        outputs = tuple(known.get(source, source) for source in self.block.outputs)
        return replace(
            self.block,
            items=tuple(self.items),
            parameters=tuple(self.parameters.values()),
            outputs=outputs,
        )

    def _run(self, call: Call, known: dict[str, str]) -> None:
        arguments = [known.get(source, source) for source in call.arguments]
        own = [(place, [known.get(ref, ref) for ref in refs]) for place, refs in call.own]
        for turn, (path, binding) in enumerate(zip(call.paths, bindings(call, self.binding), strict=True)):
            for place, refs in own:
                arguments[place] = refs[turn]
            inside = self.written[call.definition, key_of(binding)]
            last = turn == call.count - 1
            if is_sequence(inside):
                made = self._inline(inside, path, arguments)
                if last:
                    known |= {f"%{v.name}": source for v, source in zip(call.outputs, made, strict=True)}
                else:
                    known |= {f"%{names[turn]}": made[place] for place, names in call.gathered}
            else:
                outputs = call.outputs
                if not last:
                    named = {place: names[turn] for place, names in call.gathered}
                    outputs = tuple(
                        replace(v, name=named.get(place) or _unused(v.name, self.values))
                        for place, v in enumerate(outputs)
                    )
                name = call.name if last else self._name(call.name)
                self.items.append(Call(name, inside.name, (path,), tuple(arguments), outputs))
                made = [f"%{value.name}" for value in outputs]
            for output, argument in call.carried:
                arguments[argument] = made[output]

    def _inline(self, inside: Definition, path: str, arguments: list[str]) -> list[str]:
        known = {f"%{v.name}": source for v, source in zip(inside.inputs, arguments, strict=True)}
        for parameter in inside.parameters:
            full = join(path, parameter.path)
            known[f"@{parameter.path}"] = f"@{full}"
            self.parameters.setdefault(full, replace(parameter, path=full))
        for item in inside.items:
            names = [_unused(value.name, self.values) for value in given(item)]
            copy = replace(renamed(_refer(item, known), names), name=self._name(item.name))
            if isinstance(copy, Call):
                copy = replace(copy, paths=tuple(join(path, inner) for inner in copy.paths))
            elif copy.path:
                copy = replace(copy, path=join(path, copy.path))
            self.items.append(copy)
            for old, new in zip(given(item), names, strict=True):
                known[f"%{old.name}"] = f"%{new}"
        return [known.get(source, source) for source in inside.outputs]

    def _name(self, name: str) -> str:
        return _unused(name, self.names)


def _refer(item: Item, known: dict[str, str]) -> Item:
    """The item with what it takes renamed."""
    taken = sources(item)
    if not any(source in known for source in taken):
        return item
    return rewired(item, [known.get(source, source) for source in taken])


def _unused(name: str, taken: set[str]) -> str:
    number = len(taken)
    fresh = name
    while fresh in taken:
        number += 1
        fresh = f"{name}.{number}"
    taken.add(fresh)
    return fresh
