"""Sizes said by what they are made of, so that what is learned at one width holds at another.

A number among attributes, or in the shape of a weight, is a dimension of an operand, one of what stands
beside (the block's first input, the oldest value that nothing took yet: what a residual sum will be made
with), a fraction of the width, a product of two dimensions, or itself. Written as plain data: ("=d",
operand, axis), ("=b", number, axis), ("=w", numerator, denominator), ("=p", operand, axis, axis), axes
counted from the back. One of the sizes of a view may be ("=r",), what remains of its operand. ("=s",
number) is a size that was said by itself before, 0 the last one. ("=c",) are the channels that one group of
a convolution takes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from madstar.errors import GraphError
from madstar.graph import dims
from madstar.graph.model import Attribute, Dim, Shape, Varying

SMALL = 8
"""Up to this a number among attributes is itself: axes, heads, strides."""
FRACTIONS = ((1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (1, 4), (1, 8), (1, 16), (3, 2), (3, 4), (8, 1), (6, 1))

_CONVOLVED = {"conv1d": 1, "conv2d": 2, "conv3d": 3}
KEPT = 12
"""How many sizes are remembered."""
REST = ("=r",)
VIEWS = {"view": "size", "reshape": "shape", "expand": "size"}
"""Operations whose attribute is a shape."""
CHANNELS = ("=c",)


class Inexpressible(Exception):  # noqa: N818  a graph that is left out, or a choice that is not offered
    """Data that cannot be said, or sizes that cannot be had, here."""


def relative(value: Attribute, operands: Sequence[Shape], width: int, beside: Sequence[Shape] = ()) -> Any:
    """An attribute with its sizes said by what they are made of. Raises Inexpressible for what is open."""
    if isinstance(value, tuple):
        return tuple(relative(part, operands, width, beside) for part in value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ("=f", repr(value))
    if isinstance(value, Varying) or (isinstance(value, str) and value.startswith("=")):
        raise Inexpressible
    if isinstance(value, int) and abs(value) <= SMALL:
        return value
    return size_term(value, operands, width, beside)


def size_term(size: Dim, operands: Sequence[Shape], width: int, beside: Sequence[Shape] = ()) -> Any:
    """A size, or a word that is none, said by the first thing that it equals."""
    for kind, shapes in (("=d", operands), ("=b", beside)):
        for number, shape in enumerate(shapes):
            for axis in range(1, len(shape) + 1):
                if shape[-axis] == size and (isinstance(size, str) or size > 1):
                    return (kind, number, -axis)
    if isinstance(size, str):
        return size
    for above, below in FRACTIONS:
        if size * below == width * above:
            return ("=w", above, below)
    for number, shape in enumerate(operands):
        for axis in range(1, len(shape)):
            pair = shape[-axis], shape[-axis - 1]
            if all(isinstance(s, int) and s > 1 for s in pair) and dims.product(*pair) == size:
                return ("=p", number, -axis, -axis - 1)
    return size


def raw_sizes(term: Any, sizes: Sequence[int] = ()) -> list[int]:
    """The sizes that a term says by themselves, or as said before, in order."""
    if isinstance(term, tuple):
        if term[:1] == ("=s",):
            return [sizes[term[1]]] if term[1] < len(sizes) else []
        said = bool(term) and isinstance(term[0], str) and term[0].startswith("=")
        return [] if said else [size for part in term for size in raw_sizes(part, sizes)]
    return [term] if type(term) is int and term > SMALL else []


def recalled(sizes: Sequence[int], found: Sequence[int]) -> tuple[int, ...]:
    """What is kept of sizes said before, the last first, when others were said."""
    kept = tuple(sizes)
    for size in found:
        kept = (size, *(each for each in kept if each != size))
    return kept[:KEPT]


def again(term: Any, sizes: Sequence[int]) -> Any:
    """A term with those of its sizes that were said before said as that."""
    if isinstance(term, tuple):
        said = bool(term) and isinstance(term[0], str) and term[0].startswith("=")
        return term if said else tuple(again(part, sizes) for part in term)
    return ("=s", sizes.index(term)) if type(term) is int and term > SMALL and term in sizes else term


def concrete(
    term: Any,
    operands: Sequence[Shape],
    width: int,
    sizes: Sequence[int] = (),
    beside: Sequence[Shape] = (),
) -> Attribute:
    """The attribute that a term says among these operands. Raises Inexpressible where there is none.

    `sizes` are those that were said before.
    """
    if not isinstance(term, tuple):
        return term
    kind = term[0] if term and isinstance(term[0], str) else ""
    if not kind.startswith("="):
        if REST in term:
            return _with_rest(term, operands, width, sizes, beside)
        return tuple(concrete(part, operands, width, sizes, beside) for part in term)
    try:
        if kind == "=s":
            return sizes[term[1]]
        if kind == "=b":
            return beside[term[1]][term[2]]
        if kind == "=f":
            return float(term[1])
        if kind == "=w":
            whole, rest = divmod(width * term[1], term[2])
            if rest or not whole:
                raise Inexpressible
            return whole
        found = [operands[term[1]][axis] for axis in term[2:]]
        return dims.product(*found)
    except (IndexError, GraphError, ValueError, TypeError, ZeroDivisionError):
        raise Inexpressible from None


def with_rest(terms: tuple[Any, ...], sizes: Sequence[Dim], operand: Shape) -> tuple[Any, ...]:
    """Terms of the sizes of a view with the last one that is no dimension of the operand said as the rest."""
    if any(isinstance(size, int) and size < 1 for size in sizes):
        return terms
    for place in range(len(terms) - 1, -1, -1):
        others = (*sizes[:place], *sizes[place + 1 :])
        free = terms[place] != 1 and not (isinstance(terms[place], tuple) and terms[place][0] == "=d")
        if free and _rest(operand, others) == sizes[place]:
            return (*terms[:place], REST, *terms[place + 1 :])
    return terms


def _with_rest(
    terms: tuple[Any, ...],
    operands: Sequence[Shape],
    width: int,
    said: Sequence[int],
    beside: Sequence[Shape],
) -> Attribute:
    place = terms.index(REST)
    left = (*terms[:place], *terms[place + 1 :])
    others = [concrete(term, operands, width, said, beside) for term in left]
    sizes = [size for size in others if isinstance(size, (int, str)) and not isinstance(size, bool)]
    if not operands or len(sizes) < len(others):
        raise Inexpressible
    return (*sizes[:place], _rest(operands[0], sizes), *sizes[place:])


def _rest(operand: Shape, others: Sequence[Dim]) -> Dim:
    try:
        found = dims.exact_divide(dims.product(*operand), dims.product(*others))
    except (GraphError, ZeroDivisionError):
        found = None
    if found is None or (isinstance(found, int) and found < 1):
        raise Inexpressible
    return found


def channels(op: str, attributes: Sequence[tuple[str, Attribute]], operands: Sequence[Shape]) -> int | None:
    """How many channels one group of a convolution takes; None for what is none."""
    if op not in _CONVOLVED or not operands or len(operands[0]) <= _CONVOLVED[op]:
        return None
    size, groups = operands[0][-1 - _CONVOLVED[op]], dict(attributes).get("groups", 1)
    if not isinstance(size, int) or not isinstance(groups, int) or groups < 1 or size % groups:
        return None
    return size // groups


def concrete_shape(
    terms: Sequence[Any],
    operands: Sequence[Shape],
    width: int,
    sizes: Sequence[int] = (),
    beside: Sequence[Shape] = (),
) -> Shape:
    """As `concrete`, for a shape."""
    found = []
    for term in terms:
        size = concrete(term, operands, width, sizes, beside)
        if isinstance(size, bool) or not isinstance(size, (int, str)):
            raise Inexpressible
        found.append(size)
    return tuple(found)
