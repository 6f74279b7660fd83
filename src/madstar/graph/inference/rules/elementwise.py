"""Elementwise operations: shapes are broadcast, dtypes promoted."""

from __future__ import annotations

from .. import promotion
from ..operands import Operands
from ..types import Misfit, NoRule, Type
from .table import Rule, rules

# The result is as the input, in shape and dtype.
_AS_INPUT = """
    relu relu6 leaky_relu rrelu elu selu celu gelu silu mish hardtanh hardswish hardsigmoid softplus softsign
    tanhshrink hardshrink softshrink threshold logsigmoid prelu neg sign sgn ceil floor round trunc frac
    square positive bitwise_not contiguous clone detach data resolve_conj conj nan_to_num zero fill
    dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout feature_alpha_dropout bernoulli
    uniform exponential random cauchy poisson gumbel_softmax
    tril triu flip fft_fftshift fft_ifftshift logcumsumexp channel_shuffle matrix_exp
"""
# A floating-point result whatever comes in.
_FLOATING = """
    sqrt rsqrt exp exp2 expm1 log log2 log10 log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh
    sinc erf erfc erfinv lgamma digamma i0 reciprocal logit special_i1e special_i0e special_i1 sigmoid deg2rad
"""
_PROMOTED = """
    add sub mul maximum minimum fmax fmin remainder fmod pow floor_divide heaviside gcd
    bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift
    logaddexp hypot lerp addcmul copysign
"""
_QUOTIENTS = "div true_divide atan2 xlogy addcdiv"
_COMPARISONS = "eq ne lt le gt ge isclose logical_and logical_or logical_xor logical_not isnan isinf isfinite"


def as_input(o: Operands) -> list[Type]:
    """One tensor in, the same type out; attributes change values only."""
    return [o.tensor()]


def _floating(o: Operands) -> list[Type]:
    given = o.tensor()
    real = promotion.is_floating(given.dtype) or promotion.is_complex(given.dtype)
    return [Type(given.shape, given.dtype if real else o.floating)]


def _operands(o: Operands, *skipped: str) -> list[tuple[str, Type]]:
    found = [(slot, given) for slot, given in o.tensors.items() if slot not in skipped]
    if not found:
        if o.has("input"):
            raise NoRule  # of numbers alone
        raise Misfit("missing argument", "a tensor in slot 'input'", "none", "input")
    return found


def _second(o: Operands) -> None:
    """An operation of two needs both, as tensors or as numbers."""
    slots = {
        "pow": "exponent",
        "lerp": "end",
        "heaviside": "values",
        "addcmul": "tensor1",
        "addcdiv": "tensor1",
    }
    second = slots.get(o.op, "other")
    for slot in ("input", second):
        if slot not in o.tensors and not o.has(slot) and f"argument.{slot}" not in o.attributes:
            raise Misfit("missing argument", f"{slot!r}", "none", slot)


def promoted_dtype(o: Operands, given: list[tuple[str, Type]], numbers: tuple[str, ...]) -> str:
    """The dtype of tensors and of those attributes that are numbers."""
    said = [o.attributes[slot] for slot in numbers if o.has(slot)]
    dtype = promotion.result(
        (t.dtype for _, t in given if t.shape),
        (t.dtype for _, t in given if not t.shape),
        (promotion.of_number(value, o.floating) for value in said),
    )
    if dtype is None:
        raise Misfit("dtype", "dtypes that go together", " and ".join(str(t) for _, t in given), given[-1][0])
    return dtype


def _together(o: Operands, numbers: tuple[str, ...]) -> Type:
    given = _operands(o)
    shape = o.broadcast(*((slot, t.shape) for slot, t in given))
    if o.flag("in_place") and "input" in o.tensors:
        first = o.tensor()
        if not o.sizes.same_shape(first.shape, shape):
            raise Misfit("shape", f"what fits into {first}", str(given[-1][1]), given[-1][0])
        return first
    return Type(shape, promoted_dtype(o, given, numbers))


_NUMBERS = ("input", "other", "exponent", "end", "values")


def _promoted(o: Operands) -> list[Type]:
    _second(o)
    found = _together(o, _NUMBERS)
    return [found]


def _quotient(o: Operands) -> list[Type]:
    _second(o)
    found = _together(o, _NUMBERS)
    whole = promotion.is_whole(found.dtype) or found.dtype == "bool"
    if whole and not o.has("rounding_mode") and not o.flag("in_place"):
        return [Type(found.shape, o.floating)]
    return [found]


def _comparison(o: Operands) -> list[Type]:
    if not o.op.startswith(("is", "logical_not")) or o.op == "isclose":
        _second(o)
    given = _operands(o)
    shape = o.broadcast(*((slot, t.shape) for slot, t in given))
    return [Type(shape, o.tensor().dtype if o.flag("in_place") else "bool")]


def _where(o: Operands) -> list[Type]:
    condition = o.tensor("condition")
    if "input" not in o.tensors and not o.has("input"):
        raise NoRule  # the positions where it is true, or not zero
    if condition.dtype not in ("bool", "uint8"):
        raise Misfit("dtype", "condition of bool", str(condition), "condition")
    given = [(slot, t) for slot, t in o.tensors.items() if slot in ("input", "other")]
    shape = o.broadcast(("condition", condition.shape), *((slot, t.shape) for slot, t in given))
    return [Type(shape, promoted_dtype(o, given, ("input", "other")))]


def _clamp(o: Operands) -> list[Type]:
    given = [(slot, t) for slot, t in o.tensors.items() if slot in ("input", "min", "max")]
    o.tensor()
    shape = o.broadcast(*((slot, t.shape) for slot, t in given))
    if o.flag("in_place"):
        return [o.tensor()]
    return [Type(shape, promoted_dtype(o, given, ("min", "max")))]


def _masked_fill(o: Operands) -> list[Type]:
    given, mask = o.tensor(), o.tensor("mask")
    if mask.dtype != "bool":
        raise Misfit("dtype", "mask of bool", str(mask), "mask")
    shape = o.broadcast(("input", given.shape), ("mask", mask.shape))
    return [given if o.flag("in_place") else Type(shape, given.dtype)]


def _to(o: Operands) -> list[Type]:
    given = o.tensor()
    return [Type(given.shape, o.dtype(given.dtype))]


def _real_part(o: Operands) -> list[Type]:
    given = o.tensor()
    return [
        Type(
            given.shape, promotion.parts_of(given.dtype) if promotion.is_complex(given.dtype) else given.dtype
        )
    ]


def _angle(o: Operands) -> list[Type]:
    (real,) = _real_part(o)
    return [Type(real.shape, real.dtype if promotion.is_floating(real.dtype) else o.floating)]


def _complex(o: Operands) -> list[Type]:
    slots = ("abs", "angle") if o.op == "polar" else ("real", "imag")
    shape = o.broadcast(*((slot, o.tensor(slot).shape) for slot in slots))
    return [Type(shape, promotion.complex_of(o.one_dtype(*slots)))]


def _float_power(o: Operands) -> list[Type]:
    found = _together(o, _NUMBERS)
    return [Type(found.shape, "complex128" if promotion.is_complex(found.dtype) else "float64")]


def _copy(o: Operands) -> list[Type]:
    given, source = o.tensor(), o.tensor("src")
    o.want_shape("input", o.broadcast(("input", given.shape), ("src", source.shape)))
    return [given]


def _weight_norm(o: Operands) -> list[Type]:
    direction, length = o.tensor("v"), o.tensor("g")
    o.want_shape("v", o.broadcast(("v", direction.shape), ("g", length.shape)))
    return [Type(direction.shape, o.one_dtype("v", "g"))]


RULES: dict[str, Rule] = {
    **rules(_AS_INPUT, as_input),
    **rules(_FLOATING, _floating),
    **rules(_PROMOTED, _promoted),
    **rules(_QUOTIENTS, _quotient),
    **rules(_COMPARISONS, _comparison),
    **rules("abs real imag", _real_part),
    "angle": _angle,
    "where": _where,
    "clamp": _clamp,
    "masked_fill": _masked_fill,
    "to": _to,
    "polar": _complex,
    "complex": _complex,
    "float_power": _float_power,
    "copy": _copy,
    "weight_norm": _weight_norm,
}
