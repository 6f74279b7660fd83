"""How positions go through what mixes elements: products, attention, reductions, scans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..dims import less
from .atoms import aligned, fused, spread
from .forms import arranged
from .joining import around
from .reach import (
    FINITE,
    NONZERO,
    TRUE,
    Linear,
    Reach,
    State,
    axis_index,
    positive,
    slots_of,
    tidy,
    without,
)
from .slices import cut
from .taken import Taken, Transfer, Unknown

# Reductions that leave out zeros, and those that leave out minus infinity.
_SUMS = ("sum", "count_nonzero", "any", "nansum", "norm", "linalg_vector_norm")
_MAXIMA = ("amax", "max", "logsumexp", "softmax", "log_softmax", "argmax")


def _gone(state: State, axes: Sequence[int]) -> list[int]:
    slots = slots_of(state.axes)
    return [place for axis in axes for place in slots[axis]]


def reduced(
    state: State, axes: Sequence[int], what: str, cause: str, keep: bool, blurred: bool = False
) -> State:
    """The axes taken together; where they are kept, they are of size 1."""
    left = tuple(() if i in axes else parts for i, parts in enumerate(state.axes))
    constraints = state.constraints(what) if what else frozenset()
    reaches = without(state, _gone(state, axes), left, constraints, cause, blurred or state.veiled)
    found = State(left, reaches)
    return found if keep else arranged(found, [i for i in range(len(left)) if i not in axes])


def mixed(state: State, axes: Sequence[int], what: str, cause: str, blurred: bool = False) -> State:
    """Every element along the axes may depend on all others along them; the shape stays."""
    flat = reduced(state, axes, what, cause, True, blurred)
    return spread(flat, state.axes, cause)


def _reduction(t: Taken) -> list[State]:
    state = t.state()
    if t.op in ("max", "min") and ("other" in t.states or "dim" in t.states):
        common, both = aligned(list(t.states.values()), t.cause)
        return [State(common, tidy((r for s in both for r in s.reaches), common))]
    axes = t.axes("dim", len(state.axes))
    what = NONZERO if t.op in _SUMS else FINITE if t.op in _MAXIMA else ""
    keep = bool(t.attributes.get("keepdim"))
    return [reduced(state, axes, what, t.cause, keep)] * len(t.outputs)


def _softmax(t: Taken) -> list[State]:
    """An element depends on all others along the dimension that are not minus infinity; those give zeros."""
    state = t.state()
    axis = t.axis("dim", len(state.axes), -1)
    sums = mixed(state, [axis], FINITE, t.cause)
    only = frozenset((NONZERO, linear) for linear in state.constraints(FINITE)) if t.op == "softmax" else ()
    return [replace(sums, only=frozenset(only), veiled=state.veiled)]


def _normalisation(t: Taken) -> list[State]:
    state = t.state()
    rank = len(state.axes)
    if t.op in ("layer_norm", "rms_norm"):
        shape = t.attributes.get("normalized_shape", ())
        axes = list(range(rank - (len(shape) if isinstance(shape, tuple) else 1), rank))
    elif t.op == "normalize":
        axes = [t.axis("dim", rank, 1)]
    elif t.op == "group_norm":
        axes = list(range(1, rank))
    else:
        axes = list(range(2, rank))
    return [mixed(state, axes, "", t.cause)]


def _scan(t: Taken) -> list[State]:
    """Element i depends on those up to i."""
    state = t.state()
    axis = t.axis("dim", len(state.axes), 0)
    return [replace(_running(state, axis, t.cause), only=frozenset(), index=None, fill=None)] * len(t.outputs)


def _running(state: State, axis: int, cause: str) -> State:
    if not state.axes[axis]:
        return state
    state = fused(state, axis, cause)
    place = slots_of(state.axes)[axis][0]
    found = []
    for reach in state.reaches:
        c = reach.bound.coefficients if reach.bound is not None else ()
        if reach.bound is not None and c[place] != 0 and positive(c[place]) is not True:
            # It falls along the axis: the first place is the highest.
            first = Linear(tuple(0 if i == place else each for i, each in enumerate(c)), reach.bound.const)
            reach = Reach(first, reach.sure, cause)
        found.append(reach)
    return State(state.axes, tidy(found, state.axes))


def _difference(t: Taken) -> list[State]:
    axis = t.axis("dim", len(t.shape()), -1)
    if t.number("n", 1) != 1:
        raise Unknown
    state, size = t.state(), t.outputs[0].shape[axis]
    if "prepend" in t.states or "append" in t.states:
        reaches = any(s.reaches for s in t.states.values())
        if reaches:
            raise Unknown
        return t.unknown()
    ahead = cut(state, axis, 1, 1, size, t.cause, keep=False)
    return [ahead]


def _sorted(t: Taken) -> list[State]:
    state = t.state()
    axis = t.axis("dim", len(state.axes), -1)
    # What is put in order may be put back; so it is never sure that it leaks.
    found = mixed(state, [axis], "", t.cause, blurred=True)
    if t.op == "topk":
        size = t.outputs[0].shape[axis]
        flat = reduced(state, [axis], "", t.cause, keep=True, blurred=True)
        axes = (*flat.axes[:axis], () if size == 1 else (size,), *flat.axes[axis + 1 :])
        found = spread(flat, axes, t.cause)
    return [found] * len(t.outputs)


# --- Products.


def _linear(t: Taken) -> list[State]:
    state = t.state()
    last = len(state.axes) - 1
    if t.state("weight").reaches or len(t.shape("weight")) != 2:
        raise Unknown
    flat = reduced(state, [last], NONZERO, t.cause, keep=True)
    size = t.outputs[0].shape[-1]
    return [spread(flat, (*flat.axes[:-1], () if size == 1 else (size,)), t.cause)]


def contracted(t: Taken, operands: list[tuple[State, str]], result: str) -> State:
    """einsum over one letter for each axis: letters that are not in the result are summed over."""
    letters = sorted(
        {c for _, term in operands for c in term}, key=lambda c: (c not in result, result.find(c), c)
    )
    wide = []
    for state, term in operands:
        order: list[int | None] = [term.find(c) if c in term else None for c in letters]
        wide.append(arranged(state, order))
    axes, states = aligned(wide, t.cause)
    constraints = [c for s in states for what in (NONZERO, TRUE) for c in s.constraints(what)]
    joint = State(axes, tidy((r for s in states for r in s.reaches), axes))
    gone = [i for i, c in enumerate(letters) if c not in result]
    hidden = any(s.veiled for s in states)
    left = tuple(() if i in gone else parts for i, parts in enumerate(axes))
    reaches = without(joint, _gone(joint, gone), left, constraints, t.cause, hidden)
    order = [letters.index(c) for c in result]
    return arranged(State(left, reaches), list(order))


_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _matmul(t: Taken) -> list[State]:
    slots = {"mm": ("input", "mat2"), "bmm": ("input", "mat2"), "mv": ("input", "vec")}
    slots |= {"addmm": ("mat1", "mat2"), "baddbmm": ("batch1", "batch2"), "dot": ("input", "tensor")}
    first, second = slots.get(t.op, ("input", "other"))
    a, b = t.state(first), t.state(second)
    rows, columns = len(a.axes), len(b.axes)
    left = "k" if rows == 1 else "qk"
    right = "k" if columns == 1 else "kd"
    batch = max(rows - 2, columns - 2, 0)
    front = [c for c in _LETTERS if c not in "qkd"][:batch]
    x = "".join(front[batch - max(rows - 2, 0) :]) + left
    y = "".join(front[batch - max(columns - 2, 0) :]) + right
    result = "".join(front) + ("q" if rows > 1 else "") + ("d" if columns > 1 else "")
    found = contracted(t, [(a, x), (b, y)], result)
    added = t.states.get("input")
    if t.op in ("addmm", "baddbmm") and added is not None and added.reaches:
        axes, both = aligned([found, added], t.cause)
        found = State(axes, tidy((r for s in both for r in s.reaches), axes))
    return [found]


def _einsum(t: Taken) -> list[State]:
    equation = t.attributes.get("equation")
    if not isinstance(equation, str) or "..." in equation or "->" not in equation:
        raise Unknown
    terms, _, result = equation.replace(" ", "").partition("->")
    states = [state for state, _ in t.many("operands")]
    pairs = list(zip(states, terms.split(","), strict=True))
    if any(len(set(term)) < len(term) for _, term in pairs):
        raise Unknown
    return [contracted(t, pairs, result)]


def _attention(t: Taken) -> list[State]:
    query, key, value = (t.state(slot) for slot in ("query", "key", "value"))
    rank = len(query.axes)
    if t.attributes.get("enable_gqa"):
        key, value = (_grouped(s, query, t.cause) for s in (key, value))
    batch = _LETTERS[: rank - 2]
    pairs = [(query, batch + "XY"), (key, batch + "ZY"), (value, batch + "ZW")]
    scores = _scores(t, pairs, batch)
    return [scores]


def _grouped(state: State, query: State, cause: str) -> State:
    """Each head of keys serves several of queries; positions do not depend on the head."""
    heads = len(query.axes) - 3
    flat = state
    if state.axes[heads] and any(
        r.bound is None or any(r.bound.coefficients[p] != 0 for p in slots_of(state.axes)[heads])
        for r in state.reaches
    ):
        raise Unknown
    flat = reduced(state, [heads], "", cause, keep=True)
    return spread(flat, (*flat.axes[:heads], query.axes[heads], *flat.axes[heads + 1 :]), cause)


def _scores(t: Taken, pairs: list[tuple[State, str]], batch: str) -> State:
    letters = batch + "XZYW"
    wide = [arranged(s, [term.find(c) if c in term else None for c in letters]) for s, term in pairs]
    mask = t.states.get("attn_mask")
    if mask is not None:
        if len(mask.axes) > len(batch) + 2:
            raise Unknown
        lead = len(batch) + 2 - len(mask.axes)
        order: list[int | None] = [None] * lead + list(range(len(mask.axes))) + [None, None]
        wide.append(arranged(mask, order))
    axes, states = aligned(wide, t.cause)
    # One index each for queries and keys.
    for axis in (len(batch), len(batch) + 1):
        if len(axes[axis]) > 1:
            states = [fused(s, axis, t.cause) for s in states]
            axes = states[0].axes
    constraints: list[Linear] = []
    blurred = False
    if t.attributes.get("is_causal"):
        row, column = axis_index(axes, len(batch)), axis_index(axes, len(batch) + 1)
        constraints.append(column.plus(row, -1))
    if mask is not None:
        what = TRUE if t.types["attn_mask"].dtype == "bool" else FINITE
        constraints += states[-1].constraints(what)
        blurred = mask.veiled
    joint = State(axes, tidy((r for s in states for r in s.reaches), axes))
    gone = [len(batch) + 1, len(batch) + 2]
    left = tuple(() if i in gone else parts for i, parts in enumerate(axes))
    reaches = without(joint, _gone(joint, gone), left, constraints, t.cause, blurred)
    keep: list[int | None] = [i for i in range(len(axes)) if i not in gone]
    found = arranged(State(left, reaches), keep)
    wanted = t.outputs[0].shape
    full = tuple(p or (() if s == 1 else (s,)) for p, s in zip(found.axes, wanted, strict=True))
    return spread(found, full, t.cause)


def _fourier(t: Taken) -> list[State]:
    """All places mixed; but a product of spectra, with zeros enough behind, is a causal convolution."""
    state = t.state()
    axis = t.axis("dim", len(t.shape()), -1)
    (blurred,) = t.unknown()
    if t.op in ("fft_rfft", "fft_fft"):
        length = t.shape()[axis]
        if less(t.number("n", length), length) is not False:
            return [blurred]
        return [
            replace(blurred, wave=(state, axis, length)) if state.reaches else replace(blurred, taps=length)
        ]
    size = t.outputs[0].shape[axis]
    if state.wave is None or state.wave[1] != axis or less(size, state.wave[2]) is not False:
        return [blurred]
    source = replace(_running(state.wave[0], axis, t.cause), only=frozenset(), index=None, fill=None)
    return [cut(source, axis, 0, 1, size, t.cause, keep=False)]


def _recurrent(t: Taken) -> list[State]:
    """One direction reads up to each place, two read all."""
    state = t.state()
    rank = len(state.axes)
    axis = rank - 2 if t.attributes.get("batch_first") or rank == 2 else 0
    if any(s.reaches for slot, s in t.states.items() if slot != "input"):
        raise Unknown
    flat = reduced(state, [rank - 1], "", t.cause, keep=True)
    if t.attributes.get("bidirectional"):
        flat = fused(flat, axis, t.cause)
        if flat.axes[axis]:
            flat = around(flat, axis, slots_of(flat.axes)[axis][0], t.cause)
    else:
        flat = _running(flat, axis, t.cause)
    size = t.outputs[0].shape[-1]
    found = [spread(flat, (*flat.axes[:-1], () if size == 1 else (size,)), t.cause)]
    last = reduced(flat, [axis], "", t.cause, keep=False)
    for output in t.outputs[1:]:
        axes = tuple(() if s == 1 else (s,) for s in output.shape)
        bound = [Reach(None, False, t.cause)] if last.reaches else []
        found.append(State(axes, frozenset(bound)))
    return found


TRANSFERS: dict[str, Transfer] = {
    **dict.fromkeys(
        """sum prod nansum mean nanmean amax amin logsumexp var std var_mean std_mean aminmax max min argmax
        argmin any all count_nonzero norm linalg_vector_norm median""".split(),  # noqa: SIM905
        _reduction,
    ),
    **dict.fromkeys(("softmax", "log_softmax", "softmin"), _softmax),
    **dict.fromkeys("layer_norm rms_norm normalize group_norm instance_norm".split(), _normalisation),  # noqa: SIM905
    **dict.fromkeys(("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp"), _scan),
    "diff": _difference,
    **dict.fromkeys(("sort", "argsort", "topk"), _sorted),
    "linear": _linear,
    **dict.fromkeys("matmul mm bmm mv dot addmm baddbmm".split(), _matmul),  # noqa: SIM905
    "einsum": _einsum,
    "scaled_dot_product_attention": _attention,
    **dict.fromkeys(("fft_fft", "fft_ifft", "fft_rfft", "fft_irfft"), _fourier),
    **dict.fromkeys(("lstm", "gru", "rnn_tanh", "rnn_relu"), _recurrent),
}
