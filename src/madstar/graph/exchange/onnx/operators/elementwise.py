"""Operations element by element."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy

from ....inference.types import Type
from ..held import MOST, Held, kind, known, listed, over_sizes, settled
from ..interpreting import Node, Unreadable
from ..tensors import DTYPES

_UNARY = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Sqrt": "sqrt", "Exp": "exp", "Log": "log",
    "Abs": "abs", "Neg": "neg", "Sign": "sign", "Ceil": "ceil", "Floor": "floor", "Round": "round",
    "Sin": "sin", "Cos": "cos", "Tan": "tan", "Asin": "asin", "Acos": "acos", "Atan": "atan",
    "Sinh": "sinh", "Cosh": "cosh", "Asinh": "asinh", "Acosh": "acosh", "Atanh": "atanh", "Erf": "erf",
    "Reciprocal": "reciprocal", "Not": "logical_not", "IsNaN": "isnan", "BitwiseNot": "bitwise_not",
    "Softsign": "softsign", "HardSwish": "hardswish", "Mish": "mish", "Det": "linalg_det",
}  # fmt: skip
_BINARY = {
    "Add": "add", "Sub": "sub", "Mul": "mul", "Div": "div", "Pow": "pow", "Equal": "eq", "Less": "lt",
    "LessOrEqual": "le", "Greater": "gt", "GreaterOrEqual": "ge", "And": "logical_and", "Or": "logical_or",
    "Xor": "logical_xor", "BitwiseAnd": "bitwise_and", "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor", "Min": "minimum", "Max": "maximum",
}  # fmt: skip
_TRUTHS = frozenset(("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "And", "Or", "Xor"))
_COMPUTE: dict[str, Callable[..., Any]] = {
    "Add": numpy.add, "Sub": numpy.subtract, "Mul": numpy.multiply, "Pow": numpy.power,
    "Equal": numpy.equal, "Less": numpy.less, "LessOrEqual": numpy.less_equal, "Greater": numpy.greater,
    "GreaterOrEqual": numpy.greater_equal, "And": numpy.logical_and, "Or": numpy.logical_or,
    "Xor": numpy.logical_xor, "Min": numpy.minimum, "Max": numpy.maximum, "Abs": numpy.abs,
    "Neg": numpy.negative, "Sqrt": numpy.sqrt, "Floor": numpy.floor, "Ceil": numpy.ceil,
    "Not": numpy.logical_not, "Exp": numpy.exp, "Log": numpy.log, "Reciprocal": numpy.reciprocal,
}  # fmt: skip
# With a number for the second operand, or the first.
_SCALAR = frozenset("add sub mul div pow eq lt le gt ge".split())  # noqa: SIM905
_MIRRORED = {"add": "add", "mul": "mul", "eq": "eq", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


def _unary(node: Node) -> Held:
    x = node.input()
    if x.content is not None and not x.ref and not x.symbolic and node.op in _COMPUTE:
        return _numbers(node.op, x.dtype, x)
    if x.symbolic and node.op == "Neg":
        made = over_sizes("Sub", numpy.zeros((), dtype=int), x.content)
        if made is not None:
            return Held(x.shape, x.dtype, "", settled(made, x.dtype))
    return node.emit(_UNARY[node.op], {"input": x})


def _numbers(op: str, dtype: str, *operands: Held) -> Held:
    """Constants computed as numpy does, in their dtype."""
    with numpy.errstate(all="ignore"):
        made = _COMPUTE[op](*(operand.content for operand in operands))
    return known(made, "bool" if op in _TRUTHS or op == "Not" else dtype)


def folded(op: str, a: Held, b: Held) -> Held | None:
    """The result of numbers or sizes that are known; None where they are not, or the result is no size."""
    if a.content is None or b.content is None or a.ref or b.ref:
        return None
    if max(a.content.size, b.content.size) > MOST:
        return None
    dtype = "bool" if op in _TRUTHS else a.dtype
    if a.symbolic or b.symbolic:
        made = over_sizes(op, a.content, b.content)
        if made is None:
            return None
        return Held(tuple(int(n) for n in made.shape), dtype, "", settled(made, dtype))
    if op == "Div" and not a.floating:
        if not numpy.all(b.content):
            return None
        return known(numpy.trunc(a.content / b.content).astype(kind(dtype)), dtype)
    if op == "Div":
        with numpy.errstate(all="ignore"):
            return known(a.content / b.content, dtype)
    if op == "Mod" and numpy.all(b.content):
        return known(numpy.mod(a.content, b.content), dtype)
    if op not in _COMPUTE or (op == "Pow" and not a.floating):
        return None
    return _numbers(op, dtype, a, b)


def _number(held: Held, other: Held) -> Any:
    """A single known number that leaves the other's shape as it is; None for all else."""
    if held.content is None or held.ref or held.content.size != 1 or held.rank > other.rank:
        return None
    if held.symbolic and other.floating:
        return None
    return listed(held)[0]


def _binary(node: Node) -> Held:
    made = node.input(0)
    for i in range(1, max(len(node.inputs), 2) if node.op not in ("Min", "Max") else len(node.inputs)):
        made = binary(node, node.op, made, node.input(i))
    return made


def binary(node: Node, op: str, a: Held, b: Held) -> Held:
    """One operation of two operands, with a number as an attribute where one is."""
    if (found := folded(op, a, b)) is not None:
        return found
    name = _BINARY[op]
    more: dict[str, Any] = {}
    if op == "Div" and not a.floating and not a.dtype.startswith("complex"):
        more = {"rounding_mode": "trunc"}
    if name in _SCALAR and a.dtype != "bool":
        slot = "exponent" if name == "pow" else "other"
        if a.ref or a.content is None or a.symbolic or a.content.size > 1:
            number = _number(b, a)
            if number is not None and not (more and number == 0):
                return node.emit(name, {"input": a}, {slot: number, **more})
        number = _number(a, b)
        if number is not None and name in _MIRRORED:
            return node.emit(_MIRRORED[name], {"input": b}, {"other": number})
        if number is not None and not more and not a.symbolic and name in ("sub", "div"):
            return node.emit(name, {"other": b}, {"input": number})
    slot = "exponent" if name == "pow" else "other"
    return node.emit(name, {"input": a, slot: b}, more)


def _mod(node: Node) -> Held:
    a, b = node.input(0), node.input(1)
    if not node.attribute("fmod", 0) and (found := folded("Mod", a, b)) is not None:
        return found
    name = "fmod" if node.attribute("fmod", 0) else "remainder"
    number = _number(b, a)
    if number is not None:
        return node.emit(name, {"input": a}, {"other": number})
    return node.emit(name, {"input": a, "other": b})


def _total(node: Node) -> Held:
    made = node.input(0)
    for i in range(1, len(node.inputs)):
        made = binary(node, "Add", made, node.input(i))
    return node.emit("div", {"input": made}, {"other": len(node.inputs)}) if node.op == "Mean" else made


def _where(node: Node) -> Held:
    condition, a, b = (node.input(i) for i in range(3))
    if (
        condition.content is not None
        and not condition.symbolic
        and a.content is not None
        and b.content is not None
    ) and not (a.ref or b.ref or condition.ref):
        left, right = a.content, b.content
        if a.symbolic or b.symbolic:
            left, right = left.astype(object), right.astype(object)
        made = numpy.where(condition.content, left, right)
        return Held(tuple(int(n) for n in made.shape), a.dtype, "", settled(made, a.dtype))
    return node.emit("where", {"condition": condition, "input": a, "other": b})


def cast(node: Node, x: Held, dtype: str) -> Held:
    """Converted, as numbers if they are known."""
    if x.dtype == dtype:
        return x
    if x.content is not None and not x.ref:
        if not x.symbolic:
            return known(x.content.astype(kind(dtype)), dtype)
        if not dtype.startswith("bool"):
            return Held(x.shape, dtype, "", x.content)
    return node.emit("to", {"input": x}, {"dtype": dtype})


def _cast(node: Node) -> Held:
    to = node.input(1).dtype if node.op == "CastLike" else DTYPES.get(node.attribute("to", 0), "")
    if not to:
        raise Unreadable(f"converts to the data type {node.attribute('to')}, which graphs have not")
    return cast(node, node.input(), to)


def _clip(node: Node) -> Held:
    x = node.input()
    arguments: dict[str, Held | None] = {"input": x}
    attributes: dict[str, Any] = {}
    for i, slot in ((1, "min"), (2, "max")):
        if node.has(i):
            bound = node.input(i)
            if bound.content is not None and bound.content.size == 1 and not bound.symbolic:
                attributes[slot] = listed(bound)[0]
            else:
                arguments[slot] = bound
    if len(arguments) > 1:
        # torch takes either numbers or tensors.
        for slot in list(attributes):
            arguments[slot] = known(numpy.asarray(float(attributes.pop(slot))), x.dtype)
    return node.emit("clamp", arguments, attributes) if len(arguments) + len(attributes) > 1 else x


def _with(node: Node, op: str, **slots: tuple[str, float, str]) -> Held:
    """A function with numbers: slot by (attribute of ONNX, its default, "")."""
    attributes = {slot: float(node.attribute(name, default)) for slot, (name, default, _) in slots.items()}
    return node.emit(op, {"input": node.input()}, attributes)


def _gelu(node: Node) -> Held:
    attributes = {"approximate": "tanh"} if node.attribute("approximate", "none") == "tanh" else {}
    return node.emit("gelu", {"input": node.input()}, attributes)


def _swish(node: Node) -> Held:
    x, alpha = node.input(), float(node.attribute("alpha", 1.0))
    if alpha == 1.0:
        return node.emit("silu", {"input": x})
    gate = node.emit("sigmoid", {"input": node.emit("mul", {"input": x}, {"other": alpha})})
    return node.emit("mul", {"input": x, "other": gate})


def _selu(node: Node) -> Held:
    alpha, gamma = node.attribute("alpha", 1.6732632), node.attribute("gamma", 1.0507010)
    if abs(alpha - 1.6732632) > 1e-6 or abs(gamma - 1.0507010) > 1e-6:
        raise Unreadable("selu of other constants than its own")
    return node.emit("selu", {"input": node.input()})


def _hard_sigmoid(node: Node) -> Held:
    x = node.input()
    alpha, beta = float(node.attribute("alpha", 0.2)), float(node.attribute("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return node.emit("hardsigmoid", {"input": x})
    scaled = node.emit("mul", {"input": x}, {"other": alpha})
    moved = node.emit("add", {"input": scaled}, {"other": beta})
    return node.emit("clamp", {"input": moved}, {"min": 0.0, "max": 1.0})


def _prelu(node: Node) -> Held:
    x, slope = node.input(0), node.input(1)
    scaled = node.emit("mul", {"input": x, "other": slope})
    below = node.emit("lt", {"input": x}, {"other": 0.0})
    return node.emit("where", {"condition": below, "input": scaled, "other": x})


def _softmax(node: Node) -> Held:
    x = node.input()
    name = "log_softmax" if node.op == "LogSoftmax" else "softmax"
    return node.emit(name, {"input": x}, {"dim": node.attribute("axis", -1)})


def _shrink(node: Node) -> Held:
    lambd, bias = float(node.attribute("lambd", 0.5)), float(node.attribute("bias", 0.0))
    if bias not in (0.0, lambd):
        raise Unreadable("shrinks with another bias than 0 or lambd")
    return node.emit("softshrink" if bias else "hardshrink", {"input": node.input()}, {"lambd": lambd})


def _is_inf(node: Node) -> Held:
    if not (node.attribute("detect_negative", 1) and node.attribute("detect_positive", 1)):
        return node.emit(
            "eq",
            {"input": node.input()},
            {"other": "-inf" if node.attribute("detect_negative", 1) else "inf"},
        )
    return node.emit("isinf", {"input": node.input()})


def _shift(node: Node) -> Held:
    name = "bitwise_left_shift" if node.attribute("direction") == "LEFT" else "bitwise_right_shift"
    return node.emit(name, {"input": node.input(0), "other": node.input(1)})


def _same(node: Node) -> Held | list[Held]:
    x = node.input()
    if node.op == "Dropout" and node.outputs > 1 and node.proto.output[1]:
        mask = node.emit("ones_like", {"input": x}, {"dtype": "bool"}, (Type(x.shape, "bool"),))
        return [x, mask]
    return x


READERS: dict[str, Any] = {
    **dict.fromkeys(_UNARY, _unary),
    **dict.fromkeys(_BINARY, _binary),
    "Mod": _mod, "Sum": _total, "Mean": _total, "Where": _where, "Cast": _cast, "CastLike": _cast,
    "Swish": _swish,
    "Clip": _clip, "Gelu": _gelu, "Selu": _selu, "HardSigmoid": _hard_sigmoid, "PRelu": _prelu,
    "Softmax": _softmax, "LogSoftmax": _softmax, "Shrink": _shrink, "IsInf": _is_inf, "BitShift": _shift,
    "Identity": _same, "Dropout": _same,
    "LeakyRelu": partial(_with, op="leaky_relu", negative_slope=("alpha", 0.01, "")),
    "Elu": partial(_with, op="elu", alpha=("alpha", 1.0, "")),
    "Celu": partial(_with, op="celu", alpha=("alpha", 1.0, "")),
    "Softplus": lambda node: node.emit("softplus", {"input": node.input()}),
    "ThresholdedRelu": lambda node: node.emit(
        "threshold", {"input": node.input()}, {"threshold": float(node.attribute("alpha", 1.0)), "value": 0.0}
    ),
}  # fmt: skip
