"""What a transfer function is given: an operation, the states and types of its arguments and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..inference import Type
from ..model import Dim, Shape
from .reach import Reach, State, plain


class Unknown(Exception):  # noqa: N818  caught, and becomes "undecided"
    """Nothing is known of how positions go through this operation, or this use of it."""


@dataclass(frozen=True)
class Taken:
    """One operation. `cause` is the full path of the node, for whoever asks what looked ahead."""

    op: str
    states: Mapping[str, State]
    types: Mapping[str, Type]
    attributes: Mapping[str, Any]
    outputs: tuple[Type, ...]
    cause: str

    def state(self, slot: str = "input") -> State:
        """The state of an argument that must be there."""
        if slot not in self.states:
            raise Unknown
        return self.states[slot]

    def shape(self, slot: str = "input") -> Shape:
        """The shape of an argument."""
        return self.types[slot].shape

    def many(self, slot: str) -> list[tuple[State, Type]]:
        """The arguments of a list slot, in order."""
        names = [name for name in self.states if name.partition(".")[0] == slot]
        names.sort(key=lambda name: int(name.partition(".")[2] or 0))
        return [(self.states[name], self.types[name]) for name in names]

    def axis(self, slot: str, rank: int, default: int | None = None) -> int:
        """An attribute that names a dimension."""
        found = self.attributes.get(slot)
        found = default if found is None else found
        if not isinstance(found, int) or not -rank <= found < rank:
            raise Unknown
        return found % rank

    def axes(self, slot: str, rank: int) -> tuple[int, ...]:
        """An attribute that names dimensions; all, where it is absent."""
        found = self.attributes.get(slot)
        if found is None:
            return tuple(range(rank))
        parts = found if isinstance(found, tuple) else (found,)
        if not all(isinstance(part, int) and -rank <= part < rank for part in parts):
            raise Unknown
        return tuple(part % rank for part in parts) or tuple(range(rank))

    def number(self, slot: str, default: Dim | None = None) -> Dim:
        """An attribute that is a size."""
        found = self.attributes.get(slot)
        found = default if found is None else found
        if isinstance(found, bool) or not isinstance(found, (int, str)):
            raise Unknown
        return found

    def unknown(self) -> list[State]:
        """What is left where nothing is known: anywhere, unless no argument depends on a position."""
        touched = any(state.reaches for state in self.states.values())
        reaches = frozenset({Reach(None, False, self.cause)}) if touched else frozenset()
        return [State(plain(output.shape).axes, reaches) for output in self.outputs]


Transfer = Callable[[Taken], list[State]]
"""From arguments to results; raises Unknown."""
