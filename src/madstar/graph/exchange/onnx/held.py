"""What is known of a value while a file is read: its type, and its numbers where these follow from sizes.

ONNX computes shapes with tensors. Where such a tensor is small and follows from constants and from sizes of
the inputs, its numbers are kept: as an array of numbers, or of sizes ("batch", "2*length") in an array of
objects. So a Reshape to a computed shape is a reshape to (batch, length, 12, 64) again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy

from ....errors import GraphError
from ... import dims
from ...model import Dim, Shape

MOST = 1024
"""Elements of the largest tensor whose numbers are followed."""


@dataclass(frozen=True, eq=False)
class Held:
    """A value: its type; the reference to it in the graph, if it has one; its numbers, if they are known."""

    shape: Shape
    dtype: str
    ref: str = ""
    content: Any = None

    @property
    def rank(self) -> int:
        """How many dimensions it has."""
        return len(self.shape)

    @property
    def symbolic(self) -> bool:
        """Whether its numbers are sizes that are open."""
        return self.content is not None and self.content.dtype == object

    @property
    def floating(self) -> bool:
        """Whether it is of real numbers."""
        return self.dtype.startswith(("float", "bfloat"))

    def with_shape(self, shape: Shape, content: Any = None) -> Held:
        """The same numbers in another shape."""
        return replace(self, shape=shape, content=content)


def known(array: Any, dtype: str) -> Held:
    """A value of these numbers."""
    array = numpy.asarray(array)
    return Held(tuple(int(n) for n in array.shape), dtype, "", settled(array, dtype))


def settled(array: Any, dtype: str) -> Any:
    """An array of objects without open sizes as one of numbers."""
    array = numpy.asarray(array)
    if array.dtype.kind == "U":  # a size alone is no array of objects any more
        array = array.astype(object)
    if array.dtype == object:
        if any(isinstance(part, str) for part in array.flat):
            return array
        array = array.astype(kind(dtype))
    return array.astype(kind(dtype), copy=False)


def kind(dtype: str) -> Any:
    """The dtype in which numpy holds numbers of a graph's dtype."""
    return numpy.dtype("float32" if dtype == "bfloat16" else dtype)


def sizes(parts: Sequence[Dim]) -> Held:
    """A list of sizes as a value."""
    array = numpy.empty(len(parts), dtype=object)
    array[:] = list(parts)
    return Held((len(parts),), "int64", "", settled(array, "int64"))


def listed(held: Held) -> list[Any]:
    """The numbers of a scalar or list, as Python has them."""
    return [plain(part) for part in held.content.flatten().tolist()]


def plain(number: Any) -> Any:
    """A number as JSON has it; a whole one as it is."""
    if isinstance(number, float) and not math.isfinite(number):
        return "nan" if math.isnan(number) else ("inf" if number > 0 else "-inf")
    if isinstance(number, complex):
        return ("complex", plain(number.real), plain(number.imag))
    return number


def nested(array: Any) -> Any:
    """An array as tuples of tuples."""

    def part(value: Any) -> Any:
        return tuple(part(each) for each in value) if isinstance(value, list) else plain(value)

    return part(array.tolist())


# Arithmetic of sizes; None where the result is no size.

_Rule = Callable[[Any, Any], Any]


def _compare(a: Dim, b: Dim, less: bool, same: bool) -> bool | None:
    if dims.equal(a, b):
        return same
    below = dims.less(a, b)
    if below is not None and (below or dims.differ(a, b)):
        return below if less else not below
    above = dims.less(b, a)
    if above:
        return not less
    # a >= b and not known to differ: as much as is known of (a < b) and of (a >= b).
    if below is False and less and not same:
        return False
    if above is False and not less and not same:
        return False
    if below is False and not less and same:
        return True
    if above is False and less and same:
        return True
    return None


def _equal(a: Dim, b: Dim) -> bool | None:
    return True if dims.equal(a, b) else False if dims.differ(a, b) else None


def _least(a: Dim, b: Dim) -> Dim | None:
    known_ = _compare(a, b, less=True, same=True)
    return None if known_ is None else (a if known_ else b)


def _most(a: Dim, b: Dim) -> Dim | None:
    known_ = _compare(a, b, less=True, same=True)
    return None if known_ is None else (b if known_ else a)


def _quotient(a: Dim, b: Dim) -> Dim | None:
    low = dims.lower_bound(a)
    if low is None or low < 0:
        exact = dims.exact_divide(a, b)  # rounds to zero, which is not known to be down
        return exact
    return dims.floor_divide(a, b)


ARITHMETIC: dict[str, _Rule] = {
    "Add": dims.add,
    "Sub": dims.subtract,
    "Mul": dims.multiply,
    "Div": _quotient,
    "Mod": lambda a, b: dims.subtract(a, dims.multiply(b, dims.floor_divide(a, b))),
    "Equal": _equal,
    "Less": lambda a, b: _compare(a, b, less=True, same=False),
    "LessOrEqual": lambda a, b: _compare(a, b, less=True, same=True),
    "Greater": lambda a, b: _compare(a, b, less=False, same=False),
    "GreaterOrEqual": lambda a, b: _compare(a, b, less=False, same=True),
    "Min": _least,
    "Max": _most,
}


def over_sizes(op: str, a: Any, b: Any) -> Any:
    """An operation on arrays of sizes, element by element; None where one element is not known."""
    rule = ARITHMETIC.get(op)
    if rule is None or any(isinstance(part, float) for array in (a, b) for part in array.flat):
        return None
    left, right = numpy.broadcast_arrays(a.astype(object), b.astype(object))
    if left.size > MOST:
        return None
    made = numpy.empty(left.shape, dtype=object)
    try:
        for place in numpy.ndindex(left.shape):
            part = rule(left[place], right[place])
            if part is None:
                return None
            made[place] = part
    except (GraphError, ZeroDivisionError):
        return None
    return made
