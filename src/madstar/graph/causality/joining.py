"""How positions go through joining, padding, turning round and writing into a tensor."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..dims import add, multiply, subtract
from ..model import Dim, Shape
from .atoms import aligned, fused, spread
from .forms import arranged
from .reach import (
    Axes,
    Linear,
    Reach,
    State,
    constant,
    remapped,
    slots_of,
    tidy,
    unit,
    without,
)
from .slices import bound_of, cut
from .taken import Taken, Transfer, Unknown


def _cat(t: Taken) -> list[State]:
    axis = t.axis("dim", len(t.outputs[0].shape), 0)
    pieces = [(s, o.shape) for s, o in t.many("tensors") if o.shape != (0,) and o.shape[axis] != 0]
    parts, at = [], 0
    offset: Dim = at
    for state, shape in pieces:
        parts.append((state, offset))
        offset = add(offset, shape[axis])
    return [_joined(t, parts, axis)]


def _stack(t: Taken) -> list[State]:
    axis = t.axis("dim", len(t.outputs[0].shape), 0)
    parts: list[tuple[State, Dim]] = []
    for place, (state, _) in enumerate(t.many("tensors")):
        order: list[int | None] = list(range(len(state.axes)))
        order.insert(axis, None)
        parts.append((arranged(state, order), place))
    return [_joined(t, parts, axis)]


def _joined(t: Taken, parts: list[tuple[State, Dim]], axis: int) -> State:
    """Pieces one behind the other: each is read at its own offset."""
    size = t.outputs[0].shape[axis]
    rest = [fused(state, axis, t.cause) for state, _ in parts]
    # The other axes in common atoms; the joined one apart.
    bare = [State((*state.axes[:axis], (), *state.axes[axis + 1 :])) for state in rest]
    others, _ = aligned(bare, t.cause)
    axes = (*others[:axis], () if size == 1 else (size,), *others[axis + 1 :])
    slope = _slope(rest, [offset for _, offset in parts], axis)
    reaches: list[Reach] = []
    for state, (_, offset) in zip(rest, parts, strict=True):
        wide = spread(state, (*others[:axis], state.axes[axis], *others[axis + 1 :]), t.cause)
        reaches += _shifted(wide, axis, axes, offset, slope)
    return State(axes, tidy(reaches, axes), veiled=any(s.veiled or s.only for s, _ in parts))


def _shifted(state: State, axis: int, axes: Axes, offset: Dim, slope: Dim) -> list[Reach]:
    place = sum(map(len, axes[:axis]))
    count = sum(map(len, axes))
    has, wide = bool(state.axes[axis]), bool(axes[axis])
    images = []
    for old in range(len(state.atoms)):
        if has and old == place:
            images.append(
                replace(unit(place, count), const=subtract(0, offset)) if wide else constant(0, count)
            )
        else:
            images.append(
                unit(old - (has and old > place) + (wide and old >= place + (1 if has else 0)), count)
            )
    found = []
    for reach in state.reaches:
        if reach.bound is None:
            found.append(reach)
            continue
        bound = reach.bound.at(images, count)
        if wide and not has and slope != 0:
            # One place of the axis: a bound there is one on a line through it.
            line = Linear(
                tuple(slope if i == place else 0 for i in range(count)), subtract(0, multiply(slope, offset))
            )
            bound = bound.plus(line)
            # Beyond that place it is a bound, and nothing that is read.
            reach = replace(reach, sure=reach.sure and offset == 0)
        found.append(replace(reach, bound=bound))
    return found


def _slope(states: list[State], offsets: list[Dim], axis: int) -> Dim:
    """How fast the bounds of single places grow along the axis: the least slope that covers them all.

    Where a place of the axis is a step in time, what stands there reaches to a number, of its own.
    """
    tops: list[tuple[Dim, Dim]] = []
    for state, offset in zip(states, offsets, strict=True):
        if not state.reaches:
            tops.append((offset, -1))
        elif not state.axes[axis]:
            bounds = [reach.bound for reach in state.reaches]
            if any(bound is None or any(bound.coefficients) for bound in bounds):
                return 0
            tops += [(offset, bound.const) for bound in bounds if bound is not None]
    if len(tops) < 2:
        return 0
    first = tops[0]
    rises: list[int] = []
    for offset, top in tops[1:]:
        rise, run = subtract(top, first[1]), subtract(offset, first[0])
        if not isinstance(rise, int) or not isinstance(run, int):
            return 0
        rises += [-(-rise // run)] if run else []
    return max([0, *rises])


def _pad(t: Taken) -> list[State]:
    amounts = t.attributes.get("pad", ())
    state = t.state()
    if t.attributes.get("mode", "constant") != "constant":
        raise Unknown
    rank = len(state.axes)
    for i in range(len(amounts) // 2):
        axis = rank - 1 - i
        before, after = amounts[2 * i], amounts[2 * i + 1]
        if (before, after) == (0, 0) or (not state.axes[axis] and t.shape()[axis] != 1):
            continue
        if not state.axes[axis]:
            # A single place that becomes one of several.
            size = t.outputs[0].shape[axis]
            axes = (*state.axes[:axis], () if size == 1 else (size,), *state.axes[axis + 1 :])
            count, at = sum(map(len, axes)), sum(map(len, axes[:axis]))
            images = [unit(i if i < at else i + (size != 1), count) for i in range(len(state.atoms))]
            state = remapped(state, axes, images, keep=False)
            if size != 1 and before != 0:
                placed = (_alone(reach, at, before) for reach in state.reaches)
                state = replace(state, reaches=tidy(placed, axes))
            continue
        size = t.outputs[0].shape[axis]
        place = slots_of(fused(state, axis, t.cause).axes)[axis][0]
        state = cut(state, axis, subtract(0, before), 1, size, t.cause, keep=False)
        if before != 0:
            # In the padding it is a bound, and nothing that is read.
            state = replace(state, reaches=frozenset(_doubted(reach, place) for reach in state.reaches))
    return [state]


def _alone(reach: Reach, place: int, at: Dim) -> Reach:
    """Of the one element behind some padding: a line that is below the beginning in front of it."""
    bound = reach.bound
    if (
        bound is None
        or any(bound.coefficients)
        or not isinstance(bound.const, int)
        or not isinstance(at, int)
    ):
        return replace(reach, sure=False)
    slope = max(0, -(-(bound.const + 1) // at))
    line = tuple(slope if i == place else 0 for i in range(len(bound.coefficients)))
    return replace(reach, bound=Linear(line, bound.const - slope * at), sure=False)


def _doubted(reach: Reach, place: int) -> Reach:
    follows = reach.bound is not None and reach.bound.coefficients[place] != 0
    return reach if follows else replace(reach, sure=False)


def _roll(t: Taken) -> list[State]:
    """What is moved out at one end comes in at the other."""
    state = t.state()
    if "dims" not in t.attributes:
        raise Unknown
    for axis in t.axes("dims", len(state.axes)):
        state = fused(state, axis, t.cause)
        if not state.axes[axis]:
            continue
        place = slots_of(state.axes)[axis][0]
        state = around(state, axis, place, t.cause)
    return [state]


def around(state: State, axis: int, place: int, cause: str) -> State:
    """Every element may hold any of the axis."""
    left = (*state.axes[:axis], (), *state.axes[axis + 1 :])
    flat = State(left, without(state, [place], left, (), cause))
    count = len(state.atoms)
    images = [unit(i if i < place else i + 1, count) for i in range(count - 1)]
    return remapped(flat, state.axes, images, keep=False)


def _flip(t: Taken) -> list[State]:
    state = t.state()
    for axis in t.axes("dims", len(state.axes)):
        if not state.axes[axis]:
            continue
        state = fused(state, axis, t.cause)
        size = state.axes[axis][0]
        before = state.reaches
        state = cut(state, axis, subtract(size, 1), -1, size, t.cause)
        place = slots_of(state.axes)[axis][0]
        moved = [
            replace(r, cause=t.cause) if r.bound is not None and r.bound.coefficients[place] != 0 else r
            for r in state.reaches
        ]
        state = replace(state, reaches=frozenset(moved) if before else before)
    return [state]


def _written(t: Taken) -> list[State]:
    """setitem with slices and numbers: what was there, and at its places what is written."""
    state, index = t.state(), t.attributes.get("index", ())
    index = index if isinstance(index, tuple) else (index,)
    shape = t.shape()
    if any(
        isinstance(p, (bool,)) or (isinstance(p, tuple) and p[:1] != ("slice",)) or p is None for p in index
    ):
        if not any(s.reaches for s in t.states.values()):
            return t.unknown()
        raise Unknown
    used = sum(part != "..." for part in index)
    full: list[Any] = []
    for part in index:
        full += [None] * (len(shape) - used) if part == "..." else [part]
    full += [None] * (len(shape) - len(full))
    if "value" not in t.states:
        return [State(state.axes, state.reaches)]
    singles = {
        axis: part for axis, part in enumerate(full) if part is not None and not isinstance(part, tuple)
    }
    value = _laid(t, full, shape, len(full) - len(singles))
    axes, (mine, written) = aligned([state, value], t.cause)
    partly = any(part is not None and part != ("slice", None, None, None) for part in full)
    reaches = [*mine.reaches]
    for reach in written.reaches:
        bound = reach.bound
        for axis, place in singles.items():
            if bound is not None:
                at = add(place, shape[axis]) if isinstance(place, int) and place < 0 else place
                bound = _through(bound, slots_of(axes)[axis], at)
        reaches.append(replace(reach, bound=bound, sure=reach.sure and not partly))
    return [State(axes, tidy(reaches, axes), veiled=mine.veiled or written.veiled)]


def _laid(t: Taken, full: list[Any], shape: Shape, rank: int) -> State:
    """What is written, over all axes of what it is written to."""
    value = t.states["value"]
    while len(value.axes) > rank and not value.axes[0]:
        value = arranged(value, list(range(1, len(value.axes))))
    if len(value.axes) > rank:
        raise Unknown
    places = iter(range(len(value.axes) - rank, len(value.axes)))
    order: list[int | None] = []
    for part in full:
        place = next(places) if part is None or isinstance(part, tuple) else None
        order.append(place if place is not None and place >= 0 else None)
    value = arranged(value, order)
    for axis, part in enumerate(full):
        if not isinstance(part, tuple) or not value.axes[axis]:
            continue
        if part[3] not in (None, 1):
            raise Unknown
        start = bound_of(part[1], shape[axis], 0)
        value = cut(value, axis, subtract(0, start), 1, shape[axis], t.cause, keep=False)
    return value


def _through(bound: Linear, places: list[int], at: Dim) -> Linear:
    """A bound that holds at one index only, as a line through it that rises by one with each."""
    if len(places) != 1 or bound.coefficients[places[0]] != 0:
        return bound
    if not isinstance(bound.const, int) or not isinstance(at, int):
        return bound
    slope = max(0, (bound.const + 1) // (at + 1))
    line = Linear(tuple(slope if i == places[0] else 0 for i in range(len(bound.coefficients))), -slope * at)
    return bound.plus(line)


TRANSFERS: dict[str, Transfer] = {
    "setitem": _written,
    "cat": _cat,
    "stack": _stack,
    "pad": _pad,
    "roll": _roll,
    "flip": _flip,
}
