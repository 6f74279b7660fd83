"""Graphbook's JSON, out and in; docs/graphbook-format.md says what stands for what.

Written are the operations, variables and links of that format, every block where it is used. What it has no
word for (dtypes, sizes as expressions, which blocks are one) stands under the key "madstar" of each part,
which other readers pass over; read back, it is believed only as far as the rest of the file agrees.
"""

from .files import load_graphbook, parsed, save_graphbook
from .reading import from_graphbook
from .writing import to_graphbook

__all__ = ["from_graphbook", "load_graphbook", "parsed", "save_graphbook", "to_graphbook"]
