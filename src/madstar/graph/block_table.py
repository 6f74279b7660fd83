"""The blocks of a graph while it is folded: each structure once, and what is open in it opened on demand.

Two blocks are of one form if they differ in numbers alone (`leaves.py`), in their own attributes or in those
of blocks within. One block that leaves these numbers open then stands for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import blake2b
from itertools import count as counting
from typing import Any

from .leaves import Leaves
from .model import Attribute, Call, Definition, Item, Node, Varying
from .wiring import given, sources

_MOST_LEAVES = 20_000

Leaf = tuple[str, Attribute]
"""A number in an attribute, and the slot it stands in."""

Column = tuple[str, tuple[Attribute, ...]]
"""A slot, or a name, with the value in each turn."""


class BlockTable:
    """Definitions by name, each structure once."""

    def __init__(self, symbols: frozenset[str]) -> None:
        self.leaves = Leaves(symbols)
        self.definitions: dict[str, Definition] = {}
        self._names: dict[str, str] = {}
        self._forms: dict[str, str] = {}
        self._found: dict[str, tuple[Leaf, ...] | None] = {}

    def add(self, definition: Definition) -> str:
        """The name under which the definition stands: its own, that of its equal, or a fresh one."""
        key = _digest(self._record(definition, exact=True))
        if key not in self._names:
            tries = (f"{definition.name}_{number}" for number in counting(2))
            name = definition.name
            while name in self.definitions:
                name = next(tries)
            self._names[key] = name
            self.definitions[name] = replace(definition, name=name)
        return self._names[key]

    def form(self, name: str) -> str:
        """The same text for definitions that differ in numbers alone."""
        if name not in self._forms:
            self._forms[name] = _digest(self._record(self.definitions[name], exact=False))
        return self._forms[name]

    def item_form(self, item: Item, exact: bool) -> list[Any]:
        """What an item does, without what it takes and gives; its path is not in it either."""
        form = (lambda value: value) if exact else self.leaves.form
        if isinstance(item, Node):
            slots = [argument.slot for argument in item.arguments]
            return [item.op, slots, [(slot, form(value)) for slot, value in item.attributes], item.body]
        definition = item.definition if exact else self.form(item.definition)
        settings = sorted((name, [form(value) for value in values]) for name, values in item.settings)
        places = [[place for place, _ in pairs] for pairs in (item.own, item.gathered)]
        return ["call", definition, item.carried, settings, *places]

    def item_leaves(self, item: Item) -> tuple[Leaf, ...] | None:
        """The numbers in an item and in the block that it calls, in order; None if there are too many."""
        if isinstance(item, Node):
            return tuple((slot, leaf) for slot, value in item.attributes for leaf in self.leaves.of(value))
        inner = self.block_leaves(item.definition)
        if inner is None:
            return None
        own = ((n, leaf) for n, values in sorted(item.settings) for v in values for leaf in self.leaves.of(v))
        return (*own, *inner)

    def block_leaves(self, name: str) -> tuple[Leaf, ...] | None:
        """The numbers in a definition and in those that it calls, in order; None if there are too many."""
        if name not in self._found:
            found: list[Leaf] = []
            self._found[name] = None
            for item in self.definitions[name].items:
                more = self.item_leaves(item)
                if more is None or len(found) + len(more) > _MOST_LEAVES:
                    break
                found += more
            else:
                self._found[name] = tuple(found)
        return self._found[name]

    def open_item(self, item: Item, names: Sequence[str | None]) -> Item:
        """The item with its numbers left open under these names, one for each leaf, None where it stays."""
        if not any(names):
            return item
        rest = iter(names)
        if isinstance(item, Node):
            opened = ((slot, self.leaves.opened(value, rest)) for slot, value in item.attributes)
            return replace(item, attributes=tuple(opened))
        settings = [(n, tuple(self.leaves.opened(v, rest) for v in vs)) for n, vs in sorted(item.settings)]
        name, outside = self.open_block(item.definition, list(rest))
        settings += [(own, (Varying(outer),) * item.count) for own, outer in outside.items()]
        return replace(item, definition=name, settings=tuple(settings))

    def open_block(self, name: str, names: Sequence[str | None]) -> tuple[str, dict[str, str]]:
        """The definition with numbers left open; and what each new open name is called without.

        `names` has one for each leaf. Within the name is the same, unless it is taken there.
        """
        if not any(names):
            return name, {}
        block = self.definitions[name]
        within: dict[str, str] = {}
        for outer in names:
            if outer is not None and outer not in within:
                within[outer] = unused_name(outer, {*block.varying, *within.values()})
        rest = [None if outer is None else within[outer] for outer in names]
        items, at = [], 0
        for item in block.items:
            size = len(self.item_leaves(item) or ())
            items.append(self.open_item(item, rest[at : at + size]))
            at += size
        varying = (*block.varying, *within.values())
        opened = self.add(replace(block, items=tuple(items), varying=varying))
        return opened, {inner: outer for outer, inner in within.items()}

    def _record(self, definition: Definition, exact: bool) -> list[Any]:
        """All of a block but the names of its values and items: by number, in the order listed."""
        numbers = {f"%{v.name}": str(i) for i, v in enumerate(definition.inputs)}
        numbers |= {f"@{p.path}": f"@{p.path}" for p in definition.parameters}
        record: list[Any] = [definition.kind, definition.module, definition.parameters, definition.varying]
        record.append([(value.shape, value.dtype) for value in definition.inputs])
        for item in definition.items:
            taken = [numbers[source] for source in sources(item)]
            made = given(item)
            paths = item.paths if isinstance(item, Call) else item.path
            types = [(value.shape, value.dtype) for value in made]
            record.append((self.item_form(item, exact), paths, taken, types))
            for value in made:
                numbers[f"%{value.name}"] = str(len(numbers))
        record.append([numbers[source] for source in definition.outputs])
        return record


def unused_name(wanted: str, taken: set[str]) -> str:
    """The name, with a number behind it where it is taken."""
    tries = (f"{wanted}_{number}" for number in counting(2))
    name = wanted
    while name in taken:
        name = next(tries)
    return name


def open_names_for(columns: Iterable[Column], taken: set[str]) -> dict[str, Column]:
    """Names for columns of values, by the text of their values: i, j for an index, else the slot's name."""
    found: dict[str, Column] = {}
    used = set(taken)
    for slot, values in columns:
        if (key := repr(values)) not in found:
            letter = next((letter for letter in "ijklmn" if letter not in used), "i")
            name = unused_name(letter if slot == "index" or not slot.isidentifier() else slot, used)
            used.add(name)
            found[key] = (name, values)
    return found


def _digest(record: Any) -> str:
    return blake2b(repr(record).encode(), digest_size=16).hexdigest()
