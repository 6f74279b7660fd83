"""How paths go together: the full path of a weight is the paths of the calls that lead to it, joined.

Where several blocks that take turns are folded as one (`folding.py`), a call stands for several modules at
once: its path is "layers.0|layers.1", and inside, paths that begin with "$0" and "$1" say which is meant.
"""

from __future__ import annotations

SEQUENCE = "Sequence"
"""The kind of a block that is no module: items that repeat in turn, folded into one definition."""

SEQUENCE_MODULE = "madstar.graph"
"""Where such a block's class is said to stand; by this it is told from a module named Sequence."""


def join(base: str, path: str) -> str:
    """The path of what stands at `path` within the block at `base`; either may be empty."""
    if "|" in path:
        return "|".join(join(base, part) for part in path.split("|"))
    if path.startswith("$"):
        number, _, rest = path[1:].partition(".")
        slots = base.split("|")
        chosen = slots[int(number)] if number.isdecimal() and int(number) < len(slots) else base
        return join(chosen, rest)
    return f"{base}.{path}" if base and path else base or path
