"""Products, convolutions, pooling, normalisation, attention, recurrence: what has weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy

from ....model import Dim
from ..held import Held, known
from ..interpreting import Node, Unreadable
from .pictures import numbers
from .shapes import padded


def _matmul(node: Node) -> Held:
    return node.emit("matmul", {"input": node.input(0), "other": node.input(1)})


def _gemm(node: Node) -> Held:
    a, b = node.input(0), node.input(1)
    alpha, beta = float(node.attribute("alpha", 1.0)), float(node.attribute("beta", 1.0))
    c = node.input(2) if node.has(2) and beta else None
    if node.attribute("transA", 0):
        a = node.emit("t", {"input": a})
    plain = alpha == 1.0 and (c is None or beta == 1.0)
    if node.attribute("transB", 0):
        if plain and (c is None or (c.rank == 1 and c.shape == b.shape[:1])):
            return node.emit("linear", {"input": a, "weight": b, "bias": c})
        b = node.emit("t", {"input": b})
    if c is None:
        made = node.emit("mm", {"input": a, "mat2": b})
        return node.emit("mul", {"input": made}, {"other": alpha}) if alpha != 1.0 else made
    more = {"beta": beta, "alpha": alpha} if not plain else {}
    return node.emit("addmm", {"input": c, "mat1": a, "mat2": b}, more)


def _one(numbers: Sequence[int]) -> Any:
    return tuple(numbers)


def _widths(
    node: Node, x: Held, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[list[Dim], list[Dim]]:
    """What is added before and after each dimension of space."""
    count = len(kernel)
    auto = node.attribute("auto_pad", "NOTSET")
    if auto in ("NOTSET", ""):
        pads = node.attribute("pads", [0] * 2 * count)
        if len(pads) != 2 * count or any(n < 0 for n in pads):
            raise Unreadable(f"pads = {pads[:12]} in {count} dimensions")
        return list(pads[:count]), list(pads[count:])
    if auto == "VALID":
        return [0] * count, [0] * count
    before: list[Dim] = []
    after: list[Dim] = []
    for size, k, s, d in zip(x.shape[2:], kernel, stride, dilation, strict=True):
        if s == 1:
            total: Dim = (k - 1) * d
        elif isinstance(size, int):
            total = max(0, (math.ceil(size / s) - 1) * s + (k - 1) * d + 1 - size)
        else:
            raise Unreadable(f"auto_pad of an open size with stride {s}")
        assert isinstance(total, int)
        small = total // 2
        before.append(small if auto == "SAME_UPPER" else total - small)
        after.append(total - small if auto == "SAME_UPPER" else small)
    return before, after


def _space(node: Node, x: Held, weight: Held | None = None) -> tuple[tuple[int, ...], ...]:
    """Kernel, stride and dilation."""
    kernel = node.attribute("kernel_shape")
    if kernel is None and weight is not None:
        kernel = list(weight.shape[2:])
    count = x.rank - 2
    if (
        kernel is None
        or len(kernel) != count
        or not 1 <= count <= 3
        or not all(isinstance(k, int) for k in kernel)
    ):
        raise Unreadable(f"a kernel of {kernel} for {x.rank} dimensions")
    return tuple(kernel), numbers(node, "strides", count, 1), numbers(node, "dilations", count, 1)


def _conv(node: Node) -> Held:
    x, weight = node.input(0), node.input(1)
    bias = node.input(2) if node.has(2) else None
    kernel, stride, dilation = _space(node, x, weight)
    before, after = _widths(node, x, kernel, stride, dilation)
    if before != after:
        x = padded(node, x, [0, 0, *before], [0, 0, *after])
        before = [0] * len(kernel)
    return node.emit(
        f"conv{len(kernel)}d",
        {"input": x, "weight": weight, "bias": bias},
        {
            "stride": _one(stride),
            "padding": tuple(before),
            "dilation": _one(dilation),
            "groups": int(node.attribute("group", 1)),
        },
    )


def _conv_transpose(node: Node) -> Held:
    x, weight = node.input(0), node.input(1)
    bias = node.input(2) if node.has(2) else None
    kernel, stride, dilation = _space(node, x, weight)
    if node.attribute("output_shape") is not None or node.attribute("auto_pad", "NOTSET") not in (
        "NOTSET",
        "VALID",
    ):
        raise Unreadable("an output of a size that is asked for")
    before, after = _widths(node, x, kernel, stride, dilation)
    more = numbers(node, "output_padding", len(kernel), 0)
    if before != after:
        raise Unreadable("takes away more on one side than on the other")
    return node.emit(
        f"conv_transpose{len(kernel)}d",
        {"input": x, "weight": weight, "bias": bias},
        {
            "stride": _one(stride),
            "padding": tuple(before),
            "output_padding": more,
            "dilation": _one(dilation),
            "groups": int(node.attribute("group", 1)),
        },
    )


def _pool(node: Node) -> Held | list[Held]:
    x = node.input()
    kernel, stride, dilation = _space(node, x)
    before, after = _widths(node, x, kernel, stride, dilation)
    largest = node.op == "MaxPool"
    counted = largest or bool(node.attribute("count_include_pad", 0))
    if before != after:
        if not counted:
            raise Unreadable("a mean without what is added more on one side")
        lowest = "-inf" if largest else 0.0
        x = padded(node, x, [0, 0, *before], [0, 0, *after], "constant", lowest)
        before = [0] * len(kernel)
    attributes: dict[str, Any] = {
        "kernel_size": _one(kernel),
        "stride": _one(stride),
        "padding": tuple(before),
    }
    if node.attribute("ceil_mode", 0):
        attributes["ceil_mode"] = True
    if largest:
        attributes["dilation"] = _one(dilation)
        if node.outputs > 1:
            raise Unreadable("gives places too, which torch counts otherwise")
        return node.emit(f"max_pool{len(kernel)}d", {"input": x}, attributes)
    if any(d != 1 for d in dilation):
        raise Unreadable("a mean with gaps")
    attributes["count_include_pad"] = counted
    return node.emit(f"avg_pool{len(kernel)}d", {"input": x}, attributes)


def _global_pool(node: Node) -> Held:
    x = node.input()
    name = "amax" if node.op == "GlobalMaxPool" else "mean"
    return node.emit(name, {"input": x}, {"dim": tuple(range(2, x.rank)), "keepdim": True})


def _layer_norm(node: Node) -> Held:
    x, weight = node.input(0), node.input(1)
    if node.outputs > 1 and any(node.proto.output[1:]):
        raise Unreadable("gives mean and deviation too")
    axis = node.axis(x.rank, -1)
    shape = x.shape[axis:]
    if not all(isinstance(n, int) for n in shape):
        raise Unreadable(f"normalises open sizes {list(shape)}")
    name = "layer_norm" if node.op == "LayerNormalization" else "rms_norm"
    weight = _shaped(node, weight, shape)
    bias = _shaped(node, node.input(2), shape) if node.has(2) else None
    eps = float(node.attribute("epsilon", 1e-5))
    return node.emit(
        name, {"input": x, "weight": weight, "bias": bias}, {"normalized_shape": shape, "eps": eps}
    )


def _shaped(node: Node, weight: Held, shape: Sequence[Dim]) -> Held:
    if weight.shape == tuple(shape):
        return weight
    if weight.ref:
        return node.emit("expand", {"input": weight}, {"size": tuple(shape)})
    array = numpy.broadcast_to(weight.content, [int(n) for n in shape])
    return known(array.copy(), weight.dtype)


def _batch_norm(node: Node) -> Held:
    x, weight, bias, mean, var = (node.input(i) for i in range(5))
    if node.attribute("training_mode", 0):
        raise Unreadable("trains; export the model in evaluation")
    node.reader.untrained(mean, var)
    arguments = {"input": x, "running_mean": mean, "running_var": var, "weight": weight, "bias": bias}
    eps = float(node.attribute("epsilon", 1e-5))
    return node.emit("batch_norm", arguments, {"training": False, "eps": eps})


def _instance_norm(node: Node) -> Held:
    arguments = {"input": node.input(0), "weight": node.input(1), "bias": node.input(2)}
    return node.emit("instance_norm", arguments, {"eps": float(node.attribute("epsilon", 1e-5))})


def _group_norm(node: Node) -> Held:
    x, weight, bias = (node.input(i) for i in range(3))
    groups = node.attribute("num_groups", 0)
    if weight.shape != x.shape[1:2]:
        raise Unreadable("one weight for each group, as before opset 21")
    attributes = {"num_groups": groups, "eps": float(node.attribute("epsilon", 1e-5))}
    return node.emit("group_norm", {"input": x, "weight": weight, "bias": bias}, attributes)


def _response_norm(node: Node) -> Held:
    attributes = {
        "size": node.attribute("size", 1),
        "alpha": float(node.attribute("alpha", 1e-4)),
        "beta": float(node.attribute("beta", 0.75)),
        "k": float(node.attribute("bias", 1.0)),
    }
    return node.emit("local_response_norm", {"input": node.input()}, attributes)


def _lp_norm(node: Node) -> Held:
    x = node.input()
    axis = node.axis(x.rank, -1)
    norm = node.emit(
        "linalg_vector_norm", {"input": x}, {"ord": node.attribute("p", 2), "dim": axis, "keepdim": True}
    )
    return node.emit("div", {"input": x, "other": norm})


def _einsum(node: Node) -> Held:
    operands = {f"operands.{i}": node.input(i) for i in range(len(node.inputs))}
    claim = node.claimed("")
    return node.emit(
        "einsum", operands, {"equation": node.attribute("equation", "")}, (claim,) if claim else ()
    )


READERS: dict[str, Any] = {
    "MatMul": _matmul, "Gemm": _gemm, "Conv": _conv, "ConvTranspose": _conv_transpose, "MaxPool": _pool,
    "AveragePool": _pool, "GlobalAveragePool": _global_pool, "GlobalMaxPool": _global_pool,
    "LayerNormalization": _layer_norm, "RMSNormalization": _layer_norm, "BatchNormalization": _batch_norm,
    "InstanceNormalization": _instance_norm, "GroupNormalization": _group_norm, "LRN": _response_norm,
    "LpNormalization": _lp_norm, "Einsum": _einsum,
}  # fmt: skip
