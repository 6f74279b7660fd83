"""How positions and masks go through operations that treat each element alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..dims import add, multiply, subtract
from ..inference.rules import elementwise
from ..model import Dim
from .atoms import aligned, fused
from .reach import (
    FALSE,
    FINITE,
    NONZERO,
    OTHER,
    TRUE,
    Axes,
    Linear,
    Reach,
    State,
    axis_index,
    clipped,
    constant,
    plain,
    remapped,
    tidy,
    unit,
)
from .taken import Taken, Transfer, Unknown

LOW = -1e4
"""At or below this a number added to a score counts as minus infinity."""

Constraints = frozenset[tuple[str, Linear]]


def number_of(value: Any) -> float | None:
    """An attribute as a number."""
    if value in ("inf", "-inf"):
        return float(value)
    return float(value) if isinstance(value, (int, float)) else None


def together(t: Taken, slots: list[str]) -> tuple[Axes, list[State]]:
    """The states in these slots over common axes; a number that stands for a tensor is a state too."""
    states = []
    for slot in slots:
        if slot in t.states:
            states.append(t.states[slot])
            continue
        value = t.attributes.get(slot)
        index = constant(value, 0) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
        if isinstance(value, str) and number_of(value) is not None:
            index = None
        states.append(replace(State(()), fill=number_of(value), index=index))
    return aligned(states, t.cause)


def elementwise_step(t: Taken) -> list[State]:
    """Any elementwise operation: the reaches of all operands, and of numbers and masks what is known."""
    slots = [s for s in t.states if s != "dtype"]
    for slot in ("input", "other", "end"):
        if slot not in slots and slot in t.attributes:
            slots.append(slot)
    order = {"condition": 0, "input": 1, "other": 2}
    slots.sort(key=lambda slot: order.get(slot, 3))
    axes, states = together(t, slots)
    states = [
        replace(s, wave=t.states[slot].wave) if slot in t.states else s
        for slot, s in zip(slots, states, strict=True)
    ]
    known = dict(zip(slots, states, strict=True))
    reaches = tidy((reach for state in states for reach in state.reaches), axes)
    index: Linear | None = None
    fill: float | None = None
    only: Constraints = frozenset()
    if (special := _SPECIAL.get(t.op)) is not None:
        index, fill, only = special(t, known)
    unclear = t.outputs[0].dtype == "bool" and not only and fill is None
    veiled = unclear or any(s.veiled or (s.only and not only) for s in states)
    if t.op in _MASKING and any(s.veiled or s.only for s in states):
        # Where it is masked, nothing is read.
        reaches = frozenset(r if _at_hand(r) else replace(r, sure=False) for r in reaches)
    found = State(axes, reaches, index, fill, only, veiled)
    if t.op == "mul" and len(states) == 2:
        found = replace(found, wave=_filtered(*states) or _filtered(*reversed(states)))
    if t.op in _MASKING:
        found = clipped(found, found.constraints(FINITE) | found.constraints(NONZERO))
    return [found] * max(1, len(t.outputs))


def _filtered(wave: State, taps: State) -> tuple[State, int, Dim] | None:
    """The product of two spectra is that of a convolution, as long as both together."""
    if wave.wave is None or taps.taps is None:
        return None
    source, axis, length = wave.wave
    return source, axis, subtract(add(length, taps.taps), 1)


def _at_hand(reach: Reach) -> bool:
    return reach.bound is not None and reach.bound.const == 0


# After these an element that breaks a constraint is a constant, whatever it was before.
_MASKING = ("add", "mul", "where", "masked_fill")


Found = tuple[Linear | None, float | None, Constraints]


def _kept(t: Taken, known: dict[str, State]) -> Found:
    one = known["input"]
    return one.index, one.fill, _converted(t, one)


def _converted(t: Taken, one: State) -> Constraints:
    """From bool to a number, what is true is what is not zero; and back."""
    before, after = t.types["input"].dtype if "input" in t.types else "", t.outputs[0].dtype
    only = set(one.only)
    if before == "bool" and after != "bool":
        only |= {(NONZERO, linear) for linear in one.constraints(TRUE)}
        only |= {(OTHER, linear) for linear in one.constraints(FALSE)}
    if after == "bool" and before != "bool":
        only |= {(TRUE, linear) for linear in one.constraints(NONZERO)}
    return frozenset(only)


def _sum(t: Taken, known: dict[str, State]) -> Found:
    a, b = known.get("input"), known.get("other")
    if a is None or b is None:
        return None, None, frozenset()
    sign = 1 if t.op == "add" else -1
    alpha = t.attributes.get("alpha", 1)
    index = a.index.plus(b.index, sign) if a.index and b.index and alpha == 1 else None
    fill = a.fill + sign * b.fill if a.fill is not None and b.fill is not None and alpha == 1 else None
    only = {(FINITE, linear) for linear in a.constraints(FINITE) | b.constraints(FINITE)}
    if t.outputs[0].dtype == "bool":
        only |= {(TRUE, linear) for linear in a.constraints(TRUE) & b.constraints(TRUE)}
    if sign < 0 and a.fill == 1 and alpha == 1:  # a mask the other way round
        only |= {(NONZERO, linear) for linear in b.constraints(OTHER)}
        only |= {(OTHER, linear) for linear in b.constraints(NONZERO)}
    return index, fill, frozenset(only)


def _product(t: Taken, known: dict[str, State]) -> Found:
    a, b = known.get("input"), known.get("other")
    if a is None or b is None:
        return None, None, frozenset()
    index = None
    for one, two in ((a, b), (b, a)):
        if one.index is not None and two.index is not None and not any(two.index.coefficients):
            factor: Dim = two.index.const
            coefficients = tuple(multiply(factor, c) for c in one.index.coefficients)
            index = Linear(coefficients, multiply(factor, one.index.const))
    fill = a.fill * b.fill if a.fill is not None and b.fill is not None else None
    only = {(NONZERO, linear) for s in (a, b) for linear in s.constraints(NONZERO) | s.constraints(TRUE)}
    # Zeros of a mask, times a number below all scores, are what is kept.
    for one, two in ((a, b), (b, a)):
        if two.fill is not None and two.fill > 0:
            only |= {(FINITE, linear) for linear in one.constraints(FINITE)}
        if _is_low(two):
            only |= {(FINITE, linear) for linear in one.constraints(OTHER)}
    return index, fill, frozenset(only)


def _quotient(t: Taken, known: dict[str, State]) -> Found:
    one = known.get("input")
    if one is None:
        return None, None, frozenset()
    return None, None, frozenset((k, linear) for k, linear in one.only if k in (NONZERO, FINITE))


def _compared(t: Taken, known: dict[str, State]) -> Found:
    a, b = known.get("input"), known.get("other")
    if a is None or b is None or a.index is None or b.index is None:
        return None, None, frozenset()
    less, more = a.index.plus(b.index, -1), b.index.plus(a.index, -1)
    found = {
        "lt": ((TRUE, less.moved(1)), (FALSE, more)),
        "le": ((TRUE, less), (FALSE, more.moved(1))),
        "gt": ((TRUE, more.moved(1)), (FALSE, less)),
        "ge": ((TRUE, more), (FALSE, less.moved(1))),
        "eq": ((TRUE, less), (TRUE, more)),
        "ne": ((FALSE, less), (FALSE, more)),
    }
    return None, None, frozenset(found[t.op])


def _both(t: Taken, known: dict[str, State]) -> Found:
    states = list(known.values())
    first, second = (TRUE, FALSE) if t.op.endswith("and") else (FALSE, TRUE)
    either = {(first, linear) for s in states for linear in s.constraints(first)}
    common = set.intersection(*(set(s.constraints(second)) for s in states))
    return None, None, frozenset(either | {(second, linear) for linear in common})


def _not(t: Taken, known: dict[str, State]) -> Found:
    one = known["input"]
    turned = {TRUE: FALSE, FALSE: TRUE}
    return None, None, frozenset((turned[k], linear) for k, linear in one.only if k in turned)


def _chosen(condition: State, yes: State, no: State) -> Constraints:
    """Of where(condition, yes, no)."""
    only: set[tuple[str, Linear]] = set()
    for kind, absent in ((FINITE, _is_low), (NONZERO, _is_zero), (TRUE, _is_zero)):
        if absent(no):
            only |= {(kind, linear) for linear in condition.constraints(TRUE) | yes.constraints(kind)}
        elif absent(yes):
            only |= {(kind, linear) for linear in condition.constraints(FALSE) | no.constraints(kind)}
        else:
            only |= {(kind, linear) for linear in yes.constraints(kind) & no.constraints(kind)}
    return frozenset(only)


def _is_low(state: State) -> bool:
    return state.fill is not None and state.fill <= LOW


def _is_zero(state: State) -> bool:
    return state.fill == 0


def _where(t: Taken, known: dict[str, State]) -> Found:
    if not {"condition", "input", "other"} <= set(known):
        return None, None, frozenset()
    return None, None, _chosen(known["condition"], known["input"], known["other"])


def _masked_fill(t: Taken, known: dict[str, State]) -> Found:
    if "mask" not in known:
        return None, None, frozenset()
    axes = known["mask"].axes
    value = replace(State(axes), fill=number_of(t.attributes.get("value")))
    if "value" in t.states:
        value = replace(State(axes), fill=t.states["value"].fill)
    return None, None, _chosen(known["mask"], value, known["input"])


def _exponential(t: Taken, known: dict[str, State]) -> Found:
    return None, None, frozenset((NONZERO, linear) for linear in known["input"].constraints(FINITE))


def _filled(t: Taken, known: dict[str, State]) -> Found:
    value = t.attributes.get("value", 0 if t.op == "zero" else None)
    return None, number_of(value), frozenset()


_SPECIAL = {
    **dict.fromkeys("to contiguous clone detach data dropout positive copy".split(), _kept),  # noqa: SIM905
    **dict.fromkeys(("add", "sub"), _sum),
    "mul": _product,
    **dict.fromkeys(("div", "true_divide"), _quotient),
    **dict.fromkeys(("lt", "le", "gt", "ge", "eq", "ne"), _compared),
    **dict.fromkeys(("logical_and", "bitwise_and", "logical_or", "bitwise_or"), _both),
    **dict.fromkeys(("logical_not", "bitwise_not"), _not),
    "where": _where,
    "masked_fill": _masked_fill,
    "exp": _exponential,
    **dict.fromkeys(("fill", "zero"), _filled),
}


# --- What is made of nothing, triangles.


def created(t: Taken) -> list[State]:
    """zeros, full, arange and their like depend on no position; what numbers they have is kept."""
    state = plain(t.outputs[0].shape)
    if t.op == "arange":
        bounds = t.attributes.get("range")
        parts = bounds if isinstance(bounds, tuple) else (bounds,)
        start, step = (parts[0] if len(parts) > 1 else 0), (parts[2] if len(parts) > 2 else 1)
        if all(isinstance(p, (int, str)) and not isinstance(p, bool) for p in (start, step)):
            count = len(state.atoms)
            return [replace(state, index=Linear((step,) * count, start))]
        return [state]
    name = t.op.removesuffix("_like").removeprefix("new_")
    fill = {"zeros": 0.0, "ones": 1.0}.get(name)
    if name in ("full", "tensor", "constant", "scalar_tensor", "as_tensor"):
        slot = {"full": "fill_value", "constant": "value", "scalar_tensor": "s"}.get(name, "data")
        fill = number_of(t.attributes.get(slot))
    value = t.attributes.get("value")
    index = None
    if name == "constant" and isinstance(value, int) and not isinstance(value, bool) and not state.atoms:
        index = constant(value, 0)
    return [replace(state, fill=fill, index=index)]


def triangle(t: Taken) -> list[State]:
    """tril and triu: zero where the column is right of the diagonal, or left of it."""
    state, rank = t.state(), len(t.shape())
    offset = t.attributes.get("diagonal", 0)
    if rank < 2 or not isinstance(offset, int):
        raise Unknown
    for axis in (rank - 2, rank - 1):
        state = fused(state, axis, t.cause)
    if not state.axes[rank - 1] or not state.axes[rank - 2]:
        raise Unknown
    return [cut_triangle(state, rank, t.op == "tril", offset)]


def cut_triangle(state: State, rank: int, lower: bool, offset: int) -> State:
    """A value of this rank, none of whose last two axes is of size 1, with one of its triangles zero."""
    row, column = axis_index(state.axes, rank - 2), axis_index(state.axes, rank - 1)
    right = column.plus(row, -1).moved(-offset)  # at most 0 up to the diagonal
    left = row.plus(column, -1).moved(offset)
    inside, outside = (right, left.moved(1)) if lower else (left, right.moved(1))
    only = set(state.only) | {(NONZERO, inside), (TRUE, inside)}
    if state.fill is not None and state.fill != 0:
        only.add((FALSE, outside))
        if state.fill == 1:
            only.add((OTHER, outside))
        if state.fill <= LOW:
            only.add((FINITE, outside))
    return State(state.axes, state.reaches, None, None, frozenset(only), state.veiled)


def _same(t: Taken) -> list[State]:
    state = t.state()
    count = len(state.atoms)
    return [remapped(state, state.axes, [unit(i, count) for i in range(count)], keep=False)]


TRANSFERS: dict[str, Transfer] = {
    **dict.fromkeys(elementwise.RULES, elementwise_step),
    **dict.fromkeys(
        """zeros ones full empty rand randn randint zeros_like ones_like empty_like full_like rand_like
        randn_like new_zeros new_ones new_empty new_full arange linspace logspace eye randperm constant tensor
        as_tensor scalar_tensor hann_window fft_fftfreq fft_rfftfreq""".split(),  # noqa: SIM905
        created,
    ),
    **dict.fromkeys(("tril", "triu"), triangle),
    "batch_norm": _same,
}
for _name in ("flip", "logcumsumexp", "fft_fftshift", "fft_ifftshift", "matrix_exp", "channel_shuffle"):
    del TRANSFERS[_name]
