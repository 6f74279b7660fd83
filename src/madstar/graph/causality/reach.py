"""How far ahead a value looks: bounds on positions of the sequence, linear in the value's own indices.

Each axis of a value is a product of atoms, (batch*length) after a view is (batch, length), so that views lose
nothing. A `Linear` is a sum over the atoms' indices and a constant. A `Reach` says that an element depends on
positions of the sequence up to that sum; a value has several, and none where it depends on no position at
all. Masks are constraints: an element is true, or false, not zero, or finite only where a sum is at most 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from ..dims import add, exact_divide, less, multiply, subtract
from ..model import Dim, Shape

MAX_REACHES = 8

Axes = tuple[tuple[Dim, ...], ...]
"""For each axis the sizes of its atoms, outermost first; an axis of size 1 has none."""


@dataclass(frozen=True, slots=True)
class Linear:
    """const + the sum of coefficients times the indices of the atoms, in order."""

    coefficients: tuple[Dim, ...]
    const: Dim = 0

    def at(self, images: Sequence[Linear], count: int) -> Linear:
        """With a sum over `count` new atoms put for each index."""
        coefficients: list[Dim] = [0] * count
        const = self.const
        for coefficient, image in zip(self.coefficients, images, strict=True):
            if coefficient == 0:
                continue
            const = add(const, multiply(coefficient, image.const))
            for i, inner in enumerate(image.coefficients):
                if inner != 0:
                    coefficients[i] = add(coefficients[i], multiply(coefficient, inner))
        return Linear(tuple(coefficients), const)

    def plus(self, other: Linear, sign: int = 1) -> Linear:
        """self + sign * other."""
        both = zip(self.coefficients, other.coefficients, strict=True)
        step = add if sign > 0 else subtract
        return Linear(tuple(step(a, b) for a, b in both), step(self.const, other.const))

    def moved(self, by: Dim) -> Linear:
        """self + by."""
        return Linear(self.coefficients, add(self.const, by))


@dataclass(frozen=True, slots=True)
class Reach:
    """Positions that an element may depend on: up to `bound`, or anywhere where that is None.

    `sure` says that the positions are really read, as far as operations tell; otherwise that is only what
    could not be excluded. `cause` is the node that last looked ahead or could not be followed.
    """

    bound: Linear | None
    sure: bool = True
    cause: str = field(default="", compare=False)


TRUE, FALSE, NONZERO, FINITE, OTHER = "true", "false", "nonzero", "finite", "other than one"


@dataclass(frozen=True, slots=True)
class State:
    """What is known of a value: axes, reaches, its numbers if they are a linear sum of indices (`index`) or
    all the same (`fill`), and constraints on where its elements are true, false, not zero, finite.

    `veiled` says that elements may be masked in a way that is not known. `taps` is of a spectrum that depends
    on no position: of how many places. `wave` is of another: what it is the spectrum of, along which axis,
    and how many places of that are not zero.
    """

    axes: Axes
    reaches: frozenset[Reach] = frozenset()
    index: Linear | None = None
    fill: float | None = None
    only: frozenset[tuple[str, Linear]] = frozenset()
    veiled: bool = False
    taps: Dim | None = None
    wave: tuple[State, int, Dim] | None = None

    @property
    def atoms(self) -> tuple[Dim, ...]:
        """The sizes of all atoms, in order of the axes."""
        return tuple(size for axis in self.axes for size in axis)

    def constraints(self, what: str) -> frozenset[Linear]:
        """Where elements are so."""
        return frozenset(linear for kind, linear in self.only if kind == what)


def plain(shape: Shape) -> State:
    """A value of which nothing is known, and which depends on no position."""
    return State(tuple(() if size == 1 else (size,) for size in shape))


def unit(place: int, count: int) -> Linear:
    """The index of one atom."""
    return Linear(tuple(1 if i == place else 0 for i in range(count)))


def constant(value: Dim, count: int) -> Linear:
    """A number."""
    return Linear((0,) * count, value)


def slots_of(axes: Axes) -> list[list[int]]:
    """For each axis the numbers of its atoms."""
    found, at = [], 0
    for axis in axes:
        found.append(list(range(at, at + len(axis))))
        at += len(axis)
    return found


def axis_index(axes: Axes, axis: int) -> Linear:
    """The index along an axis, as a sum over its atoms."""
    count = sum(map(len, axes))
    coefficients: list[Dim] = [0] * count
    stride: Dim = 1
    for place, size in zip(reversed(slots_of(axes)[axis]), reversed(axes[axis]), strict=True):
        coefficients[place] = stride
        stride = multiply(stride, size)
    return Linear(tuple(coefficients))


def remapped(state: State, axes: Axes, images: Sequence[Linear], keep: bool = True) -> State:
    """The state over new axes, each old atom's index being a sum over the new ones.

    Without `keep` only reaches survive: where a value becomes a part of another.
    """
    count = sum(map(len, axes))
    reaches = (
        replace(reach, bound=reach.bound.at(images, count)) if reach.bound is not None else reach
        for reach in state.reaches
    )
    if not keep:
        return State(axes, tidy(reaches, axes), veiled=state.veiled or bool(state.only))
    index = state.index.at(images, count) if state.index is not None else None
    only = frozenset((what, linear.at(images, count)) for what, linear in state.only)
    return State(axes, tidy(reaches, axes), index, state.fill, only, state.veiled, state.taps)


def highest(linear: Linear, atoms: Sequence[Dim]) -> Dim | None:
    """The largest value of a sum over all indices; None where a sign is not known."""
    total = linear.const
    for coefficient, size in zip(linear.coefficients, atoms, strict=True):
        sign = positive(coefficient)
        if sign is None:
            return None
        if sign:
            total = add(total, multiply(coefficient, subtract(size, 1)))
    return total


def positive(dim: Dim) -> bool | None:
    """Whether a coefficient is above 0; None where that depends."""
    if isinstance(dim, int):
        return dim > 0
    if less(0, dim) is True:
        return True
    return False if less(dim, 1) is True else None


def tidy(reaches: Iterable[Reach], axes: Axes) -> frozenset[Reach]:
    """Without those that others cover, and those that reach before the beginning."""
    atoms = tuple(size for axis in axes for size in axis)
    kept: list[Reach] = []
    # The sure first, so that what is not sure does not hide them.
    # Written out, so that the order is the same in every process.
    for reach in sorted(reaches, key=lambda r: (r.bound is not None, not r.sure, repr(r.bound), r.cause)):
        if reach.bound is not None:
            top = highest(reach.bound, atoms)
            if top is not None and less(top, 0) is True:
                continue
        if any(_covers(other, reach) for other in kept):
            continue
        kept = [other for other in kept if not _covers(reach, other)]
        kept.append(reach)
    if len(kept) > MAX_REACHES:
        return frozenset({Reach(None, False, kept[0].cause)})
    return frozenset(kept)


def _covers(wide: Reach, narrow: Reach) -> bool:
    """Whether nothing is lost where only the wider is kept."""
    if narrow.sure and not wide.sure:
        return False
    if wide.bound is None or narrow.bound is None:
        return wide.bound is None
    pairs = zip(wide.bound.coefficients, narrow.bound.coefficients, strict=True)
    return all(not_less(a, b) for a, b in pairs) and not_less(wide.bound.const, narrow.bound.const)


def not_less(a: Dim, b: Dim) -> bool:
    """Whether a >= b for all values of the symbols."""
    return a == b or less(a, b) is False


# --- Taking an index away.


def without(
    state: State,
    gone: Sequence[int],
    axes: Axes,
    constraints: Iterable[Linear],
    cause: str,
    blurred: bool = False,
) -> frozenset[Reach]:
    """The reaches when the atoms `gone` are summed over; `axes` is what is left.

    An index that is summed over is bounded by the constraints, which hold wherever something is added, else
    by its size. `blurred` says that parts may be zero in a way that is not known.
    """
    atoms = state.atoms
    kept = [i for i in range(len(atoms)) if i not in gone]
    found = []
    known = sorted(constraints, key=repr)
    for reach in state.reaches:
        bound, sure, why = reach.bound, reach.sure, reach.cause
        for place in gone:
            if bound is None or bound.coefficients[place] == 0:
                continue
            better = _bounded(bound, place, known)
            if better is None or any(better.coefficients[i] != 0 for i in gone if i == place):
                sign = positive(bound.coefficients[place])
                if sign is None:
                    bound, sure, why = None, False, cause
                    continue
                top = subtract(atoms[place], 1) if sign else 0
                moved = add(bound.const, multiply(bound.coefficients[place], top))
                coefficients = tuple(0 if i == place else c for i, c in enumerate(bound.coefficients))
                bound, sure, why = Linear(coefficients, moved), sure and not blurred, cause
            else:
                bound = better
        if bound is not None:
            bound = Linear(tuple(bound.coefficients[i] for i in kept), bound.const)
        found.append(Reach(bound, sure, why))
    return tidy(found, axes)


def clipped(state: State, constraints: Iterable[Linear]) -> State:
    """Where what breaks a constraint is a constant, an element reaches no further than that allows."""
    known = sorted(constraints, key=repr)
    found = []
    for reach in state.reaches:
        bound = reach.bound
        for place in range(len(state.atoms)):
            if bound is None or bound.coefficients[place] == 0:
                continue
            better = _bounded(bound, place, known)
            if better is not None and better.coefficients[place] == 0 and not_less(bound.const, better.const):
                bound = better
        found.append(replace(reach, bound=bound))
    return replace(state, reaches=tidy(found, state.axes))


def _bounded(bound: Linear, place: int, constraints: Sequence[Linear]) -> Linear | None:
    """With the index at `place` replaced by the largest that a constraint allows, the tightest of them."""
    best: Linear | None = None
    for constraint in constraints:
        inside = constraint.coefficients[place]
        if inside == 0 or positive(inside) is not positive(bound.coefficients[place]):
            continue
        factor = exact_divide(bound.coefficients[place], inside)
        if factor is None:
            continue
        coefficients = tuple(multiply(factor, c) for c in constraint.coefficients)
        found = bound.plus(Linear(coefficients, multiply(factor, constraint.const)), -1)
        if best is None or (not_less(best.const, found.const) and best.const != found.const):
            best = found
    return best
