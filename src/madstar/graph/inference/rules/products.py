"""Products of matrices, attention, einsum: sizes that are summed over must agree."""

from __future__ import annotations

from ...model import Dim, Shape
from .. import promotion
from ..operands import Operands
from ..types import Misfit, NoRule, Type
from .table import Rule


def _linear(o: Operands) -> list[Type]:
    given, weight = o.tensor(), o.ranked("weight", 1, 2)
    if not given.shape:
        raise Misfit("shape", "input of at least one dimension", str(given), "input")
    o.want("input", -1, weight.shape[-1], f" (weight {weight})")
    dtype = o.one_dtype("input", "weight", "bias")
    wide = weight.shape[:-1]
    if (bias := o.optional("bias")) is not None and not (wide and len(bias.shape) > 1):
        o.want_shape("bias", wide, f" (weight {weight})")
    return [Type((*given.shape[:-1], *wide), dtype)]


def _bilinear(o: Operands) -> list[Type]:
    first, second, weight = o.tensor("input1"), o.tensor("input2"), o.ranked("weight", 3)
    o.want("input1", -1, weight.shape[1], f" (weight {weight})")
    o.want("input2", -1, weight.shape[2], f" (weight {weight})")
    o.want_shape("input2", (*first.shape[:-1], second.shape[-1]))
    return [Type((*first.shape[:-1], weight.shape[0]), first.dtype)]


def _matmul(o: Operands) -> list[Type]:
    left, right = o.tensor(), o.tensor("other")
    dtype = o.one_dtype("input", "other")
    if not left.shape or not right.shape:
        raise Misfit("shape", "both of at least one dimension", f"{left} and {right}", "input")
    a = left.shape if len(left.shape) > 1 else (1, *left.shape)
    b = right.shape if len(right.shape) > 1 else (*right.shape, 1)
    if not o.sizes.same(a[-1], b[-2]):
        inner = -2 if len(right.shape) > 1 else -1
        o.want("other", inner, a[-1], f" (input {left})")
    batch = o.broadcast(("input", a[:-2]), ("other", b[:-2]))
    rows = (a[-2],) if len(left.shape) > 1 else ()
    columns = (b[-1],) if len(right.shape) > 1 else ()
    return [Type((*batch, *rows, *columns), dtype)]


# Slots of the two factors and of what is added; how many dimensions each factor has.
_FIXED = {
    "mm": ("input", "mat2", 2),
    "bmm": ("input", "mat2", 3),
    "mv": ("input", "vec", 2),
    "dot": ("input", "tensor", 1),
    "addmm": ("mat1", "mat2", 2),
    "addmv": ("mat", "vec", 2),
    "baddbmm": ("batch1", "batch2", 3),
    "addbmm": ("batch1", "batch2", 3),
}


def _fixed(o: Operands) -> list[Type]:
    first, second, rank = _FIXED[o.op]
    a = o.ranked(first, rank)
    b = o.ranked(second, 1 if o.op in ("mv", "addmv", "dot") else rank)
    dtype = o.one_dtype(first, second)
    o.want(second, 0 if len(b.shape) < 3 else 1, a.shape[-1], f" ({first} {a})")
    if rank == 3:
        o.want(second, 0, a.shape[0], f" ({first} {a})")
    shape = (*a.shape[:-1], *(b.shape[-1:] if len(b.shape) > 1 else ()))
    if o.op == "addbmm":
        shape = shape[1:]
    if o.op.startswith(("add", "badd")) and "input" in o.tensors:
        added = o.tensor()
        if not o.sizes.same_shape(o.broadcast(("product", shape), ("input", added.shape)), shape):
            raise Misfit("shape", f"input that fits the product {Type(shape, dtype)}", str(added), "input")
    return [Type(shape, dtype)]


def _outer(o: Operands) -> list[Type]:
    a, b = o.ranked("input", 1), o.ranked("vec2", 1)
    return [Type((*a.shape, *b.shape), _promoted(o, "input", "vec2"))]


def _inner(o: Operands) -> list[Type]:
    a, b = o.tensor(), o.tensor("other")
    if not a.shape or not b.shape:
        raise NoRule
    o.want("other", -1, a.shape[-1], f" (input {a})")
    return [Type((*a.shape[:-1], *b.shape[:-1]), o.one_dtype("input", "other"))]


def _promoted(o: Operands, *slots: str) -> str:
    dtype = promotion.result(o.tensor(slot).dtype for slot in slots)
    if dtype is None:
        raise NoRule
    return dtype


def _grouped(o: Operands) -> list[Type]:
    a, b = o.ranked("input", 2, 3), o.ranked("mat2", 2, 3)
    o.want("mat2", -2, a.shape[-1], f" (input {a})") if len(b.shape) == 3 or len(a.shape) == 3 else None
    groups = o.ranked("offs", 1).shape if o.optional("offs") is not None else ()
    lead: Shape = ()
    if len(a.shape) == 3 and len(b.shape) == 3:
        lead = a.shape[:1]
    elif len(a.shape) == 2 and len(b.shape) == 2:
        lead = groups
    elif len(b.shape) == 3 and groups:
        o.want("offs", 0, b.shape[0], f" (mat2 {b})")
    return [Type((*lead, a.shape[-2], b.shape[-1]), o.dtype(a.dtype) if o.has("out_dtype") else a.dtype)]


def _cdist(o: Operands) -> list[Type]:
    a, b = o.tensor("x1"), o.tensor("x2")
    o.want("x2", -1, a.shape[-1], f" (x1 {a})")
    batch = o.broadcast(("x1", a.shape[:-2]), ("x2", b.shape[:-2]))
    return [Type((*batch, a.shape[-2], b.shape[-2]), a.dtype)]


def _attention(o: Operands) -> list[Type]:
    query, key, value = (o.tensor(slot) for slot in ("query", "key", "value"))
    dtype = o.one_dtype("query", "key", "value")
    for slot in ("query", "key", "value"):
        if len(o.tensor(slot).shape) < 2:
            raise Misfit("shape", f"{slot} of at least two dimensions", str(o.tensor(slot)), slot)
    o.want("key", -1, query.shape[-1], f" (query {query})")
    o.want("value", -2, key.shape[-2], f" (key {key})")
    if o.flag("enable_gqa"):
        for slot, other in (("key", key), ("value", value)):
            heads, kept = query.shape[-3], other.shape[-3]
            if isinstance(heads, int) and isinstance(kept, int) and (not kept or heads % kept):
                raise Misfit(
                    "shape", f"{slot} of heads that divide {heads}", str(other), slot, len(other.shape) - 3
                )
            o.want_shape(slot, (*query.shape[:-3], kept, *other.shape[-2:]))
        batch = query.shape[:-2]
    else:
        shapes = ((slot, o.tensor(slot).shape[:-2]) for slot in ("query", "key", "value"))
        batch = o.broadcast(*shapes)
    if (mask := o.optional("attn_mask")) is not None:
        if o.flag("is_causal"):
            raise Misfit("attribute", "attn_mask or is_causal", "both", "attn_mask")
        if mask.dtype not in ("bool", dtype):
            raise Misfit("dtype", f"attn_mask of bool or {dtype}", str(mask), "attn_mask")
        scores = (*batch, query.shape[-2], key.shape[-2])
        if not o.sizes.same_shape(o.broadcast(("scores", scores), ("attn_mask", mask.shape)), scores):
            raise Misfit("shape", f"attn_mask for scores {Type(scores, dtype)}", str(mask), "attn_mask")
    return [Type((*batch, query.shape[-2], value.shape[-1]), dtype)]


def _many_heads(o: Operands) -> list[Type]:
    query, key = o.ranked("query", 2, 3), o.ranked("key", 2, 3)
    width = o.tensor("out_proj_weight")
    o.want("query", -1, width.shape[1], f" (out_proj_weight {width})")
    found = [Type((*query.shape[:-1], width.shape[0]), query.dtype)]
    if o.flag("need_weights", True):
        batch = query.shape[1:-1]
        heads = () if o.flag("average_attn_weights", True) else (o.size("num_heads"),)
        found.append(Type((*batch, *heads, query.shape[0], key.shape[0]), query.dtype))
    return found


def _einsum(o: Operands) -> list[Type]:
    equation = o.attribute("equation")
    given = o.many("operands")
    if not isinstance(equation, str) or not given:
        raise NoRule
    taken, arrow, result = equation.replace(" ", "").partition("->")
    terms = taken.split(",")
    if len(terms) != len(given):
        raise Misfit("missing argument", f"{len(terms)} operands for {equation!r}", str(len(given)))
    letters: dict[str, tuple[Dim, str]] = {}
    front: list[tuple[str, Shape]] = []
    for term, (slot, operand) in zip(terms, given, strict=True):
        before, dots, after = term.partition("...")
        free = len(operand.shape) - len(before) - len(after)
        if free < 0 or (free and not dots):
            raise Misfit("shape", f"{slot} of {len(term)} dimensions ({equation!r})", str(operand), slot)
        front.append((slot, operand.shape[len(before) : len(before) + free]))
        places = [*range(len(before)), *range(len(before) + free, len(operand.shape))]
        for letter, place in zip(before + after, places, strict=True):
            size = operand.shape[place]
            known, setter = letters.get(letter, (1, slot))
            if known == 1:
                letters[letter] = (size, slot)
            elif size != 1 and not o.sizes.same(known, size):
                why = f" ({letter!r} of {equation!r}, as in {setter})"
                o.want(slot, place, known, why)
    if not arrow:
        used = taken.replace(",", "").replace(".", "")
        dots = "..." if "..." in taken else ""
        result = dots + "".join(sorted(c for c in letters if used.count(c) == 1))
    shape: list[Dim] = []
    before, dots, after = result.partition("...")
    for letter in before + after:
        if letter not in letters:
            raise Misfit("attribute", f"letters of {taken!r}", f"{letter!r} in {equation!r}")
    shape += [letters[c][0] for c in before]
    shape += o.broadcast(*front) if dots else ()
    shape += [letters[c][0] for c in after]
    return [Type(tuple(shape), o.one_dtype(*(slot for slot, _ in given)))]


def _solve(o: Operands) -> list[Type]:
    a, b = o.tensor("A" if "A" in o.tensors else "input"), o.tensor("B")
    if len(a.shape) < 2 or len(b.shape) < 2:
        raise NoRule
    left = o.flag("left", True)
    o.want("B", -2 if left else -1, a.shape[-1], f" (A {a})")
    batch = o.broadcast(("A", a.shape[:-2]), ("B", b.shape[:-2]))
    return [Type((*batch, *b.shape[-2:]), b.dtype)]


RULES: dict[str, Rule] = {
    "linear": _linear,
    "bilinear": _bilinear,
    "matmul": _matmul,
    **dict.fromkeys(_FIXED, _fixed),
    "outer": _outer,
    "inner": _inner,
    "grouped_mm": _grouped,
    "cdist": _cdist,
    "scaled_dot_product_attention": _attention,
    "multi_head_attention_forward": _many_heads,
    "einsum": _einsum,
    "linalg_solve_triangular": _solve,
}
