"""Operations that take or put elements by their place."""

from __future__ import annotations

from typing import Any

import numpy

from .... import dims
from ....inference.types import Type
from ....model import Dim
from ..held import MOST, Held, listed, settled
from ..interpreting import Node, Unreadable
from .elementwise import cast

_FAR = 1 << 31


def _gather(node: Node) -> Held:
    x, places = node.input(0), node.input(1)
    axis = node.axis(x.rank, 0)
    if x.content is not None and not x.ref and places.content is not None and not places.symbolic:
        _inside(places, x.shape[axis])
        content = settled(numpy.take(x.content, places.content.astype(int), axis), x.dtype)
        return Held(tuple(int(n) for n in content.shape), x.dtype, "", content)
    if places.content is not None and not places.rank:
        _inside(places, x.shape[axis])
        return node.emit("select", {"input": x}, {"dim": axis, "index": listed(places)[0]})
    if x.ref.startswith("@") and x.rank == 2 and axis == 0 and x.floating:
        return node.emit("embedding", {"input": places, "weight": x})
    if places.rank == 1 and places.content is None:
        return node.emit("index_select", {"input": x, "index": places}, {"dim": axis})
    index = (*[("slice", None, None, None)] * axis, ("tensor", 0))
    return node.emit("getitem", {"input": x, "index.0": places}, {"index": index})


def _inside(places: Held, size: Dim) -> None:
    if not isinstance(size, int) or places.symbolic:
        return
    if any(not -size <= n < size for n in places.content.flatten().tolist()):
        raise Unreadable(f"takes place {listed(places)[:6]} of {size}")


def _slice(node: Node) -> Held:
    x = node.input()
    starts, ends = node.numbers(1, "bounds"), node.numbers(2, "bounds")
    axes = node.whole(3, "axes") if node.has(3) else list(range(len(starts)))
    steps = node.whole(4, "steps") if node.has(4) else [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise Unreadable("as many starts, ends, axes and steps are needed")
    cuts: list[Any] = [None] * x.rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if not -x.rank <= axis < x.rank or step == 0:
            raise Unreadable(f"axis {axis} of {x.rank}, step {step}")
        cuts[axis % x.rank] = _cut(start, end, step, x.shape[axis % x.rank])
    if (
        x.content is not None
        and not x.ref
        and not any(isinstance(part, str) for cut in cuts if cut for part in cut)
    ):
        content = x.content[tuple(slice(*cut) if cut else slice(None) for cut in cuts)]
        return Held(tuple(int(n) for n in content.shape), x.dtype, "", settled(content, x.dtype))
    for axis, cut in enumerate(cuts):
        if cut and cut[2] < 0:
            if cut[:2] != (None, None):
                raise Unreadable("goes backwards over a part")
            x = node.emit("flip", {"input": x}, {"dims": (axis,)})
            cuts[axis] = (None, None, -cut[2])
    cuts = [None if cut in (None, (None, None, 1)) else cut for cut in cuts]
    while cuts and cuts[-1] is None:
        cuts.pop()
    if not cuts:
        return x
    index = tuple(
        ("slice", None, None, None)
        if cut is None
        else ("slice", cut[0], cut[1], cut[2] if cut[2] != 1 else None)
        for cut in cuts
    )
    return node.emit("getitem", {"input": x}, {"index": index})


def _cut(start: Any, end: Any, step: int, size: Dim) -> tuple[Any, Any, int]:
    """Bounds as people write them: None where they are those of the dimension."""
    if step < 0:
        first = start == -1 or (isinstance(start, int) and start >= _FAR) or start == dims.subtract(size, 1)
        last = isinstance(end, int) and (end <= -_FAR or (isinstance(size, int) and end < -size))
        return (None if first else start, None if last else end, step)
    if start == 0 or (isinstance(start, int) and start <= -_FAR):
        start = None
    if (isinstance(end, int) and end >= _FAR) or end == size:
        end = None
    return start, end, step


def _gather_elements(node: Node) -> Held:
    x, places = node.input(0), node.input(1)
    axis = node.axis(x.rank, 0)
    return node.emit("gather", {"input": x, "index": cast(node, places, "int64")}, {"dim": axis})


def _places(node: Node, places: Held, count: int) -> dict[str, Held]:
    """The last dimension of places, one tensor for each dimension that they speak of."""
    parts = {}
    for i in range(count):
        parts[f"{i}"] = node.emit("select", {"input": places}, {"dim": -1, "index": i})
    return parts


def _depth(places: Held) -> int:
    if not places.rank or not isinstance(places.shape[-1], int) or not 0 < places.shape[-1] <= 8:
        raise Unreadable("the depth of its places is not known")
    return places.shape[-1]


def _gather_nd(node: Node) -> Held:
    x, places = node.input(0), node.input(1)
    if node.attribute("batch_dims", 0):
        raise Unreadable("gathers for each of a batch")
    count = _depth(places)
    parts = _places(node, places, count)
    index = tuple(("tensor", i) for i in range(count))
    return node.emit(
        "getitem", {"input": x, **{f"index.{i}": part for i, part in parts.items()}}, {"index": index}
    )


def _scatter_nd(node: Node) -> Held:
    x, places, values = (node.input(i) for i in range(3))
    reduction = node.attribute("reduction", "none")
    if reduction not in ("none", "add"):
        raise Unreadable(f"puts by {reduction!r:.20}")
    parts = _places(node, places, _depth(places))
    arguments = {"input": x, **{f"indices.{i}": part for i, part in parts.items()}, "values": values}
    more = {"accumulate": True} if reduction == "add" else {}
    return node.emit("index_put", arguments, more, (Type(x.shape, x.dtype),))


def _scatter(node: Node) -> Held:
    x, places, values = (node.input(i) for i in range(3))
    axis = node.axis(x.rank, 0)
    places = cast(node, places, "int64")
    reduction = node.attribute("reduction", "none")
    if reduction == "none":
        return node.emit("scatter", {"input": x, "index": places, "src": values}, {"dim": axis})
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    if reduction not in names:
        raise Unreadable(f"puts by {reduction!r:.20}")
    return node.emit(
        "scatter_reduce",
        {"input": x, "index": places, "src": values},
        {"dim": axis, "reduce": names[reduction]},
    )


def _top(node: Node) -> list[Held]:
    x = node.input()
    k = node.numbers(1, "count")[0]
    axis = node.axis(x.rank, -1)
    attributes = {"k": k, "dim": axis}
    if not node.attribute("largest", 1):
        attributes["largest"] = False
    if not node.attribute("sorted", 1):
        attributes["sorted"] = False
    return node.several("topk", {"input": x}, attributes)


def _one_hot(node: Node) -> Held:
    places, values = node.input(0), node.input(2)
    depth = node.numbers(1, "depth")[0]
    axis = node.attribute("axis", -1)
    axis = axis + places.rank + 1 if axis < 0 else axis
    if isinstance(depth, float):
        depth = int(depth)
    if values.content is None or values.symbolic:
        raise Unreadable("its values depend on data")
    off, on = listed(values)
    wide = node.emit("unsqueeze", {"input": cast(node, places, "int64")}, {"dim": axis})
    count = node.emit("arange", {}, {"range": (0, depth), "dtype": "int64"}, (Type((depth,), "int64"),))
    after = places.rank - axis
    if after:
        count = node.emit("reshape", {"input": count}, {"shape": (depth, *[1] * after)})
    negative = node.emit("remainder", {"input": wide}, {"other": depth})
    hot = node.emit("eq", {"input": negative, "other": count})
    made = node.emit("to", {"input": hot}, {"dtype": values.dtype})
    if on - off != 1:
        made = node.emit("mul", {"input": made}, {"other": on - off})
    return node.emit("add", {"input": made}, {"other": off}) if off else made


def _trilu(node: Node) -> Held:
    x = node.input()
    k = node.numbers(1, "diagonal")[0] if node.has(1) else 0
    name = "triu" if node.attribute("upper", 1) else "tril"
    if (
        x.content is not None
        and not x.ref
        and not x.symbolic
        and x.content.size <= MOST
        and isinstance(k, int)
    ):
        function = numpy.triu if name == "triu" else numpy.tril
        return x.with_shape(x.shape, function(x.content, k).astype(x.content.dtype))
    return node.emit(name, {"input": x}, {"diagonal": k} if k else {})


def _nonzero(node: Node) -> Held:
    claim = node.claimed("int64")
    if claim is None or not all(isinstance(n, int) for n in claim.shape):
        raise Unreadable("how many there are depends on data")
    found = node.emit("nonzero", {"input": node.input()}, {}, (Type(claim.shape[::-1], "int64"),))
    return node.emit("transpose", {"input": found}, {"dim0": 0, "dim1": 1})


READERS: dict[str, Any] = {
    "Gather": _gather, "Slice": _slice, "GatherElements": _gather_elements, "GatherND": _gather_nd,
    "ScatterND": _scatter_nd, "ScatterElements": _scatter, "TopK": _top, "OneHot": _one_hot,
    "Trilu": _trilu, "NonZero": _nonzero,
}  # fmt: skip
