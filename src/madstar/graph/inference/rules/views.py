"""Operations that give the same elements in another form: views, permutations, joining, splitting."""

from __future__ import annotations

from ...dims import add, ceil_divide, exact_divide, floor_divide, multiply, product, subtract
from ...model import Dim, Shape
from .. import promotion
from ..operands import Operands
from ..types import Misfit, NoRule, Type, sizes_text
from .table import Rule, rules


def reshaped(o: Operands, given: Type, wanted: Shape, slot: str = "input") -> Shape:
    """A shape of as many elements, with at most one -1 worked out."""
    free = [i for i, size in enumerate(wanted) if size == -1]
    total = product(*given.shape)
    if len(free) > 1:
        raise Misfit("attribute", "at most one size of -1", sizes_text(wanted))
    if not free:
        if not o.sizes.same(product(*wanted), total):
            raise Misfit(
                "shape", f"elements for {sizes_text(wanted)} ({product(*wanted)})", f"{given} ({total})", slot
            )
        return wanted
    rest = product(*(size for size in wanted if size != -1))
    size = _quotient(o, total, rest)
    if size is None:
        raise Misfit(
            "shape", f"elements that {rest} divides, for {sizes_text(wanted)}", f"{given} ({total})", slot
        )
    return (*wanted[: free[0]], size, *wanted[free[0] + 1 :])


def _quotient(o: Operands, total: Dim, rest: Dim) -> Dim | None:
    if rest == 0:
        return None
    found = exact_divide(total, rest)
    if found is not None:
        return found
    if isinstance(total, int) and isinstance(rest, int):
        return None
    above, below = o.sizes.number(total), o.sizes.number(rest)
    if above is not None and below and above % below:
        return None
    found = floor_divide(total, rest)
    o.sizes.same(multiply(found, rest), total)  # holds where it divides, which is remarked
    return found


def _view(o: Operands) -> list[Type]:
    given = o.tensor()
    slot = "shape" if o.op == "reshape" else "size"
    if isinstance(dtype := o.attribute(slot), str) and dtype.isidentifier() and promotion.known(dtype):
        raise NoRule  # the same bits read as another dtype
    return [Type(reshaped(o, given, o.sizes_of(slot)), given.dtype)]


def _view_as(o: Operands) -> list[Type]:
    given = o.tensor()
    return [Type(reshaped(o, given, o.tensor("other").shape), given.dtype)]


def _transpose(o: Operands) -> list[Type]:
    given = o.tensor()
    slots = ("dim0", "dim1") if o.has("dim0") or not o.has("axis0") else ("axis0", "axis1")
    a, b = (o.axis(slot, len(given.shape)) for slot in slots)
    shape = list(given.shape)
    if shape:
        shape[a], shape[b] = shape[b], shape[a]
    return [Type(tuple(shape), given.dtype)]


def _turned(o: Operands) -> list[Type]:
    given = o.tensor()
    shape = given.shape
    if o.op in ("mT", "mH"):
        if len(shape) < 2:
            raise Misfit("shape", "input of at least two dimensions", str(given), "input")
        return [Type((*shape[:-2], shape[-1], shape[-2]), given.dtype)]
    if o.op == "t" and len(shape) > 2:
        raise Misfit("shape", "input of at most two dimensions", str(given), "input")
    return [Type(shape[::-1], given.dtype)]


def _permute(o: Operands) -> list[Type]:
    given = o.tensor()
    axes = o.axes("dims", len(given.shape))
    if axes is None or len(axes) != len(given.shape):
        raise Misfit("shape", f"input of {len(axes or ())} dimensions (dims)", str(given), "input")
    return [Type(tuple(given.shape[axis] for axis in axes), given.dtype)]


def _movedim(o: Operands) -> list[Type]:
    given = o.tensor()
    rank = len(given.shape)
    source, target = o.axes("source", rank), o.axes("destination", rank)
    if source is None or target is None or len(source) != len(target):
        raise o.wrong("destination", "as many dimensions as source")
    order: list[int] = [axis for axis in range(rank) if axis not in source]
    for axis, place in sorted(zip(source, target, strict=True), key=lambda pair: pair[1]):
        order.insert(place, axis)
    return [Type(tuple(given.shape[axis] for axis in order), given.dtype)]


def _flatten(o: Operands) -> list[Type]:
    given = o.tensor()
    rank = len(given.shape)
    if o.op == "ravel" or not rank:
        return [Type((product(*given.shape),), given.dtype)]
    a, b = o.axis("start_dim", rank, 0), o.axis("end_dim", rank, -1)
    if a > b:
        raise o.wrong("start_dim", "not after end_dim")
    return [Type((*given.shape[:a], product(*given.shape[a : b + 1]), *given.shape[b + 1 :]), given.dtype)]


def _unflatten(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape))
    inner = reshaped(o, Type((given.shape[axis],), given.dtype), o.sizes_of("sizes"))
    return [Type((*given.shape[:axis], *inner, *given.shape[axis + 1 :]), given.dtype)]


def _squeeze(o: Operands) -> list[Type]:
    given = o.tensor()
    axes = o.axes("dim", len(given.shape)) if o.has("dim") else tuple(range(len(given.shape)))
    return [Type(tuple(s for i, s in enumerate(given.shape) if i not in (axes or ()) or s != 1), given.dtype)]


def _unsqueeze(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape) + 1)
    return [Type((*given.shape[:axis], 1, *given.shape[axis:]), given.dtype)]


def _expand(o: Operands) -> list[Type]:
    given = o.tensor()
    wanted = o.tensor("other").shape if o.op == "expand_as" else o.sizes_of("size")
    new = len(wanted) - len(given.shape)
    if new < 0:
        raise Misfit("shape", f"input of at most {len(wanted)} dimensions", str(given), "input")
    shape = list(wanted)
    for i, size in enumerate(given.shape, new):
        if wanted[i] == -1 or (size != 1 and o.sizes.same(size, wanted[i])):
            shape[i] = size
        elif size != 1:
            raise Misfit("shape", f"input that expands to {sizes_text(wanted)}", str(given), "input", i - new)
    return [Type(tuple(shape), given.dtype)]


def _broadcast_tensors(o: Operands) -> list[Type]:
    given = o.many("tensors")
    shape = o.broadcast(*((slot, t.shape) for slot, t in given))
    return [Type(shape, t.dtype) for _, t in given]


def _repeat(o: Operands) -> list[Type]:
    given = o.tensor()
    times = o.sizes_of("dims" if o.op == "tile" else "repeats")
    if o.op == "tile" and len(times) < len(given.shape):
        times = (1,) * (len(given.shape) - len(times)) + times
    if len(times) < len(given.shape):
        raise Misfit("shape", f"input of at most {len(times)} dimensions (repeats)", str(given), "input")
    shape = (1,) * (len(times) - len(given.shape)) + given.shape
    return [Type(tuple(multiply(a, b) for a, b in zip(shape, times, strict=True)), given.dtype)]


def _repeat_interleave(o: Operands) -> list[Type]:
    given = o.tensor() if "repeats" not in o.tensors or o.has("output_size") else None
    if given is None:
        raise NoRule  # as many as the tensor of repeats says
    if not o.has("dim"):
        size = (
            o.size("output_size", None)
            if o.has("output_size")
            else multiply(product(*given.shape), o.size("repeats"))
        )
        return [Type((size,), given.dtype)]
    axis = o.axis("dim", len(given.shape))
    size = o.size("output_size") if o.has("output_size") else multiply(given.shape[axis], o.size("repeats"))
    return [Type((*given.shape[:axis], size, *given.shape[axis + 1 :]), given.dtype)]


# Joining.


def _cat(o: Operands) -> list[Type]:
    given = [(slot, t) for slot, t in o.many("tensors") if t.shape != (0,)] or o.many("tensors")[:1]
    first = given[0][1]
    axis = o.axis("dim", len(first.shape), 0)
    total: Dim = first.shape[axis] if first.shape else 0
    for slot, other in given[1:]:
        if len(other.shape) != len(first.shape):
            raise Misfit("shape", f"{slot} of {len(first.shape)} dimensions, as {first}", str(other), slot)
        size = other.shape[axis]
        o.want_shape(slot, (*first.shape[:axis], size, *first.shape[axis + 1 :]), f" ({given[0][0]} {first})")
        total = add(total, size)
    given = o.many("tensors")  # also those that are empty
    dtype = promotion.result(t.dtype for _, t in given)
    if dtype is None:
        raise Misfit("dtype", "dtypes that go together", ", ".join(t.dtype for _, t in given), given[-1][0])
    return [Type((*first.shape[:axis], total, *first.shape[axis + 1 :]), dtype)]


def _stack(o: Operands) -> list[Type]:
    given = o.many("tensors")
    first = given[0][1]
    axis = o.axis("dim", len(first.shape) + 1, 0)
    for slot, _ in given[1:]:
        o.want_shape(slot, first.shape, f" ({given[0][0]} {first})")
    dtype = promotion.result(t.dtype for _, t in given)
    if dtype is None:
        raise Misfit("dtype", "dtypes that go together", ", ".join(t.dtype for _, t in given), given[-1][0])
    return [Type((*first.shape[:axis], len(given), *first.shape[axis:]), dtype)]


def _meshgrid(o: Operands) -> list[Type]:
    given = [t for _, t in o.many("tensors")]
    shape = [t.shape[0] if t.shape else 1 for t in given]
    if o.attribute("indexing", "ij") == "xy" and len(shape) > 1:
        shape[0], shape[1] = shape[1], shape[0]
    return [Type(tuple(shape), t.dtype) for t in given]


# Splitting.


def _pieces(o: Operands, given: Type, axis: int, lengths: tuple[Dim, ...]) -> list[Type]:
    return [Type((*given.shape[:axis], size, *given.shape[axis + 1 :]), given.dtype) for size in lengths]


def _split(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape), 0)
    size = given.shape[axis]
    slot = next(
        (s for s in ("split_size_or_sections", "split_size", "split_sizes", "chunks") if o.has(s)), ""
    )
    if not slot:
        raise NoRule
    wanted = o.attribute(slot)
    if isinstance(wanted, tuple):
        lengths = tuple(o.as_size(part, slot) for part in wanted)
        total: Dim = 0
        for length in lengths:
            total = add(total, length)
        if not o.sizes.same(total, size):
            raise Misfit(
                "shape",
                f"{total} in dimension {axis} (the sum of {sizes_text(lengths)})",
                str(given),
                "input",
                axis,
            )
        return _pieces(o, given, axis, lengths)
    step = o.as_size(wanted, slot)
    if o.op == "chunk":
        step = ceil_divide(size, step)
    number, each = o.sizes.number(size), o.sizes.number(step)
    if number is None or each is None or each < 1:
        raise NoRule
    count = max(1, -(-number // each))
    last = subtract(size, multiply(step, count - 1))
    return _pieces(o, given, axis, (*(step,) * (count - 1), step if o.sizes.same(last, step) else last))


def _unbind(o: Operands) -> list[Type]:
    given = o.tensor()
    if not given.shape:
        raise Misfit("shape", "input of at least one dimension", str(given), "input")
    axis = o.axis("dim", len(given.shape), 0)
    number = o.sizes.number(given.shape[axis])
    if number is None:
        raise NoRule
    if not isinstance(given.shape[axis], int):
        o.sizes.same(given.shape[axis], number)
    return [Type((*given.shape[:axis], *given.shape[axis + 1 :]), given.dtype)] * number


# Windows of one dimension, diagonals, pixels.


def _unfold(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dimension", len(given.shape))
    size, step = o.size("size"), o.size("step")
    count = add(floor_divide(subtract(given.shape[axis], size), step), 1)
    return [Type((*given.shape[:axis], count, *given.shape[axis + 1 :], size), given.dtype)]


def _diagonal(o: Operands) -> list[Type]:
    given = o.tensor()
    a, b = o.axis("dim1", len(given.shape), 0), o.axis("dim2", len(given.shape), 1)
    offset = o.integer("offset", 0)
    rows, columns = given.shape[a], given.shape[b]
    rows, columns = (rows, subtract(columns, offset)) if offset > 0 else (add(rows, offset), columns)
    rest = tuple(size for i, size in enumerate(given.shape) if i not in (a, b))
    return [Type((*rest, o.sizes.smaller(rows, columns)), given.dtype)]


def _pixels(o: Operands) -> list[Type]:
    given = o.tensor()
    if len(given.shape) < 3:
        raise Misfit("shape", "input of at least three dimensions", str(given), "input")
    *front, channels, height, width = given.shape
    if o.op == "pixel_shuffle":
        by = o.size("upscale_factor")
        channels_out = _quotient(o, channels, multiply(by, by))
        if channels_out is None:
            raise Misfit("shape", f"channels that {by}*{by} divides", str(given), "input", len(front))
        return [Type((*front, channels_out, multiply(height, by), multiply(width, by)), given.dtype)]
    by = o.size("downscale_factor")
    shape = (*front, multiply(channels, multiply(by, by)), floor_divide(height, by), floor_divide(width, by))
    return [Type(shape, given.dtype)]


def _complex_views(o: Operands) -> list[Type]:
    given = o.tensor()
    if o.op == "view_as_real":
        return [Type((*given.shape, 2), promotion.parts_of(given.dtype))]
    if not given.shape or given.shape[-1] != 2:
        raise Misfit("shape", "input that ends in 2", str(given), "input", len(given.shape) - 1)
    return [Type(given.shape[:-1], promotion.complex_of(given.dtype))]


def _roll(o: Operands) -> list[Type]:
    given = o.tensor()
    if o.has("dims"):
        o.axes("dims", len(given.shape))
    return [given]


RULES: dict[str, Rule] = {
    **rules("view reshape", _view),
    **rules("view_as reshape_as resize_as", _view_as),
    **rules("transpose swapaxes", _transpose),
    **rules("t T mT H mH numpy_T", _turned),
    "permute": _permute,
    "movedim": _movedim,
    **rules("flatten ravel", _flatten),
    "unflatten": _unflatten,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    **rules("expand expand_as broadcast_to", _expand),
    "broadcast_tensors": _broadcast_tensors,
    **rules("repeat tile", _repeat),
    "repeat_interleave": _repeat_interleave,
    "cat": _cat,
    "stack": _stack,
    "meshgrid": _meshgrid,
    **rules("split chunk", _split),
    **rules("unbind iter", _unbind),
    "unfold": _unfold,
    "diagonal": _diagonal,
    **rules("pixel_shuffle pixel_unshuffle", _pixels),
    **rules("view_as_complex view_as_real", _complex_views),
    "roll": _roll,
}
