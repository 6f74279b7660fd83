"""What decisions are made of, so that a rare one shares what is learned of those that are like it.

Most decisions are attributes of a node, shapes of weights and types of inputs, and most of them stand in few
graphs. Their parts (a name with its value, an axis with its size, how many sizes must have been said before)
stand in many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from .decisions import Decision


def parts_of(decision: Decision) -> frozenset[str]:
    """Names of the parts of a decision; none for one that is no more than itself."""
    kind, rest = decision[0], decision[1:]
    found: list[str] = []
    if kind == "input":
        found = [f"dtype {rest[0]}", *_parts("input", rest[1])]
    elif kind == "width":
        size = rest[0]
        found = [f"width of {size.bit_length()} bits", f"width in {size & -size}"]  # halves that are whole
    elif kind == "node":
        slots = Counter(source for _, source in rest[1])
        found = [f"operation {rest[0]}", f"values {slots['v']}", f"weights {slots['w']}"]
        found += [f"slot {slot} {source}" for slot, source in rest[1]]
    elif kind == "set":
        found = [f"attributes {len(rest[0])}"]
        found += [part for name, value in rest[0] for part in _parts(name, value)]
    elif kind == "weights":
        found = [f"shapes {len(rest[0])}"]
        for number, (terms, dtype, trained) in enumerate(rest[0]):
            found += [f"{number} {dtype} {trained}", *_parts(f"{number}", terms)]
    if kind in ("input", "set", "weights"):
        found.append(f"sizes before {max(_recalled(rest), default=0)}")
        found += [f"operand {number}" for number in _operands(rest)]
    return frozenset(found)


def _parts(name: str, value: Any) -> Iterator[str]:
    """A value, or each part of it by its place from the front and from the back."""
    if not isinstance(value, tuple) or _is_term(value):
        yield f"{name} = {value!r}"
        return
    yield f"{name} of {len(value)}"
    for place, part in enumerate(value):
        yield f"{name}[{place}] = {part!r}"
        yield f"{name}[{place - len(value)}] = {part!r}"


def _is_term(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and isinstance(value[0], str) and value[0][:1] == "="


def _recalled(value: Any) -> Iterator[int]:
    """For each size that is said as said before: how many must have been."""
    if _is_term(value):
        if value[0] == "=s":
            yield value[1] + 1
    elif isinstance(value, tuple):
        for part in value:
            yield from _recalled(part)


def _operands(value: Any) -> set[str]:
    """The dimensions of operands that sizes are said by."""
    if _is_term(value):
        return (
            {f"{value[0]} {value[1]} axis {axis}" for axis in value[2:]}
            if value[0] in ("=b", "=d", "=p")
            else set()
        )
    if isinstance(value, tuple):
        return {found for part in value for found in _operands(part)}
    return set()


def numbered(decisions: Sequence[Decision]) -> tuple[list[list[int]], int]:
    """For each decision the numbers of its parts, of those that at least two have, and how many there are."""
    parts = [sorted(parts_of(decision)) for decision in decisions]
    counts = Counter(part for each in parts for part in each)
    numbers: dict[str, int] = {}
    for each in parts:
        for part in each:
            if counts[part] > 1:
                numbers.setdefault(part, len(numbers))
    return [[numbers[part] for part in each if part in numbers] for each in parts], len(numbers)
