"""Reductions, scans, softmax, sorting, normalisation."""

from __future__ import annotations

from ...dims import add, floor_divide, subtract
from ...model import Shape
from .. import promotion
from ..operands import Operands
from ..types import Misfit, NoRule, Type
from .elementwise import promoted_dtype
from .table import Rule, rules


def _reduced(o: Operands, shape: Shape, slot: str = "dim") -> Shape:
    axes = o.axes(slot, len(shape))
    if axes is None or axes == ():
        axes = tuple(range(len(shape)))
    if o.flag("keepdim"):
        return tuple(1 if i in axes else size for i, size in enumerate(shape))
    return tuple(size for i, size in enumerate(shape) if i not in axes)


def _sum(o: Operands) -> list[Type]:
    given = o.tensor()
    whole = promotion.is_whole(given.dtype) or given.dtype == "bool"
    return [Type(_reduced(o, given.shape), o.dtype("int64" if whole else given.dtype))]


def _mean(o: Operands) -> list[Type]:
    given = o.tensor()
    dtype = o.dtype(given.dtype)
    if not (promotion.is_floating(dtype) or promotion.is_complex(dtype)):
        raise Misfit("dtype", "input of floating point", str(given), "input")
    return [Type(_reduced(o, given.shape), dtype)]


def _same_dtype(o: Operands) -> list[Type]:
    given = o.tensor()
    return [Type(_reduced(o, given.shape), given.dtype)]


def _extreme(o: Operands) -> list[Type]:
    """max and min: of all, of two tensors, or along a dimension with the places."""
    given = o.tensor()
    for slot in ("dim", "other"):  # torch.max(x, y) gives its second operand by position
        if slot in o.tensors:
            both = [("input", given), (slot, o.tensor(slot))]
            shape = o.broadcast(*((name, t.shape) for name, t in both))
            return [Type(shape, promoted_dtype(o, both, ()))]
    if not o.has("dim"):
        return [Type((), given.dtype)]
    shape = _reduced(o, given.shape)
    return [Type(shape, given.dtype), Type(shape, "int64")]


def _with_places(o: Operands) -> list[Type]:
    given = o.tensor()
    if not o.has("dim") and o.op in ("median", "nanmedian"):
        return [Type((), given.dtype)]
    axis = o.axis("dim", len(given.shape), -1)
    keep = (1,) if o.flag("keepdim") else ()
    shape = (*given.shape[:axis], *keep, *given.shape[axis + 1 :])
    return [Type(shape, given.dtype), Type(shape, "int64")]


def _places(o: Operands) -> list[Type]:
    given = o.tensor()
    if not o.has("dim"):
        return [Type((1,) * len(given.shape) if o.flag("keepdim") else (), "int64")]
    return [Type(_reduced(o, given.shape), "int64")]


def _any(o: Operands) -> list[Type]:
    given = o.tensor()
    return [Type(_reduced(o, given.shape), "uint8" if given.dtype == "uint8" else "bool")]


def _count(o: Operands) -> list[Type]:
    return [Type(_reduced(o, o.tensor().shape), "int64")]


def _two(o: Operands) -> list[Type]:
    (one,) = _same_dtype(o)
    return [one, one]


def _norm(o: Operands) -> list[Type]:
    given = o.tensor("A") if "A" in o.tensors else o.tensor()
    dtype = promotion.parts_of(given.dtype) if promotion.is_complex(given.dtype) else given.dtype
    return [Type(_reduced(o, given.shape), o.dtype(dtype))]


def _scan(o: Operands) -> list[Type]:
    given = o.tensor()
    o.axis("dim", len(given.shape))
    if o.flag("in_place"):
        return [given]
    whole = promotion.is_whole(given.dtype) or given.dtype == "bool"
    return [Type(given.shape, o.dtype("int64" if whole else given.dtype))]


def _scan_with_places(o: Operands) -> list[Type]:
    given = o.tensor()
    o.axis("dim", len(given.shape))
    return [given, Type(given.shape, "int64")]


def _softmax(o: Operands) -> list[Type]:
    given = o.tensor()
    if o.has("dim"):
        o.axis("dim", len(given.shape))
    dtype = o.dtype(given.dtype)
    if not (promotion.is_floating(dtype) or promotion.is_complex(dtype)):
        raise Misfit("dtype", "input of floating point", str(given), "input")
    return [Type(given.shape, dtype)]


def _sort(o: Operands) -> list[Type]:
    given = o.tensor()
    o.axis("dim", len(given.shape), -1)
    places = Type(given.shape, "int64")
    return [places] if o.op == "argsort" else [given] if o.op == "msort" else [given, places]


def _topk(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape), -1)
    kept = o.size("k")
    if o.sizes.less(given.shape[axis] if given.shape else 1, kept):
        raise Misfit("shape", f"at least {kept} in dimension {axis} (k)", str(given), "input", axis)
    shape = (*given.shape[:axis], kept, *given.shape[axis + 1 :])
    return [Type(shape, given.dtype), Type(shape, "int64")]


def _layer_norm(o: Operands) -> list[Type]:
    given = o.tensor()
    shape = o.sizes_of("normalized_shape")
    if len(given.shape) < len(shape) or not o.sizes.same_shape(
        given.shape[len(given.shape) - len(shape) :], shape
    ):
        last = ",".join(map(str, shape))
        raise Misfit("shape", f"input that ends in [{last}]", str(given), "input", len(given.shape) - 1)
    for slot in ("weight", "bias"):
        o.want_shape(slot, shape, " (normalized_shape)")
    return [given]


def _channels(o: Operands) -> list[Type]:
    """Normalisation whose weights have one number for each channel, dimension 1."""
    given = o.tensor()
    if len(given.shape) < 2:
        raise Misfit("shape", "input of at least two dimensions", str(given), "input")
    channels = given.shape[1]
    for slot in ("weight", "bias", "running_mean", "running_var"):
        o.want_shape(slot, (channels,), f" (input {given})")
    if o.op == "group_norm":
        groups = o.integer("num_groups")
        if groups < 1 or (isinstance(channels, int) and channels % groups):
            raise Misfit("shape", f"channels that {groups} groups divide", str(given), "input", 1)
    return [given]


def _glu(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape), -1)
    size = given.shape[axis]
    if isinstance(size, int) and size % 2:
        raise Misfit("shape", f"an even size in dimension {axis}", str(given), "input", axis)
    return [Type((*given.shape[:axis], floor_divide(size, 2), *given.shape[axis + 1 :]), given.dtype)]


def _normalised(o: Operands) -> list[Type]:
    return [o.tensor()]


def _diff(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape), -1)
    size = given.shape[axis]
    for slot in ("prepend", "append"):
        if (more := o.optional(slot)) is not None:
            shape = (*given.shape[:axis], more.shape[axis] if more.shape else 1, *given.shape[axis + 1 :])
            o.want_shape(slot, shape, f" (input {given})")
            size = add(size, more.shape[axis])
    shape = (*given.shape[:axis], subtract(size, o.size("n", 1)), *given.shape[axis + 1 :])
    return [Type(shape, given.dtype)]


def _loss(o: Operands) -> list[Type]:
    if o.attribute("reduction", "mean") == "none":
        raise NoRule
    return [Type((), o.tensor().dtype)]


def _histogram(o: Operands) -> list[Type]:
    return [Type((o.size("bins", 100),), o.tensor().dtype)]


def _cosine(o: Operands) -> list[Type]:
    slots = ("x1", "x2")
    shape = o.broadcast(*((slot, o.tensor(slot).shape) for slot in slots))
    axis = o.axis("dim", len(shape), 1)
    return [Type((*shape[:axis], *shape[axis + 1 :]), o.one_dtype(*slots))]


RULES: dict[str, Rule] = {
    **rules("sum prod nansum", _sum),
    **rules("mean nanmean", _mean),
    **rules("amax amin logsumexp var std", _same_dtype),
    **rules("var_mean std_mean aminmax", _two),
    **rules("max min", _extreme),
    **rules("median kthvalue nanmedian mode", _with_places),
    **rules("argmax argmin", _places),
    **rules("any all", _any),
    "count_nonzero": _count,
    **rules("norm linalg_vector_norm", _norm),
    **rules("cumsum cumprod", _scan),
    **rules("cummax cummin", _scan_with_places),
    **rules("softmax log_softmax softmin", _softmax),
    **rules("sort argsort msort", _sort),
    "topk": _topk,
    "glu": _glu,
    **rules("layer_norm rms_norm", _layer_norm),
    **rules("batch_norm group_norm instance_norm", _channels),
    **rules("normalize local_response_norm", _normalised),
    "diff": _diff,
    **rules("mse_loss cross_entropy nll_loss", _loss),
    "histc": _histogram,
    "cosine_similarity": _cosine,
}
