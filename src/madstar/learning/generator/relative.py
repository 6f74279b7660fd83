"""Sizes said by what they are made of, so that what is learned at one width holds at another.

A number among attributes, or in the shape of a weight, is a dimension of an operand, a fraction of the width,
a product of two dimensions, or itself. Written as plain data: ("=d", operand, axis), ("=w", numerator,
denominator), ("=p", operand, axis, axis), axes counted from the back.
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
_FRACTIONS = ((1, 1), (2, 1), (3, 1), (4, 1), (1, 2), (1, 4), (1, 8), (1, 16), (3, 2), (3, 4), (8, 1), (6, 1))


class Inexpressible(Exception):  # noqa: N818  a graph that is left out, or a choice that is not offered
    """Data that cannot be said, or sizes that cannot be had, here."""


def relative(value: Attribute, operands: Sequence[Shape], width: int) -> Any:
    """An attribute with its sizes said by what they are made of. Raises Inexpressible for what is open."""
    if isinstance(value, tuple):
        return tuple(relative(part, operands, width) for part in value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else ("=f", repr(value))
    if isinstance(value, Varying) or (isinstance(value, str) and value.startswith("=")):
        raise Inexpressible
    if isinstance(value, int) and abs(value) <= SMALL:
        return value
    return size_term(value, operands, width)


def size_term(size: Dim, operands: Sequence[Shape], width: int) -> Any:
    """A size, or a word that is none, said by the first thing that it equals."""
    for number, shape in enumerate(operands):
        for axis in range(1, len(shape) + 1):
            if shape[-axis] == size and (isinstance(size, str) or size > 1):
                return ("=d", number, -axis)
    if isinstance(size, str):
        return size
    for above, below in _FRACTIONS:
        if size * below == width * above:
            return ("=w", above, below)
    for number, shape in enumerate(operands):
        for axis in range(1, len(shape)):
            pair = shape[-axis], shape[-axis - 1]
            if all(isinstance(s, int) and s > 1 for s in pair) and dims.product(*pair) == size:
                return ("=p", number, -axis, -axis - 1)
    return size


def concrete(term: Any, operands: Sequence[Shape], width: int) -> Attribute:
    """The attribute that a term says among these operands. Raises Inexpressible where there is none."""
    if not isinstance(term, tuple):
        return term
    kind = term[0] if term and isinstance(term[0], str) else ""
    if not kind.startswith("="):
        return tuple(concrete(part, operands, width) for part in term)
    try:
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


def concrete_shape(terms: Sequence[Any], operands: Sequence[Shape], width: int) -> Shape:
    """As `concrete`, for a shape."""
    found = []
    for term in terms:
        size = concrete(term, operands, width)
        if isinstance(size, bool) or not isinstance(size, (int, str)):
            raise Inexpressible
        found.append(size)
    return tuple(found)
