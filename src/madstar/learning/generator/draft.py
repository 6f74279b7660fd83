"""What a state of a graph under way is made of: its limits, the blocks done, the block under way."""

from __future__ import annotations

from dataclasses import dataclass

from madstar.graph.inference.types import Type
from madstar.graph.model import Call, Definition, Node, Parameter, Value

MOST_ITEMS = 56
"""Items of a block, unless something else is asked for."""


@dataclass(frozen=True)
class Limits:
    """How large a graph may become: items of a block, blocks, parameters of the whole.

    With `checked` only what fits is taken; without, whatever the grammar allows, as far as it can be built.
    """

    items: int = MOST_ITEMS
    blocks: int = 8
    parameters: int = 1 << 40
    least_parameters: int = 0
    checked: bool = True


@dataclass(frozen=True, slots=True)
class Made:
    """A block that is done, what it is to those that call it, and at which decision it was."""

    definition: Definition
    outputs: tuple[Type, ...]
    parameters: int
    trains: bool
    place: int


@dataclass(frozen=True)
class Draft:
    """The block under way. `values` are references and types, inputs first; `idle` those not taken yet.

    `places` says at which decision of the sequence each value was made, `makers` by which.
    """

    inputs: tuple[Value, ...] = ()
    values: tuple[tuple[str, Type], ...] = ()
    idle: frozenset[int] = frozenset()
    weights: tuple[Parameter, ...] = ()
    items: tuple[Node | Call, ...] = ()
    outputs: tuple[int, ...] = ()
    parameters: int = 0
    called: frozenset[int] = frozenset()
    places: tuple[int, ...] = ()
    makers: tuple[int, ...] = ()
    reached: frozenset[int] = frozenset()  # values that a trained weight has a part in
