"""Names for what a graph calls otherwise: identifiers, whatever stands in the file it came from.

Nothing that a graph says reaches the source but as an identifier made here, a number, or a quoted text.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterable

from torch import nn

_TAKEN = frozenset(
    {
        "torch",
        "nn",
        "F",
        "math",
        "Tensor",
        "self",
        "forward",
        *keyword.kwlist,
        *keyword.softkwlist,
        *dir(builtins),
    }
)
_MODULE = frozenset(dir(nn.Module())) | frozenset(dir(nn.ModuleList()))
_LONGEST = 60


def identifier(text: str, fallback: str = "value") -> str:
    """The text as an identifier of ASCII letters, digits and underscores."""
    found = re.sub(r"\W+", "_", text, flags=re.ASCII).strip("_")[:_LONGEST].strip("_")
    if not found:
        return fallback
    return f"{fallback}_{found}" if found[0].isdigit() else found


def is_attribute(name: str) -> bool:
    """Whether a part of a path can stand after a dot as it is."""
    plain = name.isascii() and name.isidentifier() and not keyword.iskeyword(name)
    return plain and name not in _MODULE and not name.startswith("__") and len(name) < 200


class Names:
    """Gives identifiers that are not taken."""

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self.taken = set(_TAKEN) | set(taken)
        self.numbers: dict[str, int] = {}

    def new(self, wanted: str, fallback: str = "value") -> str:
        """An identifier near to what is wanted."""
        base = identifier(wanted, fallback)
        name, number = base, self.numbers.get(base, 1)
        while name in self.taken:
            number += 1
            name = f"{base}_{number}"
        self.numbers[base] = number
        self.taken.add(name)
        return name


def class_name(kind: str) -> str:
    """A class's name as Python has it: "LlamaMLP" as it is, "my block" as "MyBlock"."""
    found = identifier(kind, "Block")
    return found[:1].upper() + found[1:]


def quoted(text: str) -> str:
    """A text as Python writes it, in double quotes where that needs no escapes."""
    written = ascii(text)
    inside = written[1:-1]
    return written if '"' in inside or "\\" in inside or written[0] == '"' else f'"{inside}"'


def comment(text: str, most: int = 100) -> str:
    """A text that may stand in a docstring or comment: letters, digits and harmless signs."""
    return re.sub(r"[^\w .,:/@()\[\]{}=+*|$-]", "_", text, flags=re.ASCII)[:most]
