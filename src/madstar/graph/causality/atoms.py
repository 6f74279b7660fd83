"""The axes of a value in other atoms: views, fused axes, common atoms for values of one operation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..dims import exact_divide, multiply, product
from ..model import Dim, Shape
from .reach import (
    Axes,
    Linear,
    Reach,
    State,
    axis_index,
    not_less,
    positive,
    remapped,
    slots_of,
    tidy,
    unit,
)


def regrouped(state: State, shape: Shape) -> State | None:
    """A view: the same elements in the order of their flat index; None where sizes cannot be matched."""
    queue = list(enumerate(state.atoms))
    images: list[list[int]] = [[] for _ in queue]  # for each old atom the new ones, outermost first
    stack = [(number, size) for number, size in reversed(queue)]
    axes: list[tuple[Dim, ...]] = []
    count = 0
    for size in shape:
        left, axis = size, []
        while left != 1:
            if not stack:
                return None
            number, atom = stack.pop()
            if (rest := exact_divide(left, atom)) is not None:
                taken, left = atom, rest
            elif (inner := exact_divide(atom, left)) is not None:
                taken, left = left, 1
                stack.append((number, inner))
                images[number].append(count)
                axis.append(taken)
                count += 1
                continue
            else:
                return None
            images[number].append(count)
            axis.append(taken)
            count += 1
        axes.append(tuple(axis))
    if stack:
        return None
    return remapped(state, tuple(axes), [_image(parts, axes) for parts in images])


def _image(parts: list[int], axes: list[tuple[Dim, ...]]) -> Linear:
    sizes = [size for axis in axes for size in axis]
    coefficients: list[Dim] = [0] * len(sizes)
    stride: Dim = 1
    for place in reversed(parts):
        coefficients[place] = stride
        stride = multiply(stride, sizes[place])
    return Linear(tuple(coefficients))


def fused(state: State, axis: int, cause: str) -> State:
    """With one atom for an axis, or none; what is no sum of the index along it becomes unsure."""
    parts = state.axes[axis]
    if len(parts) < 2:
        return state
    places = slots_of(state.axes)[axis]
    strides = [axis_index(state.axes, axis).coefficients[p] for p in places]
    axes = (*state.axes[:axis], (product(*parts),), *state.axes[axis + 1 :])

    def fits(linear: Linear) -> bool:
        last = linear.coefficients[places[-1]]
        pairs = zip(places, strides, strict=True)
        return all(linear.coefficients[p] == multiply(last, s) for p, s in pairs)

    def joined(linear: Linear) -> Linear:
        c = linear.coefficients
        return Linear((*c[: places[0]], c[places[-1]], *c[places[-1] + 1 :]), linear.const)

    reaches = []
    for reach in state.reaches:
        if reach.bound is None or fits(reach.bound):
            bound = joined(reach.bound) if reach.bound is not None else None
            reaches.append(replace(reach, bound=bound))
        else:
            reaches.append(Reach(_over(reach.bound, places, strides), False, cause))
    index = joined(state.index) if state.index is not None and fits(state.index) else None
    only = frozenset((what, joined(linear)) for what, linear in state.only if fits(linear))
    return State(axes, tidy(reaches, axes), index, state.fill, only, state.veiled)


def _over(bound: Linear, places: list[int], strides: list[Dim]) -> Linear | None:
    """A sum of the joined index that is never below: the coefficient that covers each atom's."""
    factors = []
    for place, stride in zip(places, strides, strict=True):
        if bound.coefficients[place] != 0:
            factors.append(exact_divide(bound.coefficients[place], stride))
    if any(f is None or positive(f) is not True for f in factors):
        return None
    most: Dim = 0
    for factor in factors:
        if factor is not None and not_less(factor, most):
            most = factor
        elif factor is None or not not_less(most, factor):
            return None
    c = bound.coefficients
    return Linear((*c[: places[0]], most, *c[places[-1] + 1 :]), bound.const)


def aligned(states: Sequence[State], cause: str) -> tuple[Axes, list[State]]:
    """Values of one operation over common axes, broadcast as torch does."""
    rank = max((len(state.axes) for state in states), default=0)
    wide = [
        remapped(
            s, (((),) * (rank - len(s.axes))) + s.axes, [unit(i, len(s.atoms)) for i in range(len(s.atoms))]
        )
        for s in states
    ]
    axes: list[tuple[Dim, ...]] = []
    for axis in range(rank):
        found: tuple[Dim, ...] = ()
        for state in wide:
            if state.axes[axis] and found and state.axes[axis] != found:
                common = _refined(found, state.axes[axis])
                found = common if common is not None else (product(*found),)
            else:
                found = found or state.axes[axis]
        axes.append(found)
    return tuple(axes), [spread(state, tuple(axes), cause) for state in wide]


def _refined(a: tuple[Dim, ...], b: tuple[Dim, ...]) -> tuple[Dim, ...] | None:
    """Atoms of which both lists are made."""
    left, right, found = list(a), list(b), []
    while left and right:
        x, y = left.pop(0), right.pop(0)
        if x == y:
            found.append(x)
        elif (rest := exact_divide(x, y)) is not None:
            found.append(y)
            left.insert(0, rest)
        elif (rest := exact_divide(y, x)) is not None:
            found.append(x)
            right.insert(0, rest)
        else:
            return None
    return None if left or right else tuple(found)


def spread(state: State, axes: Axes, cause: str) -> State:
    """A value repeated along the axes that it has not, its others in finer atoms or in one."""
    for axis, wanted in enumerate(axes):
        if state.axes[axis] and state.axes[axis] != wanted and len(wanted) < 2:
            state = fused(state, axis, cause)
    count = sum(map(len, axes))
    images: list[Linear] = []
    for mine, parts, places in zip(state.axes, axes, slots_of(axes), strict=True):
        if mine == parts:
            images += [unit(place, count) for place in places]
        elif mine:
            images += _finer(mine, parts, places, count)
    return remapped(state, axes, images)


def _finer(mine: tuple[Dim, ...], parts: tuple[Dim, ...], places: list[int], count: int) -> list[Linear]:
    images = []
    at = 0
    for size in mine:
        inside: list[int] = []
        total: Dim = 1
        while total != size and at < len(parts):
            inside.append(at)
            total = multiply(total, parts[at])
            at += 1
        coefficients: list[Dim] = [0] * count
        stride: Dim = 1
        for place in reversed(inside):
            coefficients[places[place]] = stride
            stride = multiply(stride, parts[place])
        images.append(Linear(tuple(coefficients)))
    return images
