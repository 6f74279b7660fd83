"""What a definition leaves open (`Varying`), and what it is in each turn of a call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from .model import Attribute, Call, Definition, Item, Node, Varying

Binding = Mapping[str, Attribute]
"""What open names stand for."""


def open_names(value: Attribute) -> Iterator[str]:
    """The names that an attribute leaves open, in order."""
    if isinstance(value, Varying):
        yield value.name
    elif isinstance(value, tuple):
        for part in value:
            yield from open_names(part)


def attributes_of(item: Item) -> Iterator[Attribute]:
    """The data that an item sets: of a node its attributes, of a call its settings for each turn."""
    if isinstance(item, Node):
        for _, value in item.attributes:
            yield value
    else:
        for _, values in item.settings:
            yield from values


def bound(value: Attribute, binding: Binding) -> Attribute:
    """The attribute with what names stand for in place of them; names that are not bound stay open."""
    if isinstance(value, Varying):
        return binding.get(value.name, value)
    if isinstance(value, tuple):
        return tuple(bound(part, binding) for part in value)
    return value


def bound_item(item: Item, binding: Binding) -> Item:
    """The item with its attributes, or its settings, bound."""
    if not binding or not any(True for value in attributes_of(item) for _ in open_names(value)):
        return item
    if isinstance(item, Node):
        return replace(item, attributes=tuple((slot, bound(v, binding)) for slot, v in item.attributes))
    settings = tuple((name, tuple(bound(v, binding) for v in values)) for name, values in item.settings)
    return replace(item, settings=settings)


def bindings(call: Call, outer: Binding | None = None) -> Iterator[dict[str, Attribute]]:
    """What the definition's open names stand for in each turn of a call; `outer` binds the caller's."""
    for turn in range(call.count):
        yield {name: bound(values[turn], outer or {}) for name, values in call.settings}


def key_of(binding: Binding) -> str:
    """Text that is the same for equal bindings; 1, 1.0 and true are not equal."""
    return repr(sorted(binding.items())) if binding else ""


def differs(call: Call) -> bool:
    """Whether the turns of a call are not all alike but for what is carried."""
    return bool(call.own or call.settings or call.gathered)


def opens(definition: Definition) -> bool:
    """Whether a definition has calls whose turns differ."""
    return any(isinstance(item, Call) and differs(item) for item in definition.items)
