"""What inference speaks of: types of values, what does not fit, sizes compared as expressions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import GraphError
from .. import dims
from ..model import Dim, Shape


@dataclass(frozen=True, slots=True)
class Type:
    """A tensor's shape and dtype; written as graphs are, "float32[batch,length,64]"."""

    shape: Shape
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype}{sizes_text(self.shape)}"


def sizes_text(shape: Shape) -> str:
    """A shape as it is written: "[batch,length,64]"."""
    return f"[{','.join(map(str, shape))}]"


class Misfit(Exception):  # noqa: N818  it is caught and becomes a finding, never an error of the program
    """A node's arguments do not go together: what kind of fault, what was expected, what was found.

    `slot` is the argument at fault ("input", "tensors.1") and `dim` the dimension of it, where one is.
    """

    def __init__(self, kind: str, expected: str, found: str, slot: str = "", dim: int | None = None):
        super().__init__(f"expected {expected}, found {found}")
        self.kind, self.expected, self.found, self.slot, self.dim = kind, expected, found, slot, dim


class NoRule(Exception):  # noqa: N818  likewise
    """Nothing is known of this operation, or of this use of it; what is recorded is taken."""


@dataclass(frozen=True, slots=True)
class Remark:
    """A relation of sizes that was relied on and that holds for some symbols only: `length <= 512`."""

    left: Dim
    relation: str
    right: Dim

    def __str__(self) -> str:
        return f"{self.left} {self.relation} {self.right}"


class Sizes:
    """Compares sizes; keeps what it had to take on trust as `remarks`.

    `symbols` are those of a graph: the first size of each is the one at which everything must fit.
    """

    def __init__(self, symbols: Mapping[str, tuple[int, ...]] | None = None):
        self.first = {name: sizes[0] for name, sizes in (symbols or {}).items() if sizes}
        self.remarks: list[Remark] = []

    def number(self, dim: Dim) -> int | None:
        """The size as traced; None where a symbol has no size."""
        if isinstance(dim, int):
            return dim
        try:
            return dims.evaluate(dim, self.first)
        except GraphError:
            return None

    def same(self, a: Dim, b: Dim) -> bool:
        """Whether two sizes are equal, as far as can be told; True with a remark where it depends."""
        if a == b:
            return True
        if isinstance(a, int) and isinstance(b, int):
            return False
        if dims.equal(a, b):
            return True
        if dims.differ(a, b):
            return False
        left, right = self.number(a), self.number(b)
        if left is None or right is None or left == right:
            self.remarks.append(Remark(a, "=", b))
            return True
        return False

    def same_shape(self, a: Shape, b: Shape) -> bool:
        """Whether all sizes are equal, and as many."""
        return len(a) == len(b) and all(self.same(x, y) for x, y in zip(a, b, strict=True))

    def less(self, a: Dim, b: Dim) -> bool:
        """Whether a < b, for all sizes or else at those traced, with a remark."""
        if isinstance(a, int) and isinstance(b, int):
            return a < b
        known = dims.less(a, b)
        if known is not None:
            return known
        left, right = self.number(a), self.number(b)
        below = left is not None and right is not None and left < right
        self.remarks.append(Remark(a, "<", b) if below else Remark(b, "<=", a))
        return below

    def smaller(self, a: Dim, b: Dim) -> Dim:
        """min(a, b)."""
        return b if self.less(b, a) else a
