"""How positions go through views: the same elements under other indices."""

from __future__ import annotations

from ..model import Shape
from .atoms import regrouped, spread
from .reach import (
    Axes,
    State,
    constant,
    remapped,
    slots_of,
    unit,
)
from .taken import Taken, Transfer, Unknown


def _view(t: Taken) -> list[State]:
    found = regrouped(t.state(), t.outputs[0].shape)
    if found is None:
        raise Unknown
    return [found]


def arranged(state: State, order: list[int | None]) -> State:
    """Axes in another order; None is a new axis of size 1; axes that are left out must have no atoms."""
    slots = slots_of(state.axes)
    axes = tuple(() if old is None else state.axes[old] for old in order)
    count = len(state.atoms)
    images = [constant(0, count)] * count
    at = 0
    for old in order:
        for place in slots[old] if old is not None else ():
            images[place] = unit(at, count)
            at += 1
    if at != count:
        raise Unknown
    return remapped(state, axes, images)


def _transpose(t: Taken) -> list[State]:
    rank = len(t.shape())
    order: list[int | None] = list(range(rank))
    first, second = ("axis0", "axis1") if "axis0" in t.attributes else ("dim0", "dim1")
    a, b = t.axis(first, rank), t.axis(second, rank)
    order[a], order[b] = order[b], order[a]
    return [arranged(t.state(), order)]


def _turned(t: Taken) -> list[State]:
    order: list[int | None] = list(range(len(t.shape())))
    if t.op in ("mT", "mH"):
        order[-1], order[-2] = order[-2], order[-1]
    else:
        order.reverse()
    return [arranged(t.state(), order)]


def _permute(t: Taken) -> list[State]:
    return [arranged(t.state(), list(t.axes("dims", len(t.shape()))))]


def _movedim(t: Taken) -> list[State]:
    rank = len(t.shape())
    source, target = t.axes("source", rank), t.axes("destination", rank)
    order: list[int | None] = [axis for axis in range(rank) if axis not in source]
    for axis, place in sorted(zip(source, target, strict=True), key=lambda pair: pair[1]):
        order.insert(place, axis)
    return [arranged(t.state(), order)]


def _squeeze(t: Taken) -> list[State]:
    shape = t.shape()
    gone = [a for a in t.axes("dim", len(shape)) if shape[a] == 1]
    return [arranged(t.state(), [a for a in range(len(shape)) if a not in gone])]


def _unsqueeze(t: Taken) -> list[State]:
    rank = len(t.shape())
    order: list[int | None] = list(range(rank))
    order.insert(t.axis("dim", rank + 1), None)
    return [arranged(t.state(), order)]


def _expand(t: Taken) -> list[State]:
    return [_to_shape(t.state(), t.outputs[0].shape, t.cause)]


def _to_shape(state: State, shape: Shape, cause: str) -> State:
    lead = len(shape) - len(state.axes)
    count = len(state.atoms)
    wide = remapped(state, ((),) * lead + state.axes, [unit(i, count) for i in range(count)])
    axes = tuple(mine or (() if size == 1 else (size,)) for mine, size in zip(wide.axes, shape, strict=True))
    return spread(wide, axes, cause)


def _broadcast_tensors(t: Taken) -> list[State]:
    return [_to_shape(s, o.shape, t.cause) for (s, _), o in zip(t.many("tensors"), t.outputs, strict=True)]


def _repeat(t: Taken) -> list[State]:
    """Each axis once more, outside."""
    state = t.state()
    times = t.attributes.get("repeats", t.attributes.get("dims"))
    parts = times if isinstance(times, tuple) else (times,)
    lead = len(t.outputs[0].shape) - len(state.axes)
    parts = (1,) * (len(t.outputs[0].shape) - len(parts)) + parts
    inner = ((),) * lead + state.axes
    axes = tuple((*(() if n == 1 else (n,)), *axis) for n, axis in zip(parts, inner, strict=True))
    return [_inside(state, axes, [0 if n == 1 else 1 for n in parts[lead:]], lead)]


def _inside(state: State, axes: Axes, skip: list[int], lead: int) -> State:
    slots = slots_of(axes)
    count = sum(map(len, axes))
    images = [
        unit(slots[lead + axis][skip[axis] + i], count)
        for axis, parts in enumerate(state.axes)
        for i in range(len(parts))
    ]
    return remapped(state, axes, images)


def _repeat_interleave(t: Taken) -> list[State]:
    state = t.state()
    by = t.number("repeats")
    if "dim" not in t.attributes:
        raise Unknown
    axis = t.axis("dim", len(state.axes))
    axes = (*state.axes[:axis], (*state.axes[axis], by), *state.axes[axis + 1 :])
    return [_inside(state, axes, [0] * len(state.axes), 0)]


TRANSFERS: dict[str, Transfer] = {
    **dict.fromkeys("view reshape view_as reshape_as flatten unflatten ravel".split(), _view),  # noqa: SIM905
    **dict.fromkeys(("transpose", "swapaxes"), _transpose),
    **dict.fromkeys(("t", "T", "mT", "H", "mH", "numpy_T"), _turned),
    "permute": _permute,
    "movedim": _movedim,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _expand),
    "broadcast_tensors": _broadcast_tensors,
    **dict.fromkeys(("repeat", "tile"), _repeat),
    "repeat_interleave": _repeat_interleave,
}
