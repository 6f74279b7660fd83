"""An item of a block made of its decisions: a node, inferred and computable, or a call."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from madstar.graph.execution.kernels import computable
from madstar.graph.inference.types import Type
from madstar.graph.model import Argument, Attribute, Call, Node, Parameter, Shape, Value

from ..tokens.initial import initial
from .relative import CHANNELS, VIEWS, Inexpressible, channels, concrete, concrete_shape, raw_sizes

if TYPE_CHECKING:
    from .state import State

MOST_RANK = 6
_MOST_GIVEN = 16


@dataclass(frozen=True, slots=True)
class Item:
    """A node or call with the numbers of the values that it takes, and what it brings.

    `trains`: a trained weight has a part in what it gives. `said` are the sizes that were said by themselves.
    """

    item: Node | Call
    places: list[int]
    types: tuple[Type, ...]
    weights: tuple[Parameter, ...]
    parameters: int
    trains: bool
    said: tuple[int, ...] = ()


def node_of(state: State) -> Item | None:
    """The node of the pending decisions; None where it does not fit. Raises Inexpressible."""
    draft, first = state.draft, state.pending[0]
    places = state.taken()
    operands = [draft.values[place][1].shape for place in places]
    beside = _beside(state, places)
    found = {decision[0]: decision[1] for decision in state.pending if decision[0] in ("set", "weights")}
    attributes = tuple(
        (name, concrete(v, operands, state.width, state.sizes, beside)) for name, v in found["set"]
    )
    name = f"{first[1].replace(':', '_')}_{len(draft.items)}"
    inner = channels(first[1], attributes, operands)
    values, shapes = iter(places), iter(found.get("weights", ()))
    arguments, weights, tensors = [], [], {}
    for slot, kind in first[2]:
        if kind == "v":
            ref, type_ = draft.values[next(values)]
        else:
            said = next(shapes, None)
            if said is None:
                return None
            shape = _shape(said[0], operands, state, inner, beside)
            weight = Parameter(f"{name}.{slot}", shape, said[1], said[2], initial(first[1], slot))
            weights.append(weight)
            ref, type_ = f"@{weight.path}", Type(weight.shape, weight.dtype)
        arguments.append(Argument(slot, ref))
        tensors[slot] = type_
    types = _types(state, first[1], tensors, attributes)
    if types is None:
        return None
    node = Node(name, first[1], tuple(arguments), _given(name, types), attributes)
    if not computable(node):
        return None
    trains = any(weight.trained for weight in weights)
    said = raw_sizes(tuple(v for _, v in found["set"]) if first[1] in VIEWS else (), state.sizes)
    said += raw_sizes(tuple(terms for terms, _, _ in found.get("weights", ())), state.sizes)
    parameters = sum(prod(w.shape) for w in weights)
    return Item(node, places, types, tuple(weights), parameters, trains, tuple(said))


def call_of(state: State) -> Item | None:
    """The call of the pending decisions; None where what is carried does not fit."""
    draft, made, times = state.draft, state.called_block(), state.pending[2][1]
    places = state.taken()
    carried = next((d[1] for d in state.pending if d[0] == "carried"), ())
    inputs, outputs = made.definition.inputs, made.outputs
    for output, entry in carried:
        if output >= len(outputs) or entry >= len(inputs):
            return None
        if outputs[output] != Type(inputs[entry].shape, inputs[entry].dtype):
            return None
    name = f"{made.definition.name.lower()}_{len(draft.items)}"
    paths = tuple(f"{name}.{turn}" for turn in range(times)) if times > 1 else (name,)
    refs = tuple(draft.values[place][0] for place in places)
    call = Call(name, made.definition.name, paths, refs, _given(name, outputs), tuple(carried))
    return Item(call, places, outputs, (), times * made.parameters, made.trains)


def _given(name: str, types: tuple[Type, ...]) -> tuple[Value, ...]:
    return tuple(Value(name if not i else f"{name}.{i}", t.shape, t.dtype) for i, t in enumerate(types))


def _beside(state: State, taken: list[int]) -> list[Shape]:
    """The shapes of the first input and of the oldest value that nothing took, nor this node takes."""
    draft = state.draft
    waiting = sorted(draft.idle.difference(taken))
    return [draft.inputs[0].shape, *(draft.values[place][1].shape for place in waiting[:1])]


def _shape(
    terms: tuple[Any, ...], operands: list[Shape], state: State, inner: int | None, beside: list[Shape]
) -> tuple[int, ...]:
    if CHANNELS in terms and inner is None:
        raise Inexpressible
    said = [inner if term == CHANNELS else term for term in terms]
    shape = concrete_shape(said, operands, state.width, state.sizes, beside)
    sizes = tuple(size for size in shape if isinstance(size, int))
    if len(sizes) < len(shape) or prod(sizes) > 1 << 31:
        raise Inexpressible
    return sizes


def _types(
    state: State, op: str, tensors: dict[str, Type], attributes: tuple[tuple[str, Attribute], ...]
) -> tuple[Type, ...] | None:
    try:
        outcome = state.inference.operation(op, tensors, attributes)
    except (IndexError, ValueError, TypeError, KeyError, OverflowError):
        return None
    if not outcome.ruled or outcome.fault is not None:
        return None
    odd = any(
        len(t.shape) > MOST_RANK or any(isinstance(s, int) and s < 1 for s in t.shape) for t in outcome.types
    )
    if state.limits.checked and (outcome.remarks or odd or len(outcome.types) > _MOST_GIVEN):
        return None
    return outcome.types
