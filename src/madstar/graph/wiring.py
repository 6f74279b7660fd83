"""What an item takes and what it gives, in one order for all of this room; and the item wired otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .model import Argument, Call, Item, Value


def sources(item: Item) -> tuple[str, ...]:
    """The references that an item takes, in order: its arguments, then what later turns take instead."""
    if isinstance(item, Call):
        if not item.own:
            return item.arguments
        return item.arguments + tuple(ref for _, refs in item.own for ref in refs[1:])
    return tuple(argument.source for argument in item.arguments)


def given(item: Item) -> tuple[Value, ...]:
    """The values that an item gives, in order: its outputs, then those of the earlier turns of a run."""
    if isinstance(item, Call) and item.gathered:
        return item.outputs + tuple(
            Value(name, item.outputs[place].shape, item.outputs[place].dtype)
            for place, names in item.gathered
            for name in names
        )
    return item.outputs


def positions(item: Item) -> tuple[int, ...]:
    """For each value that an item gives the position of the output that it is."""
    places = tuple(range(len(item.outputs)))
    if isinstance(item, Call):
        places += tuple(place for place, names in item.gathered for _ in names)
    return places


def rewired(item: Item, taken: Sequence[str]) -> Item:
    """The item taking other references, given in the order of `sources`."""
    if not isinstance(item, Call):
        pairs = zip(item.arguments, taken, strict=True)
        return replace(item, arguments=tuple(Argument(a.slot, source) for a, source in pairs))
    arguments = tuple(taken[: len(item.arguments)])
    at, own = len(arguments), []
    for place, refs in item.own:
        own.append((place, (arguments[place], *taken[at : at + len(refs) - 1])))
        at += len(refs) - 1
    return replace(item, arguments=arguments, own=tuple(own))


def renamed(item: Item, names: Sequence[str]) -> Item:
    """The item giving values of other names, in the order of `given`."""
    outputs = tuple(replace(v, name=n) for v, n in zip(item.outputs, names, strict=False))
    if not isinstance(item, Call) or not item.gathered:
        return replace(item, outputs=outputs)
    at, gathered = len(outputs), []
    for place, before in item.gathered:
        gathered.append((place, tuple(names[at : at + len(before)])))
        at += len(before)
    return replace(item, outputs=outputs, gathered=tuple(gathered))
