"""Operations over one or several dimensions."""

from __future__ import annotations

from typing import Any

import numpy

from .... import dims
from ..held import Held, known, settled
from ..interpreting import Node, Unreadable
from .elementwise import cast

_NAMES = {"ReduceSum": "sum", "ReduceMean": "mean", "ReduceMax": "amax", "ReduceMin": "amin",
          "ReduceLogSumExp": "logsumexp"}  # fmt: skip


def _axes(node: Node, rank: int) -> tuple[int, ...] | None:
    """The dimensions; None for no reduction at all."""
    found = node.whole(1, "axes") if node.has(1) else node.attribute("axes")
    if not found:
        return None if node.attribute("noop_with_empty_axes", 0) else tuple(range(rank))
    if any(not -max(rank, 1) <= axis < max(rank, 1) for axis in found):
        raise Unreadable(f"axes {found[:12]} of {rank} dimensions")
    return tuple(sorted({axis % max(rank, 1) for axis in found}))


def _reduce(node: Node) -> Held:
    x = node.input()
    axes = _axes(node, x.rank)
    keep = bool(node.attribute("keepdims", 1))
    if axes is None:
        return x
    if x.content is not None and not x.ref and (found := _folded(node.op, x, axes, keep)) is not None:
        return found
    if not x.rank:
        axes = ()
    if not axes and node.op in (
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceLogSumExp",
    ):
        return x
    dim: Any = axes[0] if len(axes) == 1 else axes
    reach = {"dim": dim, **({"keepdim": True} if keep else {})}
    if node.op == "ReduceSumSquare":
        x = node.emit("square", {"input": x})
        return node.emit("sum", {"input": x}, reach)
    if node.op == "ReduceLogSum":
        return node.emit("log", {"input": node.emit("sum", {"input": x}, reach)})
    if node.op in ("ReduceL1", "ReduceL2"):
        return node.emit(
            "linalg_vector_norm", {"input": x}, {"ord": 1 if node.op == "ReduceL1" else 2, **reach}
        )
    if node.op == "ReduceProd":
        for axis in reversed(axes):
            x = node.emit("prod", {"input": x}, {"dim": axis, **({"keepdim": True} if keep else {})})
        return x
    if node.op in ("ReduceMax", "ReduceMin") and x.dtype == "bool":
        name = "any" if node.op == "ReduceMax" else "all"
        for axis in reversed(axes):
            x = node.emit(name, {"input": x}, {"dim": axis, **({"keepdim": True} if keep else {})})
        return x
    if node.op == "ReduceSum" and not x.floating and x.dtype != "int64":
        return cast(node, node.emit("sum", {"input": x}, reach), x.dtype)
    return node.emit(_NAMES[node.op], {"input": x}, reach)


def _folded(op: str, x: Held, axes: tuple[int, ...], keep: bool) -> Held | None:
    if x.symbolic:
        if op not in ("ReduceSum", "ReduceProd") or x.rank != 1:
            return None
        total: Any = 0 if op == "ReduceSum" else 1
        for part in x.content.tolist():
            total = dims.add(total, part) if op == "ReduceSum" else dims.multiply(total, part)
        array = numpy.empty((1,) if keep else (), dtype=object)
        array[...] = total
        return Held(tuple(array.shape), x.dtype, "", settled(array, x.dtype))
    functions: dict[str, Any] = {
        "ReduceSum": numpy.sum,
        "ReduceProd": numpy.prod,
        "ReduceMax": numpy.max,
        "ReduceMin": numpy.min,
    }
    if op not in functions or not x.content.size:
        return None
    return known(functions[op](x.content, axis=axes, keepdims=keep), x.dtype)


def _arg(node: Node) -> Held:
    x = node.input()
    if node.attribute("select_last_index", 0):
        raise Unreadable("asks for the last of equals")
    name = "argmax" if node.op == "ArgMax" else "argmin"
    keep = {"keepdim": True} if node.attribute("keepdims", 1) else {}
    return node.emit(name, {"input": x}, {"dim": node.axis(x.rank, 0), **keep})


def _cumulative(node: Node) -> Held:
    x = node.input()
    axis = node.whole(1, "axis")[0] % max(x.rank, 1)
    back = bool(node.attribute("reverse", 0))
    made = node.emit("flip", {"input": x}, {"dims": (axis,)}) if back else x
    if node.attribute("exclusive", 0):
        total = node.emit("cumsum", {"input": made}, {"dim": axis})
        made = node.emit("sub", {"input": total, "other": made})
    else:
        made = node.emit("cumsum", {"input": made}, {"dim": axis})
    made = cast(node, made, x.dtype)
    return node.emit("flip", {"input": made}, {"dims": (axis,)}) if back else made


READERS: dict[str, Any] = {
    **dict.fromkeys(
        (*_NAMES, "ReduceSumSquare", "ReduceLogSum", "ReduceL1", "ReduceL2", "ReduceProd"), _reduce
    ),
    "ArgMax": _arg, "ArgMin": _arg, "CumSum": _cumulative,
}  # fmt: skip
