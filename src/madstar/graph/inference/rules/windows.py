"""Convolution, pooling, padding, resizing, Fourier transforms: sizes along the places of a window."""

from __future__ import annotations

from collections.abc import Callable

from ...dims import add, floor_divide, multiply, subtract
from ...model import Dim
from .. import promotion
from ..operands import Operands
from ..types import Misfit, NoRule, Type
from .table import Rule


def _swept(size: Dim, kernel: Dim, stride: Dim, padding: Dim, dilation: Dim) -> Dim:
    """floor((size + 2 padding - dilation (kernel - 1) - 1) / stride) + 1."""
    reach = add(multiply(dilation, subtract(kernel, 1)), 1)
    return add(floor_divide(subtract(add(size, multiply(2, padding)), reach), stride), 1)


def _spread(o: Operands, slot: str, count: int, default: int) -> tuple[Dim, ...]:
    return o.sizes_of(slot, count) if o.has(slot) or slot in o.tensors else (default,) * count


def _convolution(o: Operands) -> list[Type]:
    count = int(o.op[-2])
    given, weight = o.ranked("input", count + 1, count + 2), o.ranked("weight", count + 2)
    channels = len(given.shape) - count - 1
    groups = o.integer("groups", 1)
    dtype = o.one_dtype("input", "weight", "bias")
    turned = o.op.startswith("conv_transpose")
    taken = weight.shape[0] if turned else multiply(weight.shape[1], groups)
    o.want("input", channels - len(given.shape), taken, f" (weight {weight}, groups {groups})")
    wide = multiply(weight.shape[1], groups) if turned else weight.shape[0]
    o.want_shape("bias", (wide,), f" (weight {weight})")
    stride, dilation = _spread(o, "stride", count, 1), _spread(o, "dilation", count, 1)
    places, kernel = given.shape[channels + 1 :], weight.shape[2:]
    made: list[Dim] = []
    if turned:
        padding, more = _spread(o, "padding", count, 0), _spread(o, "output_padding", count, 0)
        for size, k, s, p, d, m in zip(places, kernel, stride, padding, dilation, more, strict=True):
            reach = add(add(multiply(d, subtract(k, 1)), m), 1)
            made.append(add(subtract(multiply(subtract(size, 1), s), multiply(2, p)), reach))
    elif o.attribute("padding") == "same":
        made = list(places)
    else:
        padding = (0,) * count if o.attribute("padding") == "valid" else _spread(o, "padding", count, 0)
        for i, (size, k, s, p, d) in enumerate(zip(places, kernel, stride, padding, dilation, strict=True)):
            made.append(_swept(size, k, s, p, d))
            _not_empty(o, made[-1], channels + 1 + i, given)
    return [Type((*given.shape[:channels], wide, *made), dtype)]


def _not_empty(o: Operands, size: Dim, dim: int, given: Type) -> None:
    if isinstance(size, int) and size < 1:
        raise Misfit(
            "shape", f"an input that the window fits into in dimension {dim}", str(given), "input", dim
        )


def _pooling(o: Operands) -> list[Type]:
    count = int(o.op[-2])
    given = o.ranked("input", count + 1, count + 2)
    kernel = o.sizes_of("kernel_size", count)
    stride = kernel if not o.has("stride") or o.attribute("stride") == () else o.sizes_of("stride", count)
    padding, dilation = _spread(o, "padding", count, 0), _spread(o, "dilation", count, 1)
    lead = len(given.shape) - count
    made: list[Dim] = []
    for i, (size, k, s, p, d) in enumerate(
        zip(given.shape[lead:], kernel, stride, padding, dilation, strict=True)
    ):
        if o.flag("ceil_mode"):
            # A window may begin in the padding behind, but not beyond it.
            length = add(
                floor_divide(
                    add(
                        subtract(add(size, multiply(2, p)), add(multiply(d, subtract(k, 1)), 1)),
                        subtract(s, 1),
                    ),
                    s,
                ),
                1,
            )
            begins = multiply(subtract(length, 1), s)
            if not o.sizes.less(begins, add(size, p)):
                length = subtract(length, 1)
        else:
            length = _swept(size, k, s, p, d)
        made.append(length)
        _not_empty(o, length, lead + i, given)
    found = Type((*given.shape[:lead], *made), given.dtype)
    return [found, Type(found.shape, "int64")] if o.flag("return_indices") else [found]


def _adaptive(o: Operands) -> list[Type]:
    count = int(o.op[-2])
    given = o.ranked("input", count + 1, count + 2)
    wanted = o.attribute("output_size")
    parts = wanted if isinstance(wanted, tuple) else (wanted,) * count
    lead = len(given.shape) - count
    if len(parts) != count:
        raise o.wrong("output_size", f"{count} sizes")
    made = (
        size if part is None else o.as_size(part, "output_size")
        for part, size in zip(parts, given.shape[lead:], strict=True)
    )
    found = Type((*given.shape[:lead], *made), given.dtype)
    return [found, Type(found.shape, "int64")] if o.flag("return_indices") else [found]


def _interpolate(o: Operands) -> list[Type]:
    given = o.tensor()
    count = len(given.shape) - 2
    if o.has("size"):
        return [Type((*given.shape[:2], *o.sizes_of("size", count)), given.dtype)]
    factors = o.attribute("scale_factor")
    parts = factors if isinstance(factors, tuple) else (factors,) * count
    if len(parts) != count:
        raise NoRule
    return [Type((*given.shape[:2], *map(_scaled, given.shape[2:], parts)), given.dtype)]


def _scaled(size: Dim, factor: object) -> Dim:
    if not isinstance(factor, (int, float)) or factor <= 0:
        raise NoRule
    if isinstance(size, int):
        return int(size * factor)
    if float(factor).is_integer():
        return multiply(size, int(factor))
    if (1 / factor).is_integer():
        return floor_divide(size, int(1 / factor))
    raise NoRule


def _pad(o: Operands) -> list[Type]:
    given = o.tensor()
    wanted = o.sizes_of("pad")
    if len(wanted) % 2 or len(wanted) > 2 * len(given.shape):
        raise Misfit(
            "attribute", f"pad = at most {len(given.shape)} pairs", f"{len(wanted)} numbers", "input"
        )
    shape = list(given.shape)
    for i in range(len(wanted) // 2):
        size = add(shape[-1 - i], add(wanted[2 * i], wanted[2 * i + 1]))
        if isinstance(size, int) and size < 0:
            raise Misfit(
                "shape",
                f"at least {-size} more in dimension {-1 - i}",
                str(given),
                "input",
                len(shape) - 1 - i,
            )
        shape[-1 - i] = size
    return [Type(tuple(shape), given.dtype)]


def _im2col(o: Operands) -> list[Type]:
    given = o.ranked("input", 3, 4)
    kernel = o.sizes_of("kernel_size", 2)
    options = (
        _spread(o, slot, 2, default) for slot, default in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    stride, padding, dilation = options
    count: Dim = 1
    for i in range(2):
        count = multiply(count, _swept(given.shape[i - 2], kernel[i], stride[i], padding[i], dilation[i]))
    channels = multiply(given.shape[-3], multiply(kernel[0], kernel[1]))
    return [Type((*given.shape[:-3], channels, count), given.dtype)]


def _fold(o: Operands) -> list[Type]:
    given = o.ranked("input", 2, 3)
    kernel, size = o.sizes_of("kernel_size", 2), o.sizes_of("output_size", 2)
    channels = floor_divide(given.shape[-2], multiply(kernel[0], kernel[1]))
    return [Type((*given.shape[:-2], channels, *size), given.dtype)]


def _grid_sample(o: Operands) -> list[Type]:
    given, grid = o.ranked("input", 4, 5), o.ranked("grid", 4, 5)
    o.want("grid", 0, given.shape[0], f" (input {given})")
    return [Type((*given.shape[:2], *grid.shape[1:-1]), given.dtype)]


def _fourier(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape), -1)
    size = given.shape[axis]
    dtype = promotion.complex_of(given.dtype) if not promotion.is_complex(given.dtype) else given.dtype
    wanted: Callable[[Dim], Dim] = lambda default: o.size("n") if o.has("n") else default  # noqa: E731
    if o.op == "fft_rfft":
        size = add(floor_divide(wanted(size), 2), 1)
    elif o.op == "fft_irfft":
        size, dtype = wanted(multiply(2, subtract(size, 1))), promotion.parts_of(dtype)
    else:
        size = wanted(size)
    return [Type((*given.shape[:axis], size, *given.shape[axis + 1 :]), dtype)]


_DIMENSIONS = (1, 2, 3)

RULES: dict[str, Rule] = {
    **{f"conv{n}d": _convolution for n in _DIMENSIONS},
    **{f"conv_transpose{n}d": _convolution for n in _DIMENSIONS},
    **{f"{kind}_pool{n}d": _pooling for n in _DIMENSIONS for kind in ("max", "avg")},
    **{f"adaptive_{kind}_pool{n}d": _adaptive for n in _DIMENSIONS for kind in ("max", "avg")},
    "interpolate": _interpolate,
    "upsample": _interpolate,
    "pad": _pad,
    "im2col": _im2col,
    "fold": _fold,
    "grid_sample": _grid_sample,
    **dict.fromkeys(("fft_fft", "fft_ifft", "fft_rfft", "fft_irfft"), _fourier),
}
