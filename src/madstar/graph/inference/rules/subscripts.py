"""Subscripts, gathering and scattering, embeddings."""

from __future__ import annotations

from typing import Any

from ...dims import add, ceil_divide, less, lower_bound, subtract
from ...model import Dim, Shape
from .. import promotion
from ..operands import Operands
from ..types import Misfit, NoRule, Type, sizes_text
from .table import Rule, rules


def cut(o: Operands, size: Dim, bounds: tuple[Any, ...], slot: str) -> Dim:
    """How much of a dimension a slice takes."""
    if len(bounds) != 3:
        raise o.wrong(slot, "a slice of start, stop and step")
    start, stop, step = bounds
    by = o.as_size(1 if step is None else step, slot)
    if isinstance(by, int) and by < 1:
        raise o.wrong(slot, "a step of at least 1")
    low = 0 if start is None else _place(o, o.as_size(start, slot), size)
    high = size if stop is None else _place(o, o.as_size(stop, slot), size)
    if low != 0 and o.sizes.less(high, low):
        return 0
    length = subtract(high, low)
    return length if by == 1 else ceil_divide(length, by)


def _place(o: Operands, place: Dim, size: Dim) -> Dim:
    """A bound of a slice, counted from the front and kept within the dimension."""
    if _negative(o, place):
        place = add(place, size)
        return 0 if _negative(o, place) else place
    if place == 0 or place == size:
        return place
    if less(place, size) is True:
        return place
    return size if o.sizes.less(size, place) else place


def _negative(o: Operands, place: Dim) -> bool:
    if isinstance(place, int):
        return place < 0
    if (bound := lower_bound(place)) is not None and bound >= 0:
        return False
    return o.sizes.less(place, 0)


def subscripted(o: Operands, given: Type) -> Shape:
    """The shape of input[index]: first what is no tensor, then the tensors together, as torch does."""
    index = o.attribute("index", ())
    if not isinstance(index, tuple):
        index = (index,)
    taken = [part for part in index if part is not None and part != "..." and not isinstance(part, bool)]
    used = sum(_dimensions(o, part) for part in taken)
    if used > len(given.shape):
        raise Misfit("shape", f"input of at least {used} dimensions (index)", str(given), "input")
    made: list[Dim | tuple[str, Shape]] = []
    at = 0
    for part in index:
        if part == "...":
            rest = len(given.shape) - used
            made += given.shape[at : at + rest]
            at += rest
        elif part is None:
            made.append(1)
        elif isinstance(part, bool):
            raise NoRule
        elif isinstance(part, tuple) and part[:1] == ("slice",):
            made.append(cut(o, given.shape[at], part[1:], "index"))
            at += 1
        elif isinstance(part, tuple) and part[:1] == ("tensor",):
            slot = f"index.{part[1]}"
            tensor = o.tensor(slot)
            if tensor.dtype in ("bool", "uint8"):
                raise NoRule  # as many as are true
            made.append((slot, tensor.shape))
            at += 1
        elif isinstance(part, tuple):
            made.append(("index", _listed(part)))
            at += 1
        else:
            _within(o, o.as_size(part, "index"), given, at)
            at += 1
    made += given.shape[at:]
    return _with_tensors(o, made)


def _dimensions(o: Operands, part: Any) -> int:
    if isinstance(part, tuple) and part[:1] == ("tensor",):
        tensor = o.optional(f"index.{part[1]}")
        return len(tensor.shape) if tensor is not None and tensor.dtype in ("bool", "uint8") else 1
    return 1


def _listed(part: tuple[Any, ...]) -> Shape:
    if any(isinstance(each, bool) for each in part):
        raise NoRule
    inner = _listed(part[0]) if part and isinstance(part[0], tuple) else ()
    return (len(part), *inner)


def _within(o: Operands, place: Dim, given: Type, at: int) -> None:
    size = given.shape[at]
    if isinstance(place, int) and isinstance(size, int) and not -size <= place < size:
        raise Misfit("shape", f"more than {place} in dimension {at} (index)", str(given), "input", at)


def _with_tensors(o: Operands, made: list[Dim | tuple[str, Shape]]) -> Shape:
    places = [i for i, part in enumerate(made) if isinstance(part, tuple)]
    if not places:
        return tuple(part for part in made if not isinstance(part, tuple))
    # Several lists have one slot, so each is named apart.
    together = o.broadcast(*((f"{p[0]}#{i}", p[1]) for i, p in enumerate(made) if isinstance(p, tuple)))
    rest = [part for part in made if not isinstance(part, tuple)]
    adjacent = places == list(range(places[0], places[0] + len(places)))
    front = places[0] if adjacent else 0
    return (*rest[:front], *together, *rest[front:])


def _getitem(o: Operands) -> list[Type]:
    given = o.tensor()
    return [Type(subscripted(o, given), given.dtype)]


def _setitem(o: Operands) -> list[Type]:
    given = o.tensor()
    try:
        target = subscripted(o, given)
    except NoRule:
        return [given]
    if (value := o.optional("value")) is not None:
        shape = value.shape
        while len(shape) > len(target) and shape[0] == 1:
            shape = shape[1:]
        if not o.sizes.same_shape(o.broadcast(("target", target), ("value", shape)), target):
            raise Misfit("shape", f"value that fits {sizes_text(target)}", str(value), "value")
    return [given]


def _select(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape))
    if "index" not in o.tensors:
        _within(o, o.size("index"), given, axis)
    return [Type((*given.shape[:axis], *given.shape[axis + 1 :]), given.dtype)]


def _narrow(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape))
    length = o.size("length")
    if "start" not in o.tensors and o.sizes.less(given.shape[axis], add(o.size("start"), length)):
        raise Misfit(
            "shape", f"at least {add(o.size('start'), length)} in dimension {axis}", str(given), "input", axis
        )
    return [Type((*given.shape[:axis], length, *given.shape[axis + 1 :]), given.dtype)]


def _slice(o: Operands) -> list[Type]:
    given = o.tensor()
    axis = o.axis("dim", len(given.shape), 0)
    bounds = tuple(o.attribute(slot) for slot in ("start", "end", "step"))
    size = cut(o, given.shape[axis], bounds, "start")
    return [Type((*given.shape[:axis], size, *given.shape[axis + 1 :]), given.dtype)]


def _whole(o: Operands, slot: str) -> Type:
    found = o.tensor(slot)
    if not promotion.is_whole(found.dtype):
        raise Misfit("dtype", f"{slot} of whole numbers", str(found), slot)
    return found


def _embedding(o: Operands) -> list[Type]:
    given, weight = _whole(o, "input"), o.ranked("weight", 2)
    return [Type((*given.shape, weight.shape[1]), weight.dtype)]


def _one_hot(o: Operands) -> list[Type]:
    given = _whole(o, "tensor" if "tensor" in o.tensors else "input")
    classes = o.size("num_classes", -1)
    if classes == -1:
        raise NoRule
    return [Type((*given.shape, classes), "int64")]


def _gather(o: Operands) -> list[Type]:
    given = o.tensor()
    slot = "indices" if o.op == "take_along_dim" else "index"
    index = _whole(o, slot)
    if o.op == "take_along_dim" and not o.has("dim"):
        raise NoRule
    axis = o.axis("dim", len(given.shape))
    if len(index.shape) != len(given.shape):
        raise Misfit("shape", f"{slot} of {len(given.shape)} dimensions", str(index), slot)
    if o.op == "gather":
        for i, (a, b) in enumerate(zip(index.shape, given.shape, strict=True)):
            if i != axis and o.sizes.less(b, a):
                raise Misfit("shape", f"{slot} within {given}", str(index), slot, i)
        return [Type(index.shape, given.dtype)]
    shape = list(
        o.broadcast(
            (slot, (*index.shape[:axis], 1, *index.shape[axis + 1 :])),
            ("input", (*given.shape[:axis], 1, *given.shape[axis + 1 :])),
        )
    )
    shape[axis] = index.shape[axis]
    return [Type(tuple(shape), given.dtype)]


def _index_select(o: Operands) -> list[Type]:
    given, index = o.tensor(), _whole(o, "index")
    axis = o.axis("dim", len(given.shape))
    size = index.shape[0] if index.shape else 1
    return [Type((*given.shape[:axis], size, *given.shape[axis + 1 :]), given.dtype)]


def _take(o: Operands) -> list[Type]:
    return [Type(_whole(o, "index").shape, o.tensor().dtype)]


def _written(o: Operands) -> list[Type]:
    """What writes into a tensor gives a tensor of its type."""
    return [o.tensor()]


def _search(o: Operands) -> list[Type]:
    dtype = "int32" if o.flag("out_int32") else "int64"
    return [Type(o.tensor().shape if "input" in o.tensors else (), dtype)]


def _isin(o: Operands) -> list[Type]:
    return [Type(o.tensor("elements").shape, "bool")]


RULES: dict[str, Rule] = {
    "getitem": _getitem,
    "setitem": _setitem,
    "select": _select,
    "narrow": _narrow,
    "slice": _slice,
    "embedding": _embedding,
    "one_hot": _one_hot,
    **rules("gather take_along_dim", _gather),
    "index_select": _index_select,
    "take": _take,
    **rules(
        """index_put index_add index_copy index_fill scatter scatter_add scatter_reduce masked_scatter
        slice_scatter select_scatter diagonal_scatter as_strided_scatter""",
        _written,
    ),
    **rules("searchsorted bucketize", _search),
    "isin": _isin,
}
