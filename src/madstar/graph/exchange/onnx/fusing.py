"""Functions that people call, found again where an exporter has written what they are made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import MutableMapping, Sequence
from dataclasses import replace

from ...inference.types import Type
from .interpreting import Flat, Weight, is_path


def fused(flats: Sequence[Flat], weights: MutableMapping[str, Weight], results: Sequence[str]) -> list[Flat]:
    """The same computation with `linear`, `silu`, `gelu` and attention found again, and nothing unused."""
    kept = _alive(flats, results)
    for find in (_linear, _with_bias, _silu, _gelu, _attention):
        kept = _Finder(kept, weights, results).replaced(find)
    return _alive(kept, results)


def _alive(flats: Sequence[Flat], results: Sequence[str]) -> list[Flat]:
    used = set(results)
    kept = []
    for flat in reversed(flats):
        if any(ref in used for ref, _ in flat.outputs):
            kept.append(flat)
            used.update(ref for _, ref in flat.arguments)
    return kept[::-1]


class _Finder:
    """Who makes each value, and how often it is used."""

    def __init__(self, flats: Sequence[Flat], weights: MutableMapping[str, Weight], results: Sequence[str]):
        self.flats, self.weights = flats, weights
        self.makers = {ref: flat for flat in flats for ref, _ in flat.outputs}
        self.uses = Counter(ref for flat in flats for _, ref in flat.arguments)
        self.uses.update(results)
        self.users: dict[str, list[Flat]] = {}
        for flat in flats:
            for _, ref in flat.arguments:
                self.users.setdefault(ref, []).append(flat)
        self.turned: dict[str, str] = {}
        self.types = {ref: type_ for flat in flats for ref, type_ in flat.outputs}

    def replaced(self, find: object) -> list[Flat]:
        return [find(self, flat) or flat for flat in self.flats]  # type: ignore[operator]

    def type(self, ref: str) -> Type | None:
        """The type of a weight or value."""
        if ref.startswith("@"):
            return self.weights[ref[1:]].type
        return self.types.get(ref)

    def maker(self, ref: str, *ops: str) -> Flat | None:
        """What makes a value, if it is one of these."""
        found = self.makers.get(ref)
        return found if found is not None and found.op in ops else None


def _linear(finder: _Finder, flat: Flat) -> Flat | None:
    """matmul(x, W.t()) of a weight, or of one that its exporter has named and stored transposed."""
    if flat.op != "matmul":
        return None
    given = dict(flat.arguments)
    turned = finder.maker(given["other"], "transpose", "t")
    if turned is not None:
        weight = dict(turned.arguments)["input"]
        type_ = finder.type(weight)
        dims = {turned.attributes.get("dim0"), turned.attributes.get("dim1")}
        if weight.startswith("@") and type_ is not None and len(type_.shape) == 2 and dims <= {0, 1, None}:
            return replace(flat, op="linear", arguments=[("input", given["input"]), ("weight", weight)])
        return None
    found = _turned_over(finder, given["other"])
    if found is None:
        return None
    return replace(flat, op="linear", arguments=[("input", given["input"]), ("weight", found)])


def _turned_over(finder: _Finder, ref: str) -> str | None:
    """A weight that the exporter has transposed and named itself ("onnx::MatMul_123"), as a layer has it."""
    if ref in finder.turned:
        return finder.turned[ref]
    held = finder.weights.get(ref[1:]) if ref.startswith("@") else None
    users = finder.users.get(ref, [])
    products = [flat for flat in users if flat.op == "matmul" and ("other", ref) in flat.arguments]
    if held is None or held.stored is None or is_path(held.stored.name) or len(held.type.shape) != 2:
        return None
    if len(products) != len(users) or not users[0].scope[1:] or len(users) != 1:
        return None
    path = f"{users[0].scope[-1][0]}.weight"
    if not is_path(path) or path in finder.weights:
        return None
    type_ = Type(held.type.shape[::-1], held.type.dtype)
    finder.weights[path] = replace(held, path=path, type=type_, transposed=True)
    finder.turned[ref] = f"@{path}"
    return finder.turned[ref]


def _with_bias(finder: _Finder, flat: Flat) -> Flat | None:
    if flat.op != "add" or flat.attributes or len(flat.arguments) != 2:
        return None
    (_, a), (_, b) = flat.arguments
    for product, bias in ((a, b), (b, a)):
        found = finder.maker(product, "linear")
        type_ = finder.type(bias)
        if (
            found is None
            or len(found.arguments) != 2
            or finder.uses[product] != 1
            or not bias.startswith("@")
        ):
            continue
        weight = finder.type(dict(found.arguments)["weight"])
        if type_ is not None and weight is not None and type_.shape == weight.shape[:1]:
            scope = found.scope if len(found.scope) >= len(flat.scope) else flat.scope
            return replace(flat, op="linear", arguments=[*found.arguments, ("bias", bias)], scope=scope)
    return None


def _silu(finder: _Finder, flat: Flat) -> Flat | None:
    if flat.op != "mul" or flat.attributes or len(flat.arguments) != 2:
        return None
    (_, a), (_, b) = flat.arguments
    for x, gate in ((a, b), (b, a)):
        found = finder.maker(gate, "sigmoid")
        if found is not None and dict(found.arguments)["input"] == x and finder.uses[gate] == 1:
            return replace(flat, op="silu", arguments=[("input", x)])
    return None


def _gelu(finder: _Finder, flat: Flat) -> Flat | None:
    """x (erf(x / sqrt(2)) + 1) / 2, in whatever order it is multiplied."""
    if flat.op != "mul":
        return None
    parts, number = _factors(finder, flat)
    if len(parts) != 2 or abs(number - 0.5) > 1e-6:
        return None
    for x, gate in (parts, parts[::-1]):
        one = finder.maker(gate, "add")
        curve = finder.maker(one.arguments[0][1], "erf") if one is not None else None
        if one is None or curve is None or one.attributes != {"other": 1.0}:
            continue
        inner = finder.maker(curve.arguments[0][1], "mul", "div")
        scale = inner.attributes.get("other") if inner is not None and len(inner.arguments) == 1 else None
        if inner is None or not isinstance(scale, float) or inner.arguments[0][1] != x or not scale:
            continue
        if abs((scale if inner.op == "mul" else 1 / scale) - math.sqrt(0.5)) < 1e-6:
            return replace(flat, op="gelu", arguments=[("input", x)], attributes={})
    return None


def _factors(finder: _Finder, flat: Flat) -> tuple[list[str], float]:
    """What a product is of: tensors, and the product of its numbers."""
    parts: list[str] = []
    number = 1.0
    stack = [flat]
    while stack and len(parts) < 4:
        product = stack.pop()
        other = product.attributes.get("other", 1.0)
        number *= other if isinstance(other, (int, float)) else math.nan
        for _, ref in product.arguments:
            below = finder.maker(ref, "mul")
            if below is not None and finder.uses[ref] == 1:
                stack.append(below)
            else:
                parts.append(ref)
    return parts, number


def _attention(finder: _Finder, flat: Flat) -> Flat | None:
    """softmax(scale q k' + mask) v, with the scale on q, on k, or on both, as torch's exporter has it."""
    if flat.op != "matmul":
        return None
    given = dict(flat.arguments)
    chances, value = finder.maker(given["input"], "softmax"), given["other"]
    of_value = finder.type(value)
    if (
        chances is None
        or of_value is None
        or len(of_value.shape) != 4
        or chances.attributes.get("dim") not in (-1, 3)
    ):
        return None
    scores, mask = finder.maker(dict(chances.arguments)["input"], "matmul", "add"), ""
    if scores is not None and scores.op == "add":
        sides = [ref for _, ref in scores.arguments]
        if len(sides) != 2 or scores.attributes:
            return None
        product = next((ref for ref in sides if finder.maker(ref, "matmul")), "")
        mask = sides[1 - sides.index(product)] if product else ""
        scores = finder.maker(product, "matmul")
    if scores is None:
        return None
    query, first = _scaled(finder, dict(scores.arguments)["input"])
    turned, second = _scaled(finder, dict(scores.arguments)["other"])
    key = _unturned(finder, turned)
    types = [finder.type(ref) for ref in (query, key or "", value)]
    if key is None or any(each is None or len(each.shape) != 4 for each in types):
        return None
    q, k, v = (each for each in types if each is not None)
    if not (q.shape[:2] == k.shape[:2] == v.shape[:2] and q.dtype == v.dtype):
        return None
    attributes: dict[str, object] = {}
    scale, width = first * second, q.shape[-1]
    if not isinstance(width, int) or abs(scale * math.sqrt(max(width, 1)) - 1) > 1e-6:
        attributes["scale"] = scale
    arguments = [("query", query), ("key", key), ("value", value)] + ([("attn_mask", mask)] if mask else [])
    return replace(flat, op="scaled_dot_product_attention", arguments=arguments, attributes=attributes)


def _scaled(finder: _Finder, ref: str) -> tuple[str, float]:
    """What a number was multiplied with, and the number; 1 where it was not."""
    found = finder.maker(ref, "mul")
    if found is None or len(found.arguments) != 1 or not isinstance(found.attributes.get("other"), float):
        return ref, 1.0
    return found.arguments[0][1], float(found.attributes["other"])


def _unturned(finder: _Finder, ref: str) -> str | None:
    """The tensor whose last two dimensions were exchanged, even by way of one dimension less."""
    found = finder.maker(ref, "transpose", "reshape")
    shape = finder.type(ref)
    if found is None or shape is None:
        return None
    source = found.arguments[0][1]
    if found.op == "reshape":
        inner = finder.maker(source, "transpose")
        flat = finder.maker(inner.arguments[0][1], "reshape") if inner is not None else None
        if inner is None or flat is None or not _last_two(inner, 3):
            return None
        source = flat.arguments[0][1]
    elif not _last_two(found, len(shape.shape)):
        return None
    before = finder.type(source)
    if before is None or (*before.shape[:-2], before.shape[-1], before.shape[-2]) != shape.shape:
        return None
    return source


def _last_two(flat: Flat, rank: int) -> bool:
    places = {flat.attributes.get("dim0"), flat.attributes.get("dim1")}
    return {place % rank for place in places if isinstance(place, int)} == {rank - 2, rank - 1}
