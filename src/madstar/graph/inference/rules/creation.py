"""What makes tensors of nothing, or like another; recurrent layers."""

from __future__ import annotations

from ...dims import add, ceil_divide, multiply, subtract
from ...model import Dim
from .. import promotion
from ..operands import Operands
from ..types import NoRule, Type
from .table import Rule, rules


def _sized(o: Operands) -> list[Type]:
    """zeros, ones, rand: the sizes are said."""
    fallback = o.floating
    if o.op == "full":
        fallback = promotion.of_number(o.attribute("fill_value", 0.0), o.floating)
        if "fill_value" in o.tensors:
            fallback = o.tensor("fill_value").dtype
    if o.op == "randint":
        fallback = "int64"
    return [Type(o.sizes_of("size"), o.dtype(fallback))]


def _like(o: Operands) -> list[Type]:
    given = o.tensor()
    return [Type(given.shape, o.dtype(given.dtype))]


def _new(o: Operands) -> list[Type]:
    return [Type(o.sizes_of("size"), o.dtype(o.tensor().dtype))]


def _arange(o: Operands) -> list[Type]:
    bounds = o.attribute("range")
    if bounds is None and o.has("end"):
        bounds = (o.attribute("start", 0), o.attribute("end"), o.attribute("step", 1))
    bounds = bounds if isinstance(bounds, tuple) else (bounds,)
    if any(isinstance(part, (bool, float)) or part is None for part in bounds) or "range" in o.tensors:
        raise NoRule
    parts = [o.as_size(part, "range") for part in bounds]
    if len(parts) == 1:
        parts = [0, *parts]
    step: Dim = parts[2] if len(parts) > 2 else 1
    if not isinstance(step, int) or step == 0:
        raise NoRule
    low, high = (parts[0], parts[1]) if step > 0 else (parts[1], parts[0])
    size = ceil_divide(subtract(high, low), abs(step))
    return [Type((0 if isinstance(size, int) and size < 0 else size,), o.dtype("int64"))]


def _steps(o: Operands) -> list[Type]:
    return [Type((o.size("steps"),), o.dtype(o.floating))]


def _eye(o: Operands) -> list[Type]:
    rows = o.size("n")
    return [Type((rows, o.size("m") if o.has("m") else rows), o.dtype(o.floating))]


def _permutation(o: Operands) -> list[Type]:
    return [Type((o.size("n"),), o.dtype("int64"))]


def _stated(o: Operands) -> list[Type]:
    """A constant is as the graph states it."""
    if not o.recorded:
        raise NoRule
    return list(o.recorded)


def _window(o: Operands) -> list[Type]:
    return [Type((o.size("window_length"),), o.dtype(o.floating))]


def _frequencies(o: Operands) -> list[Type]:
    size = o.size("n")
    return [
        Type(
            (add(size if o.op == "fft_fftfreq" else _half(size), 0 if o.op == "fft_fftfreq" else 1),),
            o.floating,
        )
    ]


def _half(size: Dim) -> Dim:
    from ...dims import floor_divide

    return floor_divide(size, 2)


def _multinomial(o: Operands) -> list[Type]:
    return [Type((*o.tensor().shape[:-1], o.size("num_samples")), "int64")]


def _recurrent(o: Operands) -> list[Type]:
    given = o.ranked("input", 2, 3)
    states = [t for _, t in o.many("hx")]
    first = states[0]
    ways = 2 if o.flag("bidirectional") else 1
    wide = multiply(ways, first.shape[-1])
    o.want(o.many("hx")[0][0], 0, multiply(o.size("num_layers", 1), ways))
    return [Type((*given.shape[:-1], wide), given.dtype), *states]


def _cell(o: Operands) -> list[Type]:
    states = [t for _, t in o.many("hx")]
    o.want("input", -1, o.ranked("w_ih", 2).shape[1], f" (w_ih {o.tensor('w_ih')})")
    return states


RULES: dict[str, Rule] = {
    **rules("zeros ones full empty rand randn randint", _sized),
    **rules("zeros_like ones_like empty_like full_like rand_like randn_like randint_like", _like),
    **rules("new_zeros new_ones new_empty new_full", _new),
    "arange": _arange,
    **rules("linspace logspace", _steps),
    "eye": _eye,
    "randperm": _permutation,
    **rules("constant tensor as_tensor scalar_tensor", _stated),
    **rules("hann_window hamming_window kaiser_window", _window),
    **rules("fft_fftfreq fft_rfftfreq", _frequencies),
    "multinomial": _multinomial,
    **rules("lstm gru rnn_tanh rnn_relu", _recurrent),
    **rules("lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell", _cell),
}
