"""Attributes and sizes as Python: numbers, tuples, dtypes, subscripts, expressions of symbols."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from ....errors import GraphError
from ...dims import symbols
from ...execution.attributes import _NUMBERS, _WORDS
from ...model import Attribute, Dim, Varying
from .names import quoted

_EXPRESSION = re.compile(r"[A-Za-z0-9_+\-*/() ]+")
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)


class Words:
    """How a block says what its graph's attributes hold.

    `example` has the graph's symbols with the sizes at which they were traced, `symbols` and `opens` the
    block's names for those and for what it leaves open, `settings` an example of the latter. `used` collects
    the symbols that were said.
    """

    def __init__(
        self,
        example: Mapping[str, int],
        symbols: Mapping[str, str],
        opens: Mapping[str, str],
        settings: Mapping[str, Attribute],
    ) -> None:
        self.example, self.symbols, self.opens, self.settings = example, symbols, opens, settings
        self.used: dict[str, None] = {}

    def settled(self, value: Attribute) -> Attribute:
        """An attribute with an example of what is left open."""
        if isinstance(value, Varying):
            return self.settings.get(value.name)
        return tuple(self.settled(part) for part in value) if isinstance(value, tuple) else value

    def size(self, dim: Dim) -> str:
        """A size; names of symbols are those of the block. Raises GraphError for one it has not."""
        if isinstance(dim, int):
            return str(dim)
        if not _EXPRESSION.fullmatch(dim) or not symbols(dim) <= set(self.symbols):
            raise GraphError(f"the size {dim!r:.60} has a symbol that the graph does not")
        self.used |= dict.fromkeys(sorted(symbols(dim)))
        spaced = re.sub(r"(//|[*+])", r" \1 ", _WORD.sub(lambda word: self.symbols[word[0]], dim))
        return re.sub(r"(?<=[\w)])-", " - ", spaced)

    def say(self, slot: str, value: Attribute) -> str:
        """An attribute of a slot. Raises GraphError for what was not recorded."""
        if isinstance(value, Varying):
            return self.opens[value.name]
        if isinstance(value, tuple):
            if len(value) == 3 and value[0] == "complex":
                return f"complex({self.say('', value[1])}, {self.say('', value[2])})"
            parts = [self.say(slot, part) for part in value]
            return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"
        if isinstance(value, str):
            return self._text(slot, value)
        return number(value)

    def _text(self, slot: str, value: str) -> str:
        if slot in _WORDS:
            return quoted(value)
        if slot in ("dtype", "out_dtype"):
            return dtype(value)
        if value in _NUMBERS:
            return number(_NUMBERS[value])
        if value.startswith("<"):
            raise GraphError(f"{slot}: {value!r:.60} was not recorded; there is no way to compute it again")
        if value.isidentifier() and value not in self.example:
            if slot in ("size", "shape") and isinstance(getattr(torch, value, None), torch.dtype):
                return dtype(value)
            return quoted(value)
        return self.size(value)

    def index(self, index: Attribute, tensors: Mapping[int, str]) -> str:
        """A subscript; `tensors` are the arguments "index.0", "index.1"."""
        parts = []
        whole = index if isinstance(index, tuple) else (index,)
        for part in whole:
            if part == "...":
                parts.append("...")
            elif isinstance(part, tuple) and part[:1] == ("slice",):
                start, stop, step = (*part[1:], None, None, None)[:3]
                said = ["" if each is None else self.say("index", each) for each in (start, stop, step)]
                parts.append(":".join(said[:2]) + (f":{said[2]}" if said[2] else ""))
            elif isinstance(part, tuple) and part[:1] == ("tensor",):
                parts.append(tensors[part[1]])
            elif isinstance(part, tuple):
                parts.append(f"[{', '.join(self.say('index', each) for each in part)}]")
            else:
                parts.append(self.say("index", part))
        if len(parts) == 1 and not parts[0].startswith("["):
            return parts[0]
        return ", ".join(parts) + ("," if len(parts) == 1 else "") if parts else "()"


def number(value: Any) -> str:
    """A number, true, false or nothing."""
    if isinstance(value, float) and value != value:
        return "math.nan"
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        return "math.inf" if value > 0 else "-math.inf"
    if value is None or isinstance(value, (bool, int, float)):
        return repr(value)
    raise GraphError(f"{value!r:.60} is no plain data")


def dtype(name: str) -> str:
    """A dtype as torch names it. Raises GraphError where there is none of that name."""
    if not isinstance(getattr(torch, name, None), torch.dtype):
        raise GraphError(f"no dtype {name!r:.40}")
    return f"torch.{name}"
