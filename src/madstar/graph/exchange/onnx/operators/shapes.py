"""Operations that arrange elements anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy

from .... import dims
from ....model import Dim
from ..held import MOST, Held, settled
from ..interpreting import Node, Unreadable


def _size(part: Any) -> Dim:
    if isinstance(part, bool) or not isinstance(part, (int, str)):
        raise Unreadable(f"a size is {part!r:.40}")
    return part


def _reshape(node: Node) -> Held:
    x = node.input()
    wanted = [_size(part) for part in node.numbers(1, "sizes")]
    zero = node.attribute("allowzero", 0)
    shape: list[Dim] = []
    for i, size in enumerate(wanted):
        if size == 0 and not zero:
            if i >= x.rank:
                raise Unreadable(f"copies dimension {i} of {x.rank}")
            size = x.shape[i]
        shape.append(size)
    return reshaped(node, x, shape)


def reshaped(node: Node, x: Held, shape: Sequence[Dim]) -> Held:
    """In another shape, in which one -1 stands for the rest."""
    shape = list(shape)
    open_ = [i for i, size in enumerate(shape) if size == -1]
    if len(open_) > 1:
        raise Unreadable("asks for two sizes to be found")
    if x.content is not None and not x.ref and all(isinstance(size, int) for size in shape):
        content = x.content.reshape([int(size) for size in shape])
        return x.with_shape(tuple(int(n) for n in content.shape), content)
    if open_:
        others = [size for size in shape if size != -1]
        found = dims.exact_divide(dims.product(*x.shape), dims.product(*others)) if 0 not in others else None
        if found is not None:
            shape[open_[0]] = found
    if tuple(shape) == x.shape:
        return x
    return node.emit("reshape", {"input": x}, {"shape": tuple(shape)})


def _flatten(node: Node) -> Held:
    x = node.input()
    axis = node.attribute("axis", 1)
    axis = axis + x.rank if axis < 0 else axis
    return reshaped(node, x, (dims.product(*x.shape[:axis]), dims.product(*x.shape[axis:])))


def _transpose(node: Node) -> Held:
    x = node.input()
    order = node.attribute("perm", list(range(x.rank))[::-1])
    if sorted(order) != list(range(x.rank)):
        raise Unreadable(f"perm {order[:12]} of {x.rank} dimensions")
    if x.content is not None and not x.ref:
        content = x.content.transpose(order)
        return x.with_shape(tuple(x.shape[i] for i in order), content)
    return permuted(node, x, order)


def permuted(node: Node, x: Held, order: Sequence[int]) -> Held:
    """With its dimensions in another order: two exchanged, as people say it, or all."""
    moved = [i for i, axis in enumerate(order) if i != axis]
    if not moved:
        return x
    if len(moved) == 2:
        return node.emit("transpose", {"input": x}, {"dim0": moved[0], "dim1": moved[1]})
    return node.emit("permute", {"input": x}, {"dims": tuple(order)})


def _axes(node: Node, rank: int) -> list[int] | None:
    """Axes as an input, or as an attribute."""
    found = node.whole(1, "axes") if node.has(1) else node.attribute("axes")
    if found is None:
        return None
    if any(not -rank <= axis < rank for axis in found) or len({axis % rank for axis in found}) < len(found):
        raise Unreadable(f"axes {found[:12]} of {rank} dimensions")
    return sorted(axis % rank for axis in found)


def _squeeze(node: Node) -> Held:
    x = node.input()
    axes = _axes(node, x.rank) if x.rank else []
    if axes is None:
        axes = [i for i, size in enumerate(x.shape) if size == 1]
    if x.content is not None and not x.ref:
        content = x.content.squeeze(tuple(axes)) if axes else x.content
        return x.with_shape(tuple(int(n) for n in content.shape), content)
    for axis in reversed(axes):
        if x.shape[axis] != 1:
            raise Unreadable(f"dimension {axis} is {x.shape[axis]}, not 1")
        x = node.emit("squeeze", {"input": x}, {"dim": axis})
    return x


def _unsqueeze(node: Node) -> Held:
    x = node.input()
    count = len(node.whole(1, "axes") if node.has(1) else node.attribute("axes", []))
    axes = _axes(node, x.rank + count) or []
    if x.content is not None and not x.ref:
        content = numpy.expand_dims(x.content, tuple(axes)) if axes else x.content
        return x.with_shape(tuple(int(n) for n in content.shape), content)
    for axis in axes:
        x = node.emit("unsqueeze", {"input": x}, {"dim": axis})
    return x


def broadcast(a: Sequence[Dim], b: Sequence[Dim]) -> tuple[Dim, ...]:
    """Two shapes put together; where it is not known which gives way, the one that is no 1."""
    rank = max(len(a), len(b))
    made: list[Dim] = []
    for x, y in zip((1,) * (rank - len(a)) + tuple(a), (1,) * (rank - len(b)) + tuple(b), strict=True):
        if x == 1 or y == 1 or x == y:
            made.append(y if x == 1 else x)
        elif dims.differ(x, y):
            raise Unreadable(f"{list(a)} and {list(b)} do not go together")
        else:
            made.append(x if isinstance(x, int) else y)
    return tuple(made)


def _expand(node: Node) -> Held:
    x = node.input()
    wanted = [_size(part) for part in node.numbers(1, "sizes")]
    shape = broadcast(x.shape, wanted)
    if shape == x.shape:
        return x
    if x.content is not None and not x.ref and all(isinstance(n, int) for n in shape):
        total = 1
        for n in shape:
            total *= int(n)
        if total <= MOST:
            content = numpy.broadcast_to(x.content, [int(n) for n in shape]).copy()
            return x.with_shape(shape, content)
    if x.content is not None and not x.ref and x.content.size == 1 and not x.symbolic:
        # One number everywhere.
        return full(node, shape, x)
    return node.emit("expand", {"input": x}, {"size": shape})


def full(node: Node, shape: Sequence[Dim], number: Held) -> Held:
    """A tensor of one number."""
    from ....inference.types import Type
    from ..held import listed

    value = listed(number)[0]
    shape = tuple(shape)
    attributes = {"size": shape, "fill_value": value, "dtype": number.dtype}
    return node.emit("full", {}, attributes, (Type(shape, number.dtype),))


def _tile(node: Node) -> Held:
    x = node.input()
    repeats = tuple(_size(part) for part in node.numbers(1, "repeats"))
    if all(n == 1 for n in repeats):
        return x
    return node.emit("repeat", {"input": x}, {"repeats": repeats})


def _concat(node: Node) -> Held:
    parts = [node.input(i) for i in range(len(node.inputs))]
    axis = node.axis(parts[0].rank, None)
    if all(part.content is not None and not part.ref for part in parts):
        arrays = [part.content for part in parts]
        if sum(array.size for array in arrays) <= MOST:
            if any(part.symbolic for part in parts):
                arrays = [array.astype(object) for array in arrays]
            content = settled(numpy.concatenate(arrays, axis), parts[0].dtype)
            return Held(tuple(int(n) for n in content.shape), parts[0].dtype, "", content)
    parts = [part for part in parts if part.shape[axis] != 0] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    return node.emit("cat", {f"tensors.{i}": part for i, part in enumerate(parts)}, {"dim": axis})


def _split(node: Node) -> list[Held]:
    x = node.input()
    axis = node.axis(x.rank, 0)
    whole = x.shape[axis]
    if node.has(1):
        parts = [_size(part) for part in node.numbers(1, "sizes")]
    else:
        count = node.attribute("num_outputs", node.outputs)
        if not 0 < count <= 100_000 or count != node.outputs:
            raise Unreadable(f"splits into {count} parts")
        each = dims.ceil_divide(whole, count)
        parts = [each] * (count - 1) + [dims.subtract(whole, dims.multiply(each, count - 1))]
    if len(parts) != node.outputs:
        raise Unreadable(f"{len(parts)} parts for {node.outputs} outputs")
    if x.content is not None and not x.ref and all(isinstance(n, int) for n in parts):
        places = numpy.cumsum([int(n) for n in parts])[:-1]
        return [x.with_shape(tuple(c.shape), c) for c in numpy.split(x.content, places, axis)]
    if len(parts) == 1:
        return [x]
    return node.several("split", {"input": x}, {"split_size_or_sections": tuple(parts), "dim": axis})


def _pad(node: Node) -> Held:
    x = node.input()
    pads = [
        _size(part) for part in (node.numbers(1, "widths") if node.has(1) else node.attribute("pads", []))
    ]
    axes = [axis % x.rank for axis in node.whole(3, "axes")] if node.has(3) else list(range(x.rank))
    if len(pads) != 2 * len(axes):
        raise Unreadable(f"{len(pads)} widths for {len(axes)} dimensions")
    before: list[Dim] = [0] * x.rank
    after: list[Dim] = [0] * x.rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    value = 0.0
    if node.has(2):
        value = node.numbers(2, "values")[0]
    modes = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}
    mode = modes.get(node.attribute("mode", "constant"))
    if mode is None:
        raise Unreadable(f"no mode {node.attribute('mode')!r:.40}")
    return padded(node, x, before, after, mode, value)


def padded(
    node: Node, x: Held, before: Sequence[Dim], after: Sequence[Dim], mode: str = "constant", value: Any = 0.0
) -> Held:
    """Widened, by these widths for each dimension."""
    first = next((i for i in range(x.rank) if before[i] != 0 or after[i] != 0), None)
    if first is None:
        return x
    if mode != "constant":
        # torch pads the last one, two or three dimensions so, of a tensor of two more.
        first = max(min(first, x.rank - 1), 0)
        if x.rank - first > 3:
            raise Unreadable(f"pads by {mode} in {x.rank - first} dimensions")
        while x.rank - first < x.rank - 2 and x.rank <= 5:
            first -= 1
    widths: list[Dim] = []
    for axis in reversed(range(first, x.rank)):
        widths += [before[axis], after[axis]]
    attributes: dict[str, Any] = {"pad": tuple(widths)}
    if mode != "constant":
        attributes["mode"] = mode
    elif value:
        attributes["value"] = value
    return node.emit("pad", {"input": x}, attributes)


def _depth_to_space(node: Node) -> Held:
    x, block = node.input(), node.attribute("blocksize", 1)
    n, c, h, w = x.shape
    deep = (
        dims.exact_divide(c, block * block) if node.op == "DepthToSpace" else dims.multiply(c, block * block)
    )
    if deep is None:
        raise Unreadable(f"{c} channels for blocks of {block}")
    if node.op == "SpaceToDepth":
        high, wide = dims.floor_divide(h, block), dims.floor_divide(w, block)
        parts = reshaped(node, x, (n, c, high, block, wide, block))
        return reshaped(node, permuted(node, parts, (0, 3, 5, 1, 2, 4)), (n, deep, high, wide))
    if node.attribute("mode", "DCR") == "CRD":
        return node.emit("pixel_shuffle", {"input": x}, {"upscale_factor": block})
    parts = reshaped(node, x, (n, block, block, deep, h, w))
    tall, wide = dims.multiply(h, block), dims.multiply(w, block)
    return reshaped(node, permuted(node, parts, (0, 3, 4, 1, 5, 2)), (n, deep, tall, wide))


READERS: dict[str, Any] = {
    "Reshape": _reshape, "Flatten": _flatten, "Transpose": _transpose, "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze, "Expand": _expand, "Tile": _tile, "Concat": _concat, "Split": _split,
    "Pad": _pad, "DepthToSpace": _depth_to_space, "SpaceToDepth": _depth_to_space,
}  # fmt: skip
