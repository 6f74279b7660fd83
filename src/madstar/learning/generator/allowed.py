"""What may come next in a graph under way: what the grammar allows, and what of that can fit."""

from __future__ import annotations

from madstar.graph.inference.promotion import is_floating
from madstar.graph.inference.types import Type

from .decisions import Decision
from .space import POINTING
from .state import MOST_INPUTS, STREAM, State


def grammar(state: State) -> tuple[int, ...]:
    """Numbers of what the grammar allows, whether it fits or not."""
    chosen = state.space.number(state.pending[-1]) if state.group == "weights" else 0
    found = state.space.among(state.group, state.node, chosen)
    if state.group not in POINTING:
        return found
    return tuple(number for number in found if _is_there(state, state.space.decisions[number]))


def _is_there(state: State, decision: Decision) -> bool:
    if decision[0] == "which":
        return 1 <= decision[1] <= len(state.blocks)
    return state.closing if decision[0] == "done" else state.place(decision) is not None


def options(state: State) -> tuple[int, ...]:
    """Numbers of the decisions that may come next; each may still be refused by `after`."""
    if not state.limits.checked:
        return grammar(state)
    return tuple(number for number in grammar(state) if may(state, number))


def may(state: State, number: int) -> bool:
    """Whether a decision of the grammar may come next, as far as is known before it is applied."""
    decision, group = state.space.decisions[number], state.group
    if group == "pointer":
        return _may_point(state, decision)
    if group == "which":
        return may_call(state, decision[1])
    if group == "times":
        return _may_run(state, decision[1])
    if group == "block":
        return decision[0] == "whole" or len(state.blocks) < state.limits.blocks - 1
    if group == "item":
        return _may_add(state, number, decision)
    if group == "input":
        return _may_take(state, decision)
    return True


def _may_take(state: State, decision: Decision) -> bool:
    draft = state.draft
    if decision[0] == "body":
        return bool(draft.inputs)
    if not state.streams():
        return len(draft.inputs) < MOST_INPUTS
    return not draft.inputs and decision[1:] == ("float32", STREAM)


def _may_add(state: State, number: int, decision: Decision) -> bool:
    draft = state.draft
    if decision[0] == "outputs":
        return _may_end(state)
    left = state.limits.items - len(draft.items) - 1
    if decision[0] == "call":
        return left >= 0 and any(may_call(state, back) for back in range(1, len(state.blocks) + 1))
    if not state.space.sets.get(number) or (state.whole and state.uncalled() > left):
        return False
    # What is left must suffice to take all that is idle.
    taken = sum(kind == "v" for _, kind in decision[2])
    return left >= 0 and len(draft.idle) - max(taken - 1, -1) - state.most_outputs() <= left


def _may_end(state: State) -> bool:
    """Whether the idle values of the block may be what it gives."""
    draft = state.draft
    if not draft.items or any(place < len(draft.inputs) for place in draft.idle):
        return False
    if not 1 <= len(draft.idle) <= state.most_outputs():
        return False
    if not any(is_floating(draft.values[place][1].dtype) for place in draft.idle):
        return False
    if not state.whole:
        return True
    if state.streams() and any(draft.values[p][1] != draft.values[0][1] for p in draft.idle):
        return False
    trains = any(place in draft.reached for place in draft.idle)
    within = state.limits.least_parameters <= draft.parameters <= state.limits.parameters
    return trains and within and not state.uncalled()


def callability(state: State, back: int) -> tuple[bool, bool]:
    """Of the block so far back: whether values of the types it takes are there; whether it is called."""
    if back > len(state.blocks):
        return False, False
    return may_call(state, back), state.is_called(len(state.blocks) - back)


def may_call(state: State, back: int) -> bool:
    """Whether there is a block so far back, and values of all types that it takes."""
    if not 1 <= back <= len(state.blocks):
        return False
    here = {type_ for _, type_ in state.draft.values}
    return all(Type(v.shape, v.dtype) in here for v in state.blocks[-back].definition.inputs)


def _may_run(state: State, times: int) -> bool:
    made = state.called_block()
    inputs = {Type(value.shape, value.dtype) for value in made.definition.inputs}
    return times == 1 or any(type_ in inputs for type_ in made.outputs)


def _may_point(state: State, decision: Decision) -> bool:
    draft = state.draft
    if decision[0] == "done":
        return state.closing and bool(draft.outputs) and not draft.idle
    place = state.place(decision)
    if place is None:
        return False
    if state.closing:
        return place in draft.idle
    type_, wanted = draft.values[place][1], state.wanted()
    if wanted is not None:
        return type_ == wanted
    seen = state.space.kinds.get(state.node)
    return seen is None or (len(type_.shape), type_.dtype) in seen[state.pointers()]
