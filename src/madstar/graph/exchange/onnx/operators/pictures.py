"""Operations over the dimensions of a picture: resized, sampled, put together of blocks."""

from __future__ import annotations

import math
from typing import Any

from .... import dims
from ....model import Dim
from ..held import Held
from ..interpreting import Node, Unreadable


def numbers(node: Node, name: str, count: int, default: int) -> tuple[int, ...]:
    """An attribute that has a number for each dimension of space."""
    found = node.attribute(name, [default] * count)
    if len(found) != count or not all(0 <= n < 1 << 31 for n in found):
        raise Unreadable(f"{name} = {found[:8]} in {count} dimensions")
    return tuple(found)


def _resize(node: Node) -> Held:
    x = node.input()
    mode = node.attribute("mode", "nearest")
    where = node.attribute("coordinate_transformation_mode", "half_pixel")
    space = x.rank - 2
    if node.has(3):
        sizes = tuple(node.numbers(3, "sizes"))
    elif node.has(2):
        scales = node.numbers(2, "scales")
        sizes = tuple(_scaled(n, s) for n, s in zip(x.shape, scales, strict=True))
    else:
        raise Unreadable("neither sizes nor scales are given")
    if len(sizes) != x.rank or sizes[:2] != x.shape[:2] or node.attribute("axes") or not 1 <= space <= 3:
        raise Unreadable(f"resizes {list(x.shape)} to {list(sizes)}: only what lies in space can be")
    attributes: dict[str, Any] = {"size": tuple(sizes[2:])}
    aligned = where == "align_corners"
    if mode == "nearest":
        rounding = node.attribute("nearest_mode", "round_prefer_floor")
        if where == "asymmetric" and rounding == "floor":
            attributes["mode"] = "nearest"
        elif where == "half_pixel" and rounding in ("round_prefer_floor", "round_prefer_ceil"):
            attributes["mode"] = "nearest-exact"
        else:
            raise Unreadable(f"the nearest by {where} and {rounding}")
    elif mode in ("linear", "cubic") and where in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        if mode == "cubic" and (space != 2 or abs(node.attribute("cubic_coeff_a", -0.75) + 0.75) > 1e-6):
            raise Unreadable("a cubic of other coefficients than torch's")
        names = {1: "linear", 2: "bilinear", 3: "trilinear"}
        attributes["mode"] = "bicubic" if mode == "cubic" else names[space]
        attributes["align_corners"] = aligned
        if node.attribute("antialias", 0):
            attributes["antialias"] = True
    else:
        raise Unreadable(f"resizes by {mode} and {where}")
    return node.emit("interpolate", {"input": x}, attributes)


def _scaled(size: Dim, scale: Any) -> Dim:
    if isinstance(size, int):
        return math.floor(size * scale)
    if float(scale).is_integer():
        return dims.multiply(size, int(scale))
    whole = round(1 / scale) if scale else 0
    if whole and abs(1 / scale - whole) < 1e-6:
        return dims.floor_divide(size, whole)
    raise Unreadable(f"scales the open size {size} by {scale}")


def _fold(node: Node) -> Held:
    image, block = tuple(node.numbers(1, "sizes")), tuple(node.whole(2, "sizes"))
    count = len(block)
    pads = node.attribute("pads", [0] * 2 * count)
    if count != 2 or len(image) != 2 or len(pads) != 4 or pads[:2] != pads[2:]:
        raise Unreadable("blocks of other than two dimensions, or with more added on one side")
    attributes = {
        "output_size": image,
        "kernel_size": block,
        "dilation": numbers(node, "dilations", count, 1),
        "padding": tuple(pads[:2]),
        "stride": numbers(node, "strides", count, 1),
    }
    return node.emit("fold", {"input": node.input()}, attributes)


def _grid(node: Node) -> Held:
    modes = {
        "linear": "bilinear",
        "bilinear": "bilinear",
        "nearest": "nearest",
        "cubic": "bicubic",
        "bicubic": "bicubic",
    }
    mode = modes.get(node.attribute("mode", "linear"))
    if mode is None:
        raise Unreadable(f"no mode {node.attribute('mode')!r:.40}")
    attributes = {
        "mode": mode,
        "padding_mode": node.attribute("padding_mode", "zeros"),
        "align_corners": bool(node.attribute("align_corners", 0)),
    }
    return node.emit("grid_sample", {"input": node.input(0), "grid": node.input(1)}, attributes)


READERS: dict[str, Any] = {"Resize": _resize, "GridSample": _grid, "Col2Im": _fold}
