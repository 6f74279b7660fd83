"""Unfolding: every use of a block written out as a call of its own; groups that are no modules dissolved."""

from __future__ import annotations

from dataclasses import replace

from ..errors import GraphError
from .model import Argument, Call, Definition, Graph, Item, Parameter, Value
from .paths import SEQUENCE, SEQUENCE_MODULE, join
from .soundness import MAX_ITEMS, ordered_definitions, sources


def unfold(graph: Graph) -> Graph:
    """The same computation without runs (each call has one path) and without blocks made by folding.

    Equal blocks stay one definition. Raises GraphError where that would be more than 10 million items.
    """
    written: dict[str, Definition] = {}
    for name in ordered_definitions(graph):
        written[name] = _Writer(graph.definitions[name], written).definition()
        if sum(len(definition.items) for definition in written.values()) > MAX_ITEMS:
            raise GraphError(f"block {name!r}: more than {MAX_ITEMS:,} items when unfolded")
    unfolded = replace(graph, definitions=written)
    used = reversed(ordered_definitions(unfolded))
    return replace(unfolded, definitions={name: written[name] for name in used})


def _is_sequence(definition: Definition) -> bool:
    return definition.kind == SEQUENCE and definition.module == SEQUENCE_MODULE


class _Writer:
    """Writes the items of one block out, with fresh names for values that had none."""

    def __init__(self, block: Definition, table: dict[str, Definition]) -> None:
        self.block = block
        self.table = table
        self.items: list[Item] = []
        self.parameters: dict[str, Parameter] = {p.path: p for p in block.parameters}
        self.values = {v.name for v in block.inputs} | {v.name for i in block.items for v in i.outputs}
        self.names = {item.name for item in block.items}

    def definition(self) -> Definition:
        if not any(
            isinstance(item, Call) and (item.count > 1 or _is_sequence(self.table[item.definition]))
            for item in self.block.items
        ):
            return self.block
        known: dict[str, str] = {}
        for item in self.block.items:
            if isinstance(item, Call):
                self._run(item, known)
            else:
                self.items.append(_refer(item, known))
        outputs = tuple(known.get(source, source) for source in self.block.outputs)
        return replace(
            self.block,
            items=tuple(self.items),
            parameters=tuple(self.parameters.values()),
            outputs=outputs,
        )

    def _run(self, call: Call, known: dict[str, str]) -> None:
        arguments = [known.get(source, source) for source in call.arguments]
        inside = self.table[call.definition]
        for turn, path in enumerate(call.paths):
            last = turn == call.count - 1
            if _is_sequence(inside):
                given = self._inline(inside, path, arguments)
                if last:
                    known |= {f"%{v.name}": source for v, source in zip(call.outputs, given, strict=True)}
            else:
                outputs = call.outputs if last else tuple(self._fresh(value) for value in call.outputs)
                name = call.name if last else self._name(call.name)
                self.items.append(Call(name, call.definition, (path,), tuple(arguments), outputs))
                given = [f"%{value.name}" for value in outputs]
            for output, argument in call.carried:
                arguments[argument] = given[output]

    def _inline(self, inside: Definition, path: str, arguments: list[str]) -> list[str]:
        known = {f"%{v.name}": source for v, source in zip(inside.inputs, arguments, strict=True)}
        for parameter in inside.parameters:
            full = join(path, parameter.path)
            known[f"@{parameter.path}"] = f"@{full}"
            self.parameters.setdefault(full, replace(parameter, path=full))
        for item in inside.items:
            outputs = tuple(self._fresh(value) for value in item.outputs)
            copy = replace(_refer(item, known), name=self._name(item.name), outputs=outputs)
            if isinstance(copy, Call):
                copy = replace(copy, paths=tuple(join(path, inner) for inner in copy.paths))
            elif copy.path:
                copy = replace(copy, path=join(path, copy.path))
            self.items.append(copy)
            for old, new in zip(item.outputs, outputs, strict=True):
                known[f"%{old.name}"] = f"%{new.name}"
        return [known.get(source, source) for source in inside.outputs]

    def _fresh(self, value: Value) -> Value:
        return replace(value, name=_unused(value.name, self.values))

    def _name(self, name: str) -> str:
        return _unused(name, self.names)


def _refer(item: Item, known: dict[str, str]) -> Item:
    """The item with what it takes renamed."""
    if not any(source in known for source in sources(item)):
        return item
    if isinstance(item, Call):
        return replace(item, arguments=tuple(known.get(source, source) for source in item.arguments))
    arguments = tuple(Argument(a.slot, known.get(a.source, a.source)) for a in item.arguments)
    return replace(item, arguments=arguments)


def _unused(name: str, taken: set[str]) -> str:
    number = len(taken)
    fresh = name
    while fresh in taken:
        number += 1
        fresh = f"{name}.{number}"
    taken.add(fresh)
    return fresh
