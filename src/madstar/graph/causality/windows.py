"""How positions go through windows: convolution and pooling."""

from __future__ import annotations

from dataclasses import replace

from ..dims import multiply, subtract
from ..model import Dim
from .atoms import fused, spread
from .mixing import reduced
from .reach import Reach, State, positive, slots_of, tidy
from .slices import cut
from .taken import Taken, Transfer, Unknown


def _spread_over(value: object, count: int, default: int) -> list[Dim]:
    if value is None or value == ():
        return [default] * count
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        return [value] * count
    if isinstance(value, tuple):
        return [*value] * (count if len(value) == 1 else 1)
    raise Unknown


def window(t: Taken) -> list[State]:
    """Convolution and pooling: place i sees the places from stride*i - padding on, as far as the window."""
    count = int(t.op[-2])
    state = t.state()
    rank = len(state.axes)
    convolved = t.op.startswith("conv")
    if convolved and t.state("weight").reaches:
        raise Unknown
    kernel = list(t.shape("weight")[2:]) if convolved else _spread_over(t.attributes["kernel_size"], count, 1)
    stride = _spread_over(t.attributes.get("stride"), count, 1)
    if not convolved and not t.attributes.get("stride"):
        stride = kernel
    dilation = _spread_over(t.attributes.get("dilation"), count, 1)
    said = t.attributes.get("padding")
    reach = [multiply(d, subtract(k, 1)) for k, d in zip(kernel, dilation, strict=True)]
    if said == "same":
        padding: list[Dim] = [r // 2 if isinstance(r, int) else 0 for r in reach]
    else:
        padding = [0] * count if said == "valid" else _spread_over(said, count, 0)
    if convolved:
        channels = rank - count - 1
        flat = reduced(state, [channels], "", t.cause, keep=True)
        size = t.outputs[0].shape[channels]
        axes = (*flat.axes[:channels], () if size == 1 else (size,), *flat.axes[channels + 1 :])
        state = spread(flat, axes, t.cause)
    for i in range(count):
        axis = rank - count + i
        size = t.outputs[0].shape[axis]
        if (kernel[i], stride[i], padding[i]) == (1, 1, 0) or not state.axes[axis]:
            continue
        state = fused(state, axis, t.cause)
        place = slots_of(state.axes)[axis][0]
        before = state.reaches
        furthest = subtract(reach[i], padding[i])
        state = _seen(state, axis, place, stride[i], furthest, padding[i], size, t.cause)
        if before and furthest != 0 and positive(furthest):
            state = replace(state, reaches=frozenset(replace(r, cause=t.cause) for r in state.reaches))
    return [State(state.axes, state.reaches)]


def _seen(
    state: State, axis: int, place: int, stride: Dim, furthest: Dim, padding: Dim, size: Dim, cause: str
) -> State:
    rising: list[Reach] = []
    falling: list[Reach] = []
    for reach in state.reaches:
        c = reach.bound.coefficients[place] if reach.bound is not None else 0
        (rising if c == 0 or positive(c) else falling).append(reach)
    parts = [
        cut(replace(state, reaches=frozenset(rising)), axis, furthest, stride, size, cause, keep=False),
        cut(
            replace(state, reaches=frozenset(falling)), axis, subtract(0, padding), stride, size, cause, False
        ),
    ]
    return State(parts[0].axes, tidy((r for p in parts for r in p.reaches), parts[0].axes))


TRANSFERS: dict[str, Transfer] = {
    **{f"conv{n}d": window for n in (1, 2, 3)},
    **{f"{kind}_pool{n}d": window for n in (1, 2, 3) for kind in ("max", "avg")},
}
