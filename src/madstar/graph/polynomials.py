"""Integer polynomials whose factors may be floor divisions: what sizes are made of.

A polynomial maps monomials to coefficients other than zero. A monomial is the sorted tuple of its factors:
symbols, and floor divisions as text ("(length+1)//2"). `spell` and `polynomial_of` go to text and back.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from itertools import groupby
from math import gcd

from ..errors import GraphError
from .model import Dim

Monomial = tuple[str, ...]
Polynomial = dict[Monomial, int]

# What a hostile file may ask for: no real shape comes near these.
MAX_TEXT = 2000
MAX_TERMS = 200
_MAX_NESTING = 40
_MAX_DIGITS = 30
_TOKEN = re.compile(r"\s*(?:(\d+)|([A-Za-z_][A-Za-z0-9_]*)|(//|[-+*()]))")


@lru_cache(1 << 16)
def _parsed(dim: Dim) -> tuple[tuple[Monomial, int], ...]:
    if isinstance(dim, int):
        return (((), dim),) if dim else ()
    if not isinstance(dim, str):
        raise GraphError(f"a size is a number or an expression, not {dim!r:.60}")
    return tuple(_Parser(dim).whole().items())


def polynomial_of(dim: Dim) -> Polynomial:
    """The polynomial that a size is. Raises GraphError for text that is none."""
    return dict(_parsed(dim))


@lru_cache(1 << 16)
def canonical_text(text: str) -> Dim:
    """The canonical spelling of text."""
    return spell(polynomial_of(text))


@lru_cache(1 << 14)
def symbols_of(text: str) -> frozenset[str]:
    """The symbols in text, those within divisions too."""
    found: set[str] = set()
    for monomial in polynomial_of(text):
        for factor in monomial:
            if "//" in factor:
                for part in _halves(factor):
                    found |= symbols_of(str(spell(dict(part))))
            else:
                found.add(factor)
    return frozenset(found)


def plus(a: Polynomial, b: Polynomial, sign: int = 1) -> Polynomial:
    """a + sign * b."""
    total = dict(a)
    for monomial, coefficient in b.items():
        total[monomial] = total.get(monomial, 0) + sign * coefficient
    return _tidy({monomial: c for monomial, c in total.items() if c})


def times(a: Polynomial, b: Polynomial) -> Polynomial:
    """The product."""
    total: Polynomial = {}
    for left, c in a.items():
        for right, d in b.items():
            monomial = tuple(sorted(left + right))
            total[monomial] = total.get(monomial, 0) + c * d
    return _tidy({monomial: c for monomial, c in total.items() if c})


def _tidy(polynomial: Polynomial) -> Polynomial:
    """Apply x//2 + (x+1)//2 = x, so that at most one of the two remains, and with a positive factor."""
    if len(polynomial) > MAX_TERMS:
        raise GraphError(f"a size has more than {MAX_TERMS} terms; simplify its expression")
    for monomial in [m for m in polynomial if any(factor.endswith("//2") for factor in m)]:
        half = next(factor for factor in monomial if factor.endswith("//2"))
        others = list(monomial)
        others.remove(half)
        numerator = dict(_halves(half)[0])
        turned = plus(numerator, {(): -1 if numerator.get((), 0) else 1})
        partner = tuple(sorted([*others, _floor_text(turned, {(): 2})]))
        if least := min(polynomial.get(monomial, 0), polynomial.get(partner, 0)):
            rest = {**polynomial, monomial: polynomial.get(monomial, 0) - least}
            rest[partner] = polynomial.get(partner, 0) - least
            whole = {tuple(others): least}
            doubled = times(whole, {m: c for m, c in numerator.items() if m})
            polynomial = plus({m: c for m, c in rest.items() if c}, doubled)
    return polynomial


def divide(a: Polynomial, b: Polynomial) -> Polynomial:
    """a // b, as simple as it can be told."""
    if not b:
        raise GraphError("a size is divided by zero; correct its expression")
    exact = exact_quotient(a, b)
    if exact is not None:
        return exact
    if set(b) == {()}:
        return _floor(a, b[()])
    return {(_floor_text(a, b),): 1}


def _floor(a: Polynomial, divisor: int) -> Polynomial:
    """a // divisor, reduced: whole parts taken out, common factors cancelled, nested divisions joined."""
    if divisor < 0:
        a, divisor = {m: -c for m, c in a.items()}, -divisor
    whole: Polynomial = {}
    rest: Polynomial = {}
    for monomial, coefficient in a.items():
        quotient, remainder = divmod(coefficient, divisor)
        if monomial and 2 * remainder > divisor:  # -x rather than 15*x over 16
            quotient, remainder = quotient + 1, remainder - divisor
        whole |= {monomial: quotient} if quotient else {}
        rest |= {monomial: remainder} if remainder else {}
    factors = [c for m, c in rest.items() if m]
    if not factors:
        return whole
    if (common := gcd(divisor, *factors)) > 1:
        reduced = {m: (c // common) for m, c in rest.items()}  # the constant is rounded down, as it must be
        return plus(whole, _floor({m: c for m, c in reduced.items() if c}, divisor // common))
    if rest[_order(rest)[0]] < 0:  # floor(-y/c) = -floor((y+c-1)/c)
        turned = plus({m: -c for m, c in rest.items()}, {(): divisor - 1})
        return plus(whole, _floor(turned, divisor), -1)
    return plus(whole, _joined(rest, divisor))


def _joined(rest: Polynomial, divisor: int) -> Polynomial:
    """(x//a + k) // b is (x + a*k) // (a*b)."""
    (first, *others) = [m for m in rest if m] or [()]
    if not others and len(first) == 1 and "//" in first[0] and rest[first] == 1:
        inside, below = _halves(first[0])
        if set(dict(below)) == {()} and (inner := dict(below)[()]) > 0:
            return _floor(plus(dict(inside), {(): inner * rest.get((), 0)}), inner * divisor)
    return {(_floor_text(rest, {(): divisor}),): 1}


def exact_quotient(a: Polynomial, b: Polynomial) -> Polynomial | None:
    """a / b by long division of polynomials, None where something remains."""
    if not b:
        return None
    lead = max(b)
    quotient: Polynomial = {}
    rest = dict(a)
    for _ in range(MAX_TERMS):
        if not rest:
            return quotient
        head = max(rest)
        left = list(head)
        for factor in lead:
            if factor not in left:
                return None
            left.remove(factor)
        if rest[head] % b[lead]:
            return None
        step = {tuple(left): rest[head] // b[lead]}
        quotient = plus(quotient, step)
        rest = plus(rest, times(step, b), -1)
    return None


@lru_cache(1 << 14)
def _halves(factor: str) -> tuple[tuple[tuple[Monomial, int], ...], tuple[tuple[Monomial, int], ...]]:
    """Numerator and denominator of a floor division that stands as a factor."""
    parser = _Parser(factor)
    above = parser.factor()
    parser.take("//")
    return tuple(above.items()), tuple(parser.factor().items())


# --- Spelling.


def _order(polynomial: Polynomial) -> list[Monomial]:
    return sorted(polynomial, key=lambda monomial: (-len(monomial), monomial))


def spell(polynomial: Polynomial) -> Dim:
    """The size in canonical spelling."""
    dim = _spell_once(polynomial)
    return _settled(dim) if isinstance(dim, str) and dim.count("//") > 1 else dim


def _spell_once(polynomial: Polynomial) -> Dim:
    if not polynomial:
        return 0
    if set(polynomial) == {()}:
        return polynomial[()]
    text = ""
    for monomial in _order(polynomial):
        coefficient = polynomial[monomial]
        alone = len(monomial) == 1 and abs(coefficient) == 1
        factors = [factor if alone or "//" not in factor else f"({factor})" for factor in monomial]
        if abs(coefficient) != 1 or not monomial:
            factors.insert(0, str(abs(coefficient)))
        text += ("-" if coefficient < 0 else "+" if text else "") + "*".join(factors)
    # A leading minus binds to what follows it; in front of a division it needs brackets.
    first = _order(polynomial)[0]
    if polynomial[first] == -1 and len(first) == 1 and "//" in first[0]:
        text = f"-({first[0]})" + text[len(first[0]) + 1 :]
    return text


@lru_cache(1 << 12)
def _settled(text: str) -> Dim:
    # Rules applied to one division of several can open the way for others; read it until nothing changes.
    polynomial = _Parser(text).whole()
    again = _spell_once(polynomial)
    return again if again == text else spell(polynomial)


def _floor_text(above: Polynomial, below: Polynomial) -> str:
    return f"{_bracketed(spell(above))}//{_bracketed(spell(below))}"


def _bracketed(dim: Dim) -> str:
    text = str(dim)
    return text if re.fullmatch(r"\w+", text) else f"({text})"


class _Parser:
    """Reads sum = term ((+|-) term)*, term = factor ((*|//) factor)*, factor = -factor | 1 | name | (sum)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.depth = 0
        self.at = 0
        self.tokens: list[str] = []
        if len(text) > MAX_TEXT:
            raise GraphError(f"a size has {len(text)} characters, at most {MAX_TEXT} are read")
        place = 0
        while place < len(text.rstrip()):
            match = _TOKEN.match(text, place)
            if match is None or len(match.group(1) or "") > _MAX_DIGITS:
                raise self.wrong()
            self.tokens.append(match.group().strip())
            place = match.end()

    def wrong(self) -> GraphError:
        return GraphError(
            f"{self.text!r:.80} is no size: numbers, symbols, +, -, *, // and brackets are understood"
        )

    def peek(self) -> str:
        return self.tokens[self.at] if self.at < len(self.tokens) else ""

    def take(self, wanted: str = "") -> str:
        token = self.peek()
        if not token or (wanted and token != wanted):
            raise self.wrong()
        self.at += 1
        return token

    def whole(self) -> Polynomial:
        found = self.sum()
        if self.peek():
            raise self.wrong()
        return found

    def sum(self) -> Polynomial:
        total = self.term()
        while self.peek() in ("+", "-"):
            sign = 1 if self.take() == "+" else -1
            total = plus(total, self.term(), sign)
        return total

    def term(self) -> Polynomial:
        total = self.factor()
        while self.peek() in ("*", "//"):
            multiplied = self.take() == "*"
            factor = self.factor()
            total = times(total, factor) if multiplied else divide(total, factor)
        return total

    def factor(self) -> Polynomial:
        self.depth += 1
        if self.depth > _MAX_NESTING:
            raise self.wrong()
        token = self.take()
        if token == "(":
            found = self.sum()
            self.take(")")
        elif token == "-":
            found = plus({}, self.factor(), -1)
        elif token.isdecimal():
            found = {(): int(token)} if int(token) else {}
        elif token[0].isalpha() or token[0] == "_":
            found = {(token,): 1}
        else:
            raise self.wrong()
        self.depth -= 1
        return found


# --- Numbers put in.


def value_at(polynomial: Polynomial, bindings: Mapping[str, int]) -> int:
    """The number for given symbols; KeyError where one is missing."""
    total = 0
    for monomial, coefficient in polynomial.items():
        for factor in monomial:
            if "//" in factor:
                above, below = _halves(factor)
                coefficient *= value_at(dict(above), bindings) // value_at(dict(below), bindings)
            else:
                coefficient *= bindings[factor]
        total += coefficient
    return total


def replaced(polynomial: Polynomial, bindings: Mapping[str, Dim]) -> Polynomial:
    """With sizes put for symbols."""
    total: Polynomial = {}
    for monomial, coefficient in polynomial.items():
        term: Polynomial = {(): coefficient}
        for factor in monomial:
            if "//" in factor:
                above, below = (replaced(dict(half), bindings) for half in _halves(factor))
                term = times(term, divide(above, below))
            else:
                term = times(term, polynomial_of(bindings.get(factor, factor)))
        total = plus(total, term)
    return total


def lower(polynomial: Polynomial, depth: int) -> int | None:
    """With each factor written as its least value plus something not negative, all terms must be positive."""
    least: dict[str, int] = {}
    for factor in {factor for monomial in polynomial for factor in monomial}:
        bound: int | None = 1
        if "//" in factor:
            above, below = (dict(half) for half in _halves(factor))
            inner = lower(above, depth + 1) if depth < 5 else None
            divisor = below.get(()) if set(below) == {()} else None
            bound = inner // divisor if inner is not None and divisor and divisor > 0 else None
        if bound is None or bound < 0:
            return None
        least[factor] = bound
    shifted: Polynomial = {}
    for monomial, coefficient in polynomial.items():
        term: Polynomial = {(): coefficient}
        for factor, copies in groupby(monomial):
            for _ in copies:
                grown: Polynomial = {(factor,): 1}
                if least[factor]:
                    grown[()] = least[factor]
                term = _raw_times(term, grown)
        for key, value in term.items():
            shifted[key] = shifted.get(key, 0) + value
    if any(value < 0 for key, value in shifted.items() if key):
        return None
    return shifted.get((), 0)


def _raw_times(a: Polynomial, b: Polynomial) -> Polynomial:
    total: Polynomial = {}
    for left, c in a.items():
        for right, d in b.items():
            monomial = tuple(sorted(left + right))
            total[monomial] = total.get(monomial, 0) + c * d
    return total
