"""Operations that make values out of nothing, or out of sizes."""

from __future__ import annotations

import math
from typing import Any

import numpy

from .... import dims
from ....inference.types import Type
from ....model import Dim
from ..held import MOST, Held, kind, known, listed, sizes
from ..interpreting import Node, Unreadable
from ..tensors import DTYPES, Stored
from .shapes import full


def _shape(node: Node) -> Held:
    shape = node.input().shape
    return sizes(shape[node.attribute("start", 0) : node.attribute("end")])


def _size(node: Node) -> Held:
    made = sizes([dims.product(*node.input().shape)])
    return made.with_shape((), made.content.reshape(()))


def _constant(node: Node) -> Held:
    for name, dtype in (("value_float", "float32"), ("value_floats", "float32")):
        if (found := node.attribute(name)) is not None:
            return known(numpy.asarray(found), dtype)
    for name in ("value_int", "value_ints"):
        if (found := node.attribute(name)) is not None:
            return known(numpy.asarray(found, dtype=numpy.int64), "int64")
    proto = node.attribute("value")
    if proto is None:
        raise Unreadable("a constant of a kind that graphs have not")
    stored = Stored(node.reader.file, proto, node.reader.limits)
    if stored.elements <= MOST:
        array = stored.tensor().float().numpy() if stored.dtype == "bfloat16" else stored.array()
        return known(array, stored.dtype)
    stored.name = node.proto.output[0]
    path = node.reader.weight(stored)
    return Held(stored.shape, stored.dtype, f"@{path}")


def _filled(node: Node) -> Held:
    shape: list[Dim] = list(node.numbers(0, "sizes"))
    proto = node.attribute("value")
    value = known(numpy.zeros(1), "float32")
    if proto is not None:
        stored = Stored(node.reader.file, proto, node.reader.limits)
        if stored.elements != 1:
            raise Unreadable(f"fills with {stored.elements} values")
        array = stored.tensor().float().numpy() if stored.dtype == "bfloat16" else stored.array()
        value = known(array, stored.dtype)
    node.reader.check(tuple(shape))
    if all(isinstance(n, int) for n in shape) and math.prod(int(n) for n in shape) <= MOST:
        return known(numpy.full([int(n) for n in shape], value.content.reshape(-1)[0]), value.dtype)
    return full(node, shape, value)


def _range(node: Node) -> Held:
    dtype = node.input().dtype
    bounds = [node.input(i) for i in range(3)]
    if any(bound.content is None for bound in bounds):
        raise Unreadable("its bounds depend on data")
    start, end, step = (listed(bound)[0] for bound in bounds)
    if step == 0:
        raise Unreadable("goes on by 0")
    if not any(isinstance(n, str) for n in (start, end, step)):
        count = max(0, -((start - end) // step))
        if count <= 64:
            return known(numpy.arange(start, end, step, dtype=kind(dtype)), dtype)
        length: Dim = int(count)
    elif isinstance(step, str):
        raise Unreadable("goes on by an open size")
    else:
        length = dims.ceil_divide(dims.subtract(end, start), int(step))
    range_ = (0, end) if start == 0 and step == 1 else (start, end) if step == 1 else (start, end, step)
    return node.emit("arange", {}, {"range": range_, "dtype": dtype}, (Type((length,), dtype),))


def _eye(node: Node) -> Held:
    x = node.input()
    dtype = DTYPES.get(node.attribute("dtype", 0), x.dtype)
    if node.attribute("k", 0):
        raise Unreadable("an identity beside the diagonal")
    return node.emit("eye", {}, {"n": x.shape[0], "m": x.shape[1], "dtype": dtype}, (Type(x.shape, dtype),))


def _random(node: Node) -> Held:
    like = node.op.endswith("Like")
    x = node.input() if like else None
    dtype = DTYPES.get(node.attribute("dtype", 0), x.dtype if x is not None else "float32")
    shape = x.shape if x is not None else tuple(node.attribute("shape", []))
    normal = "Normal" in node.op
    made = node.emit(
        "randn" if normal else "rand", {}, {"size": shape, "dtype": dtype}, (Type(shape, dtype),)
    )
    if normal:
        scale, shift = float(node.attribute("scale", 1.0)), float(node.attribute("mean", 0.0))
    else:
        shift = float(node.attribute("low", 0.0))
        scale = float(node.attribute("high", 1.0)) - shift
    if scale != 1.0:
        made = node.emit("mul", {"input": made}, {"other": scale})
    return node.emit("add", {"input": made}, {"other": shift}) if shift else made


READERS: dict[str, Any] = {
    "Shape": _shape, "Size": _size, "Constant": _constant, "ConstantOfShape": _filled, "Range": _range,
    "EyeLike": _eye, "RandomNormal": _random, "RandomUniform": _random, "RandomNormalLike": _random,
    "RandomUniformLike": _random,
}  # fmt: skip
