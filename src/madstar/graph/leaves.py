"""Numbers in attributes: where items that otherwise compute the same may differ from turn to turn.

An attribute has a form, which is all of it but its numbers and sizes, and leaves, which are these in order.
Words, true, false and none are form: a loop does not count them up.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .model import Attribute, Varying

_NAME = re.compile(r"[A-Za-z_]\w*")
_SIZE = re.compile(r"[\w+\-*/() ]+")


class Leaves:
    """Finds and replaces the leaves of attributes in a graph with these symbols."""

    def __init__(self, symbols: frozenset[str]) -> None:
        self.symbols = symbols

    def form(self, value: Attribute) -> Attribute:
        """The attribute with signs in place of its leaves: equal forms have leaves of one number and sort."""
        if isinstance(value, tuple):
            return tuple(self.form(part) for part in value)
        return ("%float" if isinstance(value, float) else "%int") if self._is_leaf(value) else value

    def of(self, value: Attribute) -> Iterator[Attribute]:
        """The leaves in order."""
        if isinstance(value, tuple):
            for part in value:
                yield from self.of(part)
        elif self._is_leaf(value):
            yield value

    def opened(self, value: Attribute, names: Iterator[str | None]) -> Attribute:
        """The attribute with its leaves left open under the next names; where that is None they stay."""
        if isinstance(value, tuple):
            return tuple(self.opened(part, names) for part in value)
        if self._is_leaf(value) and (name := next(names)) is not None:
            return Varying(name)
        return value

    def _is_leaf(self, value: Attribute) -> bool:
        if isinstance(value, str):
            found = _NAME.findall(value)
            return bool(found) and self.symbols.issuperset(found) and _SIZE.fullmatch(value) is not None
        return isinstance(value, (int, float)) and not isinstance(value, bool)
