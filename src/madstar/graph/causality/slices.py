"""How positions go through slices, subscripts and gathering."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..dims import add, ceil_divide, less, product, subtract
from ..model import Dim
from .atoms import fused
from .forms import arranged
from .reach import (
    Axes,
    Linear,
    Reach,
    State,
    constant,
    positive,
    remapped,
    slots_of,
    tidy,
    unit,
    without,
)
from .taken import Taken, Transfer, Unknown


def cut(state: State, axis: int, start: Dim, step: Dim, size: Dim, cause: str, keep: bool = True) -> State:
    """A slice of an axis: element i of the result is element start + step*i."""
    if not state.axes[axis]:
        return state
    if start == 0 and step == 1 and size == product(*state.axes[axis]):
        return state
    state = fused(state, axis, cause)
    place = slots_of(state.axes)[axis][0]
    axes = (*state.axes[:axis], () if size == 1 else (size,), *state.axes[axis + 1 :])
    count = sum(map(len, axes))
    images = []
    for old in range(len(state.atoms)):
        if old < place:
            images.append(unit(old, count))
        elif old == place:
            moved = constant(start, count) if size == 1 else replace(unit(place, count), const=start)
            if size != 1:
                moved = Linear(tuple(step if i == place else 0 for i in range(count)), start)
            images.append(moved)
        else:
            images.append(unit(old - (size == 1), count))
    found = remapped(state, axes, images, keep)
    if size == 1 and start != 0:
        # What is read at one place for all others may cancel out, as a common factor does.
        follows = {reach for reach in found.reaches if reach.bound is not None and reach.bound.const == 0}
        found = replace(
            found, reaches=frozenset(r if r in follows else replace(r, sure=False) for r in found.reaches)
        )
    return found


def chosen(state: State, axis: int, place: Dim, size: Dim, cause: str) -> State:
    """One element of an axis, which vanishes."""
    at = add(place, size) if positive(add(place, 1)) is False else place
    found = cut(state, axis, at, 1, 1, cause)
    return arranged(found, [a for a in range(len(found.axes)) if a != axis])


def bound_of(place: Any, size: Dim, default: Dim) -> Dim:
    """A bound of a slice from the front, where that is told by its sign."""
    if place is None:
        return default
    if not isinstance(place, (int, str)) or isinstance(place, bool):
        raise Unknown
    if (isinstance(place, int) and place < 0) or (
        isinstance(place, str) and positive(add(place, 1)) is False
    ):
        place = add(place, size)
        return 0 if less(place, 0) is True else place
    return size if less(size, place) is True else place


def _getitem(t: Taken) -> list[State]:
    index = t.attributes.get("index", ())
    index = index if isinstance(index, tuple) else (index,)
    tensors = [part for part in index if isinstance(part, tuple) and part[:1] != ("slice",)]
    singles = [part for part in tensors if len(part) == 1 and isinstance(part[0], int)]
    if len(tensors) > 1 or any(isinstance(part, bool) for part in index):
        raise Unknown
    state = t.state()
    shape = t.shape()
    used = sum(part is not None and part != "..." for part in index)
    axis, old = 0, 0  # where we are in the result, and in the input
    for part in index:
        if part == "...":
            axis += len(shape) - used
            old += len(shape) - used
        elif part is None:
            order: list[int | None] = list(range(len(state.axes)))
            order.insert(axis, None)
            state = arranged(state, order)
            axis += 1
        elif isinstance(part, tuple) and part[:1] == ("slice",):
            size = shape[old]
            start, step = bound_of(part[1], size, 0), part[3] if part[3] is not None else 1
            stop = bound_of(part[2], size, size)
            length = t.outputs[0].shape[axis] if not tensors else _cut_length(start, stop, step, size)
            state = cut(state, axis, start, step, length, t.cause)
            axis, old = axis + 1, old + 1
        elif isinstance(part, tuple):
            if part in singles:
                place = add(part[0], shape[old]) if part[0] < 0 else part[0]
                state = cut(state, axis, place, 1, 1, t.cause)
                axis, old = axis + 1, old + 1
                continue
            if part[:1] != ("tensor",):
                if not all(isinstance(each, int) for each in part):
                    raise Unknown
                state = gathered(state, axis, State(((len(part),),)), t.cause)
                axis, old = axis + 1, old + 1
                continue
            slot = f"index.{part[1]}"
            if t.types[slot].dtype == "bool":
                raise Unknown
            state = gathered(state, axis, t.state(slot), t.cause)
            axis, old = axis + len(t.shape(slot)), old + 1
        else:
            state = chosen(state, axis, part, shape[old], t.cause)
            old += 1
    return [state]


def _cut_length(start: Dim, stop: Dim, step: Any, size: Dim) -> Dim:
    stop = size if less(size, stop) is True else stop
    length = subtract(stop, start)
    if step == 1:
        return length
    return ceil_divide(length, step)


def gathered(state: State, axis: int, index: State, cause: str) -> State:
    """The elements of an axis at given places, whose axes stand where it stood."""
    if not state.axes[axis]:
        inner = State((*state.axes[:axis], *index.axes, *state.axes[axis + 1 :]))
        count = len(inner.atoms)
        extra = sum(map(len, index.axes))
        before = sum(map(len, state.axes[:axis]))
        kept = [unit(i if i < before else i + extra, count) for i in range(len(state.atoms))]
        reaches = remapped(state, inner.axes, kept, keep=False).reaches
        return replace(
            inner, reaches=tidy([*reaches, *_placed(index, before, count, inner.axes)], inner.axes)
        )
    state = fused(state, axis, cause)
    place = slots_of(state.axes)[axis][0]
    axes = (*state.axes[:axis], *index.axes, *state.axes[axis + 1 :])
    count = sum(map(len, axes))
    extra = len(index.atoms)
    if index.index is not None:
        inside = Linear(
            (*(0,) * place, *index.index.coefficients, *(0,) * (count - place - extra)), index.index.const
        )
        images = [
            unit(i, count) if i < place else inside if i == place else unit(i - 1 + extra, count)
            for i in range(len(state.atoms))
        ]
        moved = remapped(state, axes, images)
        return replace(moved, reaches=tidy([*moved.reaches, *_placed(index, place, count, axes)], axes))
    # Places that are not known: any of the axis.
    left = (*state.axes[:axis], *state.axes[axis + 1 :])
    reaches = without(state, [place], left, (), cause, blurred=True)
    flat = State(left, reaches)
    images = [unit(i if i < place else i + extra, count) for i in range(len(flat.atoms))]
    mine = remapped(flat, axes, images, keep=False).reaches
    return State(axes, tidy([*mine, *_placed(index, place, count, axes)], axes))


def _placed(index: State, place: int, count: int, axes: Axes) -> frozenset[Reach]:
    images = [unit(place + i, count) for i in range(len(index.atoms))]
    return remapped(index, axes, images, keep=False).reaches


def _select(t: Taken) -> list[State]:
    axis = t.axis("dim", len(t.shape()))
    if "index" in t.states:
        raise Unknown
    return [chosen(t.state(), axis, t.number("index"), t.shape()[axis], t.cause)]


def _index_select(t: Taken) -> list[State]:
    return [gathered(t.state(), t.axis("dim", len(t.shape())), t.state("index"), t.cause)]


def _narrow(t: Taken) -> list[State]:
    axis = t.axis("dim", len(t.shape()))
    if "start" in t.states:
        raise Unknown
    start = bound_of(t.number("start"), t.shape()[axis], 0)
    return [cut(t.state(), axis, start, 1, t.outputs[0].shape[axis], t.cause)]


def _slice(t: Taken) -> list[State]:
    axis = t.axis("dim", len(t.shape()), 0)
    start = bound_of(t.attributes.get("start"), t.shape()[axis], 0)
    step = t.number("step", 1)
    return [cut(t.state(), axis, start, step, t.outputs[0].shape[axis], t.cause)]


def _split(t: Taken) -> list[State]:
    axis = t.axis("dim", len(t.shape()), 0)
    found, start = [], 0
    at: Dim = start
    for output in t.outputs:
        found.append(cut(t.state(), axis, at, 1, output.shape[axis], t.cause))
        at = add(at, output.shape[axis])
    return found


def _unbind(t: Taken) -> list[State]:
    axis = t.axis("dim", len(t.shape()), 0)
    return [chosen(t.state(), axis, i, t.shape()[axis], t.cause) for i in range(len(t.outputs))]


def _embedding(t: Taken) -> list[State]:
    return [gathered(t.state("weight"), 0, t.state("input"), t.cause)]


def _one_hot(t: Taken) -> list[State]:
    given = t.state("tensor" if "tensor" in t.states else "input")
    size = t.outputs[0].shape[-1]
    count = len(given.atoms) + (size != 1)
    axes = (*given.axes, () if size == 1 else (size,))
    return [remapped(given, axes, [unit(i, count) for i in range(len(given.atoms))], keep=False)]


TRANSFERS: dict[str, Transfer] = {
    "getitem": _getitem,
    "select": _select,
    "index_select": _index_select,
    "narrow": _narrow,
    "slice": _slice,
    **dict.fromkeys(("split", "chunk"), _split),
    **dict.fromkeys(("unbind", "iter"), _unbind),
    "embedding": _embedding,
    "one_hot": _one_hot,
}
