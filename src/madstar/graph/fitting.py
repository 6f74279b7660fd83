"""From sizes seen at several bindings of the symbols to the simplest expression that gives them all.

An expression is taken only where it has fewer free numbers than there are observations, so that at least
one of them checks it. Where sizes of many tensors were seen at the same few bindings, `Fitter` remembers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import combinations
from math import gcd, prod

from .dims import add, floor_divide, multiply, product
from .model import Dim

# Strides and patch sizes of convolutions; beyond, a quotient is as well a coincidence.
LARGEST_DIVISOR = 64


def fit(observations: Sequence[tuple[Mapping[str, int], int]]) -> Dim | None:
    """The simplest expression that explains all observations (symbols' sizes, size seen), None if none does.

    Tried in this order: a number; multiples of a symbol or of a product of symbols; linear; sums of two such
    terms; rounded-down quotients by numbers up to 64; and products of a symbol or number with one of these.
    """
    return Fitter([bindings for bindings, _ in observations]).fit(tuple(size for _, size in observations))


class Fitter:
    """Fits many sizes seen at the same bindings, each combination of sizes once."""

    def __init__(self, bindings: Sequence[Mapping[str, int]]) -> None:
        self.bindings = [dict(binding) for binding in bindings]
        self._known: dict[tuple[int, ...], Dim | None] = {}
        names = sorted(set().union(*self.bindings)) if self.bindings else []
        columns = {name: tuple(binding[name] for binding in self.bindings) for name in names}
        self._symbols = {name: column for name, column in columns.items() if len(set(column)) > 1}
        self._monomials: list[tuple[str, tuple[int, ...]]] = list(self._symbols.items())
        powers = list(combinations(self._symbols, 2)) + [(name, name) for name in self._symbols]
        for factors in [*powers, *combinations(self._symbols, 3)]:
            values = tuple(prod(values) for values in zip(*(self._symbols[f] for f in factors), strict=True))
            self._monomials.append((str(product(*factors)), values))

    def fit(self, sizes: tuple[int, ...]) -> Dim | None:
        """The expression for sizes seen at the bindings, in their order."""
        if sizes not in self._known:
            self._known[sizes] = next(self._candidates(sizes), None)
        return self._known[sizes]

    def _candidates(self, sizes: tuple[int, ...]) -> Iterator[Dim]:
        if not sizes:
            return
        if len(set(sizes)) == 1:
            if len(sizes) > 1 or not self._symbols:
                yield sizes[0]
            return
        if 0 in sizes:
            yield from self._linear(sizes)
            return
        yield from self._multiples(sizes)
        yield from self._linear(sizes)
        yield from self._scaled_lines(sizes)
        if len(sizes) > 2:
            yield from self._sums(sizes)
            yield from self._quotients(sizes)
            yield from self._scaled_quotients(sizes)

    def _multiples(self, sizes: tuple[int, ...]) -> Iterator[Dim]:
        """x itself before a*x; one observation alone decides no factor."""
        yield from (text for text, values in self._monomials if values == sizes)
        for text, values in self._monomials if len(sizes) > 1 else ():
            factor, rest = divmod(sizes[0], values[0])
            if not rest and all(factor * value == size for value, size in zip(values, sizes, strict=True)):
                yield multiply(factor, text)

    def _linear(self, sizes: tuple[int, ...]) -> Iterator[Dim]:
        """a*x + b: first with a = 1, which leaves one number free, then with any a."""
        for text, values in self._monomials[: len(self._symbols)]:
            if len({size - value for size, value in zip(sizes, values, strict=True)}) == 1:
                yield add(text, sizes[0] - values[0])
        for text, values in self._monomials if len(sizes) > 2 else ():
            line = _line(values, sizes)
            if line is not None:
                yield add(multiply(line[0], text), line[1])

    def _sums(self, sizes: tuple[int, ...]) -> Iterator[Dim]:
        """a*x + b*y, and x + y + b."""
        for (left, xs), (right, ys) in combinations(self._monomials, 2):
            pairs = list(zip(xs, ys, sizes, strict=True))
            if len({size - x - y for x, y, size in pairs}) == 1:
                yield add(add(left, right), sizes[0] - xs[0] - ys[0])
            solved = _solve(pairs)
            if solved is not None:
                yield add(multiply(solved[0], left), multiply(solved[1], right))

    def _quotients(self, sizes: tuple[int, ...]) -> Iterator[Dim]:
        """(x + k) // c: what convolutions and pooling give."""
        yield from (expression for _, _, expression in sorted(self._ranked(sizes), key=lambda one: one[:2]))

    def _ranked(self, sizes: tuple[int, ...]) -> Iterator[tuple[int, int, Dim]]:
        """Quotients with their oddity: shifts that do more than round, divisors that no stride has."""
        for text, values in self._symbols.items():
            low, high = values.index(min(values)), values.index(max(values))
            rise, run = sizes[high] - sizes[low], values[high] - values[low]
            if rise <= 0:
                continue
            most = LARGEST_DIVISOR if rise == 1 else min(LARGEST_DIVISOR, run // (rise - 1) + 1)
            for divisor in range(max(2, run // (rise + 1)), most + 1):
                pairs = list(zip(sizes, values, strict=True))
                lowest = max(divisor * size - value for size, value in pairs)
                highest = min(divisor * size - value for size, value in pairs) + divisor - 1
                if lowest <= highest:
                    wanted = [k for k in (0, divisor - 1) if lowest <= k <= highest]
                    shift = wanted[0] if wanted else min((lowest, highest), key=abs)
                    odd = 2 * (not wanted) + (divisor.bit_count() > 1)
                    yield odd, divisor, floor_divide(add(text, shift), divisor)

    def _scaled_quotients(self, sizes: tuple[int, ...]) -> Iterator[Dim]:
        """A number times symbols times a quotient."""
        found = []
        for text, values in [("1", (1,) * len(sizes)), *self._monomials]:
            if any(size % value for size, value in zip(sizes, values, strict=True)):
                continue
            rest = tuple(size // value for size, value in zip(sizes, values, strict=True))
            if len(set(rest)) == 1:
                continue
            for factor in _divisors(reduce(gcd, rest)):
                for odd, divisor, quotient in self._ranked(tuple(size // factor for size in rest)):
                    found.append((odd, divisor, product(factor, text, quotient)))
        yield from (expression for *_, expression in sorted(found, key=lambda one: one[:2]))

    def _scaled_lines(self, sizes: tuple[int, ...]) -> Iterator[Dim]:
        """A product of symbols, or the sizes' common factor, times something linear."""
        for text, values in [*self._monomials, ("1", (1,) * len(sizes))]:
            if all(size % value == 0 for size, value in zip(sizes, values, strict=True)):
                rest = tuple(size // value for size, value in zip(sizes, values, strict=True))
                common = reduce(gcd, rest)
                for factor in {1, common} if len(set(rest)) > 1 else ():
                    for found in self._linear(tuple(size // factor for size in rest)):
                        yield product(factor, text, found)


def _divisors(number: int) -> list[int]:
    small = [d for d in range(1, 65) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})


def _line(xs: Sequence[int], ys: Sequence[int]) -> tuple[int, int] | None:
    other = next((i for i, x in enumerate(xs) if x != xs[0]), None)
    if other is None:
        return None
    slope, rest = divmod(ys[other] - ys[0], xs[other] - xs[0])
    start = ys[0] - slope * xs[0]
    good = not rest and slope and all(slope * x + start == y for x, y in zip(xs, ys, strict=True))
    return (slope, start) if good else None


def _solve(rows: list[tuple[int, int, int]]) -> tuple[int, int] | None:
    """Whole a, b with a*x + b*y = size in all rows."""
    x0, y0, s0 = rows[0]
    for x1, y1, s1 in rows[1:]:
        if determinant := x0 * y1 - x1 * y0:
            a, rest_a = divmod(s0 * y1 - s1 * y0, determinant)
            b, rest_b = divmod(x0 * s1 - x1 * s0, determinant)
            fits = not rest_a and not rest_b and a and b
            return (a, b) if fits and all(a * x + b * y == s for x, y, s in rows) else None
    return None
