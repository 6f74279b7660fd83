"""A block while it is changed: items put in, taken out and rewired, names and paths kept apart.

A draft becomes a definition by `finish`: items in an order of computation, what was needed only by what is
gone removed, weights that nothing takes any more dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from heapq import heappop, heappush

from ...errors import EditError
from ..inference import Type
from ..model import Argument, Call, Definition, Item, Node, Parameter, Value
from ..soundness import sources


class Draft:
    """A definition being edited.

    `uses` are the full paths of all the uses that are edited alike, `path` the first of them, for messages.
    `taken` says of a path relative to the block whether any of its uses has something there. `table` are the
    definitions it may call, `added` those that were put in for it, `tied` groups of relative paths that shall
    be one tensor.
    """

    def __init__(
        self,
        definition: Definition,
        table: Mapping[str, Definition],
        uses: Sequence[str] = ("",),
        taken: Callable[[str], bool] = lambda path: False,
    ) -> None:
        self.definition, self.uses, self.path = definition, tuple(uses), uses[0]
        self.table = dict(table)
        self.added: dict[str, Definition] = {}
        self.inputs = list(definition.inputs)
        self.parameters = {p.path: p for p in definition.parameters}
        self.items = list(definition.items)
        self.outputs = list(definition.outputs)
        self.tied: list[tuple[str, ...]] = []
        self._released: tuple[str, ...] = ()
        self._taken = taken
        self._paths: dict[tuple[str, str], str] = {}
        self._given: set[str] = set()
        self._values = {v.name for v in self.inputs} | {v.name for i in self.items for v in i.outputs}
        self._names = {item.name for item in self.items}
        self._types = types_in(definition)

    # Looking.

    def item(self, name: str) -> Item:
        """The item of this name."""
        for item in self.items:
            if item.name == name:
                return item
        raise EditError(f"{self.where(name)}: was taken out by the same edit; select it once")

    def has(self, name: str) -> bool:
        """Whether an item of this name is still there."""
        return any(item.name == name for item in self.items)

    def where(self, name: str) -> str:
        """The full path of an item, for messages."""
        for item in self.definition.items:
            if item.name == name:
                own = item.paths[0] if isinstance(item, Call) else item.path
                if own:
                    return f"{self.path}.{own}" if self.path else own
        return f"{self.path}%{name}"

    def type_of(self, ref: str) -> Type:
        """The type that is stated for a reference."""
        return self._types[ref]

    def users(self, ref: str) -> list[Item]:
        """The items that take a reference, in order."""
        return [item for item in self.items if ref in sources(item)]

    def producer(self, ref: str) -> Item | None:
        """The item that gives a value; None for inputs and parameters."""
        for item in self.items:
            if any(f"%{value.name}" == ref for value in item.outputs):
                return item
        return None

    # Names.

    def value(self, name: str, type_: Type) -> Value:
        """A new value, under a name that is free."""
        value = Value(_free(name, self._values), type_.shape, type_.dtype)
        self._types[f"%{value.name}"] = type_
        return value

    def name(self, wanted: str) -> str:
        """A name for a new item that is free."""
        return _free(wanted, self._names)

    def fresh_path(self, wanted: str, owner: str = "") -> str:
        """A path for a new module or weight that no use of the block has yet.

        What is asked for again for the same `owner`, a path of a module that is used several times, is the
        same path again.
        """
        if owner and (known := self._paths.get((owner, wanted))) is not None:
            return known
        path, number = wanted, 0
        while path in self._given or (self._taken(path) and path not in self._released):
            number += 1
            path = f"{wanted}_{number}"
        self._paths[owner or f"%{len(self._paths)}", wanted] = path
        self._given.add(path)
        return path

    def release(self, path: str) -> None:
        """Let a path be given to something new, since what stands there is taken out."""
        self._released = (*self._released, path)

    # Changing.

    def parameter(self, parameter: Parameter) -> str:
        """Put in a weight of the block; one that is there already must have the same form."""
        known = self.parameters.setdefault(parameter.path, parameter)
        if (known.shape, known.dtype) != (parameter.shape, parameter.dtype):
            raise EditError(
                f"{self.path or 'the whole'}: expected {parameter.path} to be "
                f"{parameter.dtype}{list(parameter.shape)}, found {known.dtype}{list(known.shape)} there"
            )
        self._types[f"@{parameter.path}"] = Type(known.shape, known.dtype)
        return f"@{parameter.path}"

    def set_parameter(self, parameter: Parameter) -> None:
        """Put a weight in the place of that with the same path."""
        self.parameters[parameter.path] = parameter
        self._types[f"@{parameter.path}"] = Type(parameter.shape, parameter.dtype)

    def block(self, definition: Definition) -> str:
        """Put a definition into the table of the graph; gives the name under which it is called."""
        name = _free(definition.name, set(self.table))
        self.table[name] = self.added[name] = replace(definition, name=name)
        return name

    def insert(self, items: Iterable[Item], after: str = "", before: str = "") -> None:
        """Put items in behind or before one; at the end if neither is named."""
        place = len(self.items)
        if after or before:
            place = next(n for n, item in enumerate(self.items) if item.name == (after or before))
        self.items[place + bool(after) : place + bool(after)] = list(items)

    def put(self, item: Item) -> None:
        """Put an item in the place of that with the same name."""
        place = next(n for n, other in enumerate(self.items) if other.name == item.name)
        self.items[place] = item

    def remove(self, name: str) -> None:
        """Take an item out; what it gave must have no users by `finish`."""
        self.items = [item for item in self.items if item.name != name]

    def redirect(self, old: str, new: str, but: Iterable[str] = ()) -> None:
        """Let all that take a value, and the block's outputs, take another; not the items named in `but`."""
        kept = set(but)
        for place, item in enumerate(self.items):
            if item.name not in kept and old in sources(item):
                self.items[place] = retaken(item, {old: new})
        self.outputs = [new if ref == old else ref for ref in self.outputs]

    # Becoming a definition.

    def finish(self, name: str) -> Definition:
        """The block as a definition of that name. Raises EditError where values are needed in a circle."""
        self.sweep()
        self.items = self._ordered()
        before = _references(self.definition.items) | set(self.definition.outputs)
        now = _references(self.items) | set(self.outputs)
        gone = {ref for ref in before - now if ref.startswith("@")}
        parameters = tuple(p for p in self.parameters.values() if f"@{p.path}" not in gone)
        return replace(
            self.definition,
            name=name,
            inputs=tuple(self.inputs),
            parameters=parameters,
            items=tuple(self.items),
            outputs=tuple(self.outputs),
        )

    def sweep(self) -> None:
        """Take out what is needed no more; what was computed for nothing before stays so."""
        idle_before = _idle(self.definition.items, self.definition.outputs)
        while True:
            idle = _idle(self.items, self.outputs) - idle_before
            if not idle:
                return
            self.items = [item for item in self.items if item.name not in idle]

    def _ordered(self) -> list[Item]:
        """The items so that each takes what was given before, else in the order they have."""
        makers = {f"%{v.name}": n for n, item in enumerate(self.items) for v in item.outputs}
        known = {f"%{v.name}" for v in self.inputs} | {f"@{path}" for path in self.parameters}
        waiting: list[int] = []
        after: dict[int, list[int]] = {}
        for n, item in enumerate(self.items):
            needs = set()
            for ref in sources(item):
                if ref in makers:
                    needs.add(makers[ref])
                elif ref not in known:
                    raise EditError(f"{self.where(item.name)}: takes {ref}, which is given nowhere any more")
            waiting.append(len(needs))
            for need in needs:
                after.setdefault(need, []).append(n)
        ready = [n for n, count in enumerate(waiting) if not count]
        order: list[Item] = []
        while ready:
            n = heappop(ready)
            order.append(self.items[n])
            for m in after.get(n, ()):
                waiting[m] -= 1
                if not waiting[m]:
                    heappush(ready, m)
        if len(order) < len(self.items):
            stuck = next(item for n, item in enumerate(self.items) if waiting[n])
            raise EditError(f"{self.where(stuck.name)}: would need its own result; take what is given before")
        return order


def types_in(definition: Definition) -> dict[str, Type]:
    """The types that a block states of its weights and values, by reference."""
    types = {f"@{p.path}": Type(p.shape, p.dtype) for p in definition.parameters}
    for value in (*definition.inputs, *(v for item in definition.items for v in item.outputs)):
        types[f"%{value.name}"] = Type(value.shape, value.dtype)
    return types


def retaken(item: Item, known: Mapping[str, str]) -> Item:
    """The item with what it takes renamed."""
    if isinstance(item, Call):
        return replace(item, arguments=tuple(known.get(ref, ref) for ref in item.arguments))
    arguments = tuple(Argument(a.slot, known.get(a.source, a.source)) for a in item.arguments)
    return replace(item, arguments=arguments)


def filled(node: Node, slot: str, source: str) -> Node:
    """The node with a reference in a slot, which was filled or not; an attribute there goes."""
    arguments = tuple(Argument(a.slot, source) if a.slot == slot else a for a in node.arguments)
    if all(a.slot != slot for a in arguments):
        arguments = (*arguments, Argument(slot, source))
    attributes = tuple(pair for pair in node.attributes if pair[0] != slot)
    return replace(node, arguments=arguments, attributes=attributes)


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 0
    while name in taken:
        number += 1
        name = f"{wanted}_{number}"
    taken.add(name)
    return name


def _references(items: Iterable[Item]) -> set[str]:
    return {ref for item in items for ref in sources(item)}


def _idle(items: Iterable[Item], outputs: Iterable[str]) -> set[str]:
    """The names of items of which nothing is used directly."""
    used = _references(items) | set(outputs)
    return {item.name for item in items if not any(f"%{value.name}" in used for value in item.outputs)}
