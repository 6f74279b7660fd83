"""Sizes as expressions: integer polynomials of symbols with floor division, in one canonical spelling.

A size is a number or a string such as "length", "2*length+1", "batch*length", "(length+1)//2". Expressions
that are equal as polynomials are spelled alike; floor divisions are reduced by the rules of `polynomials`, so
that the ceiling -((-x)//2), the difference x-x//2 and (x+1)//2 are one string too. Every symbol stands for a
size of at least 1. Text is parsed here, by a parser of the project's own; nothing is ever evaluated as code.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from ..errors import GraphError
from .model import Dim
from .polynomials import (
    canonical_text,
    divide,
    exact_quotient,
    lower,
    plus,
    polynomial_of,
    replaced,
    spell,
    symbols_of,
    times,
    value_at,
)


def canonical(dim: Dim) -> Dim:
    """The size in canonical spelling; a number where no symbol is left. Raises GraphError on other text."""
    return dim if isinstance(dim, int) else canonical_text(dim)


def is_canonical(dim: Dim) -> bool:
    """Whether the size is spelled canonically already; False for text that is no size."""
    try:
        return canonical(dim) == dim
    except GraphError:
        return False


def symbols(dim: Dim) -> frozenset[str]:
    """The symbols that the size depends on."""
    return frozenset() if isinstance(dim, int) else symbols_of(dim)


@lru_cache(1 << 16)
def add(a: Dim, b: Dim) -> Dim:
    """The sum."""
    if isinstance(a, int) and isinstance(b, int):
        return a + b
    return spell(plus(polynomial_of(a), polynomial_of(b)))


@lru_cache(1 << 16)
def subtract(a: Dim, b: Dim) -> Dim:
    """The difference a - b."""
    return spell(plus(polynomial_of(a), polynomial_of(b), -1))


@lru_cache(1 << 16)
def multiply(a: Dim, b: Dim) -> Dim:
    """The product."""
    if isinstance(a, int) and isinstance(b, int):
        return a * b
    return spell(times(polynomial_of(a), polynomial_of(b)))


def product(*dims: Dim) -> Dim:
    """The product of any number of sizes; 1 for none."""
    total: Dim = 1
    for dim in dims:
        total = multiply(total, dim)
    return total


@lru_cache(1 << 14)
def floor_divide(a: Dim, b: Dim) -> Dim:
    """a // b, rounded down. Raises GraphError for a division by zero, or without a simplest form."""
    try:
        return spell(divide(polynomial_of(a), polynomial_of(b)))
    except RecursionError:  # halves that are joined turn the sign of what is divided, and so on
        raise GraphError("a size that is divided has no simplest form; simplify its expression") from None


def ceil_divide(a: Dim, b: Dim) -> Dim:
    """a / b, rounded up."""
    return subtract(0, floor_divide(subtract(0, a), b))


@lru_cache(1 << 14)
def exact_divide(a: Dim, b: Dim) -> Dim | None:
    """a / b where b divides a for all values of the symbols, None where that is not known."""
    quotient = exact_quotient(polynomial_of(a), polynomial_of(b))
    return None if quotient is None else spell(quotient)


def equal(a: Dim, b: Dim) -> bool:
    """Whether two sizes are the same expression, hence equal whatever the symbols are."""
    return a == b or canonical(a) == canonical(b)


def differ(a: Dim, b: Dim) -> bool:
    """Whether two sizes can never be equal, however the symbols are chosen (all at least 1)."""
    return less(a, b) is True or less(b, a) is True


def less(a: Dim, b: Dim) -> bool | None:
    """Whether a < b for all values of the symbols; None where it depends on them or is not known."""
    if (bound := lower_bound(subtract(b, a))) is not None and bound > 0:
        return True
    if (bound := lower_bound(subtract(a, b))) is not None and bound >= 0:
        return False
    return None


def lower_bound(dim: Dim) -> int | None:
    """A number that the size is never below, given symbols of at least 1; None where none is known."""
    return lower(polynomial_of(dim), 0)


def evaluate(dim: Dim, bindings: Mapping[str, int]) -> int:
    """The size with numbers for its symbols. Raises GraphError where a symbol has none."""
    if isinstance(dim, int):
        return dim
    try:
        return value_at(polynomial_of(dim), bindings)
    except KeyError as missing:
        raise GraphError(f"size {dim!r}: give a number for the symbol {missing.args[0]!r}") from None
    except ZeroDivisionError:
        raise GraphError(f"size {dim!r}: division by zero at {dict(bindings)}") from None


def substitute(dim: Dim, bindings: Mapping[str, Dim]) -> Dim:
    """The size with other sizes put for some of its symbols."""
    if isinstance(dim, int) or not symbols(dim) & set(bindings):
        return dim
    return spell(replaced(polynomial_of(dim), bindings))
