"""A view as arrays of small numbers: what every neural learner reads of a graph.

Each node is a row of categories, each category a column of `COLUMNS` with its own range. Sizes and counts are
in buckets, so that a width never seen is near one that was; symbols have buckets of their own. Names, paths
and classes of blocks are never read. What is hidden is hidden here: a masked node shows its wiring, its block
and how often it is computed, and nothing else (`hiding.hidden`).

With `causal`, a node's row says only what the nodes before it and its own edges say, so that the rows of a
graph's first nodes are those of the graph cut there: what completion may see.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from ..graph.model import Attribute, Parameter, Value, Varying
from .hiding import HIDDEN, hidden
from .view import KINDS, GraphView

Integers = NDArray[np.int32]

UNKNOWN, MASKED, BLOCK, FIRST = 1, 2, 3, 4
"""Numbers in the column of operations; 0 is no node at all, and the table's names count from `FIRST`."""

_SIZES, _WEIGHTS, _HASHES, _DEPTHS = 32, 32, 64, 24
COLUMNS: tuple[tuple[str, int], ...] = (
    ("outputs", 6),
    ("rank", 10),
    ("dtype", 16),
    ("size_first", _SIZES),
    ("size_last", _SIZES),
    ("size_last_but_one", _SIZES),
    ("size_last_but_two", _SIZES),
    ("growth", 16),
    ("weights", 6),
    ("weight_size", _WEIGHTS),
    ("weight_ratio", 16),
    ("weight_slots", _HASHES),
    ("arguments", 10),
    ("takers", 10),
    ("returns", 4),
    ("gives", 2),
    ("nesting", 12),
    ("count", 10),
    ("depth", _DEPTHS),
    ("depth_back", _DEPTHS),
    ("depth_within", 20),
)
"""What each column of `Features.columns` is and how many values it has, the operation apart."""

ATTRIBUTES, ATTRIBUTE_BUCKETS = 6, 1024
SHAPES = 1 << 16
_HIDDEN_RANK = 9


@dataclass(frozen=True, slots=True)
class OperationTable:
    """The operations a learner knows by name: those of its training graphs, the most frequent first."""

    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def size(self) -> int:
        """How many numbers the column of operations has."""
        return FIRST + len(self.names)

    def numbers(self) -> dict[str, int]:
        """The number of each name in the column of operations."""
        return {HIDDEN: MASKED} | {name: FIRST + i for i, name in enumerate(self.names)}


@dataclass(frozen=True)
class Features:
    """The arrays of a view of n nodes, e edges and b blocks.

    `operations` (n,) and `columns` (n, len(COLUMNS)) are categories; `attributes` (n, ATTRIBUTES) are buckets
    of pairs of name and value, 0 for none. `shapes` (n,) are hashes of shape and dtype of the first output,
    to tell whether two are equal, 0 where hidden. `depths` (n,) is the longest way of data edges.
    `edges` (e, 4) are source, target, position, kind (a number in `KINDS`); `blocks` (b, 4) are the parent,
    the depth, and categories of count and of number of nodes; `block_of` (n,) is the block of each node.
    """

    operations: Integers
    columns: Integers
    attributes: Integers
    shapes: Integers
    depths: Integers
    edges: Integers
    blocks: Integers
    block_of: Integers
    causal: bool = False

    def __len__(self) -> int:
        return len(self.operations)

    def part(self, start: int, stop: int) -> Features:
        """Nodes [start, stop) with the edges among them and the blocks they are in, for large graphs.

        Rows are those of the whole: degrees and depths count what is cut away.
        """
        source, target = self.edges[:, 0], self.edges[:, 1]
        inside = (source >= start) & (source < stop) & (target >= start) & (target < stop)
        edges = self.edges[inside].copy()
        edges[:, :2] -= start
        kept = _with_parents(self.block_of[start:stop], self.blocks)
        numbers = np.full(len(self.blocks) + 1, -1, np.int32)
        numbers[kept] = np.arange(len(kept))
        blocks = self.blocks[kept].copy()
        blocks[:, 0] = numbers[blocks[:, 0]]
        return replace(
            self,
            operations=self.operations[start:stop],
            columns=self.columns[start:stop],
            attributes=self.attributes[start:stop],
            shapes=self.shapes[start:stop],
            depths=self.depths[start:stop],
            edges=edges,
            blocks=blocks,
            block_of=numbers[self.block_of[start:stop]],
        )


def features(
    view: GraphView, table: OperationTable, masked: Collection[int] = (), causal: bool = False
) -> Features:
    """The arrays of a view.

    Args:
        view: Of a graph, or what `hiding` leaves of one.
        table: The operations that have numbers; others are unknown.
        masked: Nodes of which only the wiring may be seen.
        causal: Only what is known when a node is added to those before it.

    Raises:
        DataError: the view has no nodes.
    """
    if not view.nodes:
        raise DataError("the graph has no operations and no inputs: nothing can be learned of it")
    if masked:
        view = hidden(view, masked)
    numbers = table.numbers()
    operations = np.array([numbers.get(node.op, UNKNOWN) for node in view.nodes], np.int32)
    own = [_own(n.op, n.outputs, n.weights) for n in view.nodes]
    edges = np.array(
        [(e.source, e.target, e.position, KINDS.index(e.kind)) for e in view.edges], np.int32
    ).reshape(-1, 4)
    blocks = np.array([(b.parent, b.depth, _log(b.count, 9), 0) for b in view.blocks], np.int32).reshape(
        -1, 4
    )
    block_of = np.array([node.block for node in view.nodes], np.int32)
    if not causal:
        blocks[:, 3] = [_log(size, 9) for size in np.bincount(block_of, minlength=len(blocks))]
    if causal:
        edges = edges[edges[:, 3] == 0]
    around, depths = _around(view, edges, block_of, causal)
    sizes = np.array([each[1] for each in own], np.float64)
    columns = np.concatenate([np.array([each[0] for each in own], np.int32), around], axis=1)
    columns[:, _GROWTH] = _growth(sizes, edges)
    return Features(
        operations,
        columns,
        np.array([_attributes(repr(n.attributes), n.attributes) for n in view.nodes], np.int32),
        np.array([each[2] for each in own], np.int32),
        depths,
        edges,
        blocks,
        block_of,
        causal,
    )


_GROWTH = 7


@lru_cache(maxsize=1 << 16)
def _own(
    op: str, outputs: tuple[Value, ...], weights: tuple[tuple[str, Parameter], ...]
) -> tuple[tuple[int, ...], float, int]:
    """A node's columns that no other node says, elements of its first output (nan if unknown), its shape."""
    shown = op != HIDDEN
    shape = outputs[0].shape if outputs and shown else ()
    dtype = outputs[0].dtype if outputs and shown else ""
    at = [_size(shape[i]) if -len(shape) <= i < len(shape) else 0 for i in (0, -1, -2, -3)]
    total = sum(math.prod(weight.shape) for _, weight in weights)
    matrix = next((weight.shape for _, weight in weights if len(weight.shape) >= 2), None)
    ratio = 0 if matrix is None else 8 + _clip(round(math.log2((matrix[0] or 1) / (matrix[1] or 1))), 7)
    slots = 1 + _hash("/".join(slot for slot, _ in weights), _HASHES - 1) if weights else 0
    row = (
        min(len(outputs), 5),
        min(len(shape), _HIDDEN_RANK - 1) if shown else _HIDDEN_RANK,
        1 + _hash(dtype, 15) if dtype else 0,
        *at,
        0,
        min(len(weights), 5),
        _log(total, _WEIGHTS - 1),
        ratio,
        slots,
    )
    elements = math.prod(d for d in shape if isinstance(d, int)) if shown else math.nan
    same = 1 + _hash(f"{shape}{dtype}", SHAPES - 1) if shown and outputs else 0
    return row, float(elements), same


def _growth(sizes: NDArray[np.float64], edges: Integers) -> Integers:
    """How much larger a node's result is than its first argument's: 0 unknown, 8 equal, by powers of two."""
    first = np.full(len(sizes), -1)
    data = edges[edges[:, 3] == 0]
    for source, target, _, _ in data[::-1]:  # the first position stays
        first[target] = source
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.log2(np.maximum(sizes, 1) / np.maximum(sizes[first], 1))
    known = (first >= 0) & np.isfinite(ratio)
    return np.where(known, 8 + np.clip(np.round(np.where(known, ratio, 0)), -7, 7), 0).astype(np.int32)


def _around(view: GraphView, edges: Integers, block_of: Integers, causal: bool) -> tuple[Integers, Integers]:
    """The columns that wiring and blocks say, and the depths."""
    n = len(view.nodes)
    forward, within = [0] * n, [0] * n
    back = [0] * n
    arguments, takers = np.zeros(n, np.int32), np.zeros(n, np.int32)
    returns = np.zeros(n, np.int32)
    data = [(int(s), int(t), int(p)) for s, t, p, kind in edges if kind == 0]
    taken: set[tuple[int, int]] = set()
    for source, target, position in data:  # in order of targets
        forward[target] = max(forward[target], forward[source] + 1)
        if block_of[source] == block_of[target]:
            within[target] = max(within[target], within[source] + 1)
        if (target, position) not in taken:
            taken.add((target, position))
            arguments[target] += 1
        takers[source] += 1
    for source, target, _ in reversed(data):
        back[source] = max(back[source], back[target] + 1)
    for source, target, _, kind in edges:
        if kind:
            returns[source] |= 1
            returns[target] |= 2
    gives = np.zeros(n, np.int32)
    if not causal:
        gives[list(view.outputs)] = 1
    nothing = np.zeros(n, np.int32)
    columns = [
        np.minimum(arguments, 9),
        nothing if causal else np.minimum(takers, 9),
        returns,
        gives,
        np.array([min(view.blocks[node.block].depth, 11) for node in view.nodes]),
        np.array([_log(node.count, 9) for node in view.nodes]),
        np.array([_log(d, _DEPTHS - 1, 3) for d in forward]),
        nothing if causal else np.array([1 + _log(d, _DEPTHS - 2, 3) for d in back]),
        np.array([min(d, 19) if d < 12 else min(12 + _log(d // 12, 7), 19) for d in within]),
    ]
    return np.stack(columns, axis=1).astype(np.int32), np.array(forward, np.int32)


@lru_cache(maxsize=1 << 16)
def _attributes(written: str, attributes: tuple[tuple[str, Attribute], ...]) -> tuple[int, ...]:
    """Buckets of attributes. `written` is how Python writes them: 1, 1.0 and True are equal to a cache, and
    whichever of them a process happened to meet first would be all three."""
    found = [1 + _hash(f"{name}={_bucket(value)}", ATTRIBUTE_BUCKETS - 1) for name, value in attributes]
    return tuple((found + [0] * ATTRIBUTES)[:ATTRIBUTES])


def _bucket(value: Any) -> str:
    """A word for an attribute's value that near values share."""
    match value:
        case bool() | None:
            return repr(value)
        case int():
            small = -8 <= value <= 8
            return str(value) if small else f"{'-' if value < 0 else ''}2^{abs(value).bit_length() - 1}"
        case float():
            if value == 0 or not math.isfinite(value):
                return repr(value)
            return f"{'-' if value < 0 else ''}10^{round(math.log10(abs(value)) * 2) / 2:g}"
        case str():
            return value if value.isidentifier() else "expression"
        case Varying():
            return "varying"
        case tuple() | list():
            return "(" + ",".join(_bucket(each) for each in value[:6]) + ")"
    return "other"


def _size(dim: int | str) -> int:
    """A bucket of a dimension: 1 a symbol, 2 an expression of symbols, then numbers, exact up to 4."""
    if isinstance(dim, str):
        return 1 if dim.isidentifier() else 2
    return 3 + dim if dim <= 4 else min(6 + dim.bit_length() - 1, _SIZES - 1)


def _log(number: int, most: int, fine: int = 1) -> int:
    """0 for 0, then by powers of two, each in `fine` parts, at most `most`."""
    return 0 if number <= 0 else min(1 + int(fine * math.log2(number)), most)


def _clip(number: int, most: int) -> int:
    return max(-most, min(most, number))


def _hash(text: str, buckets: int) -> int:
    return zlib.crc32(text.encode()) % buckets


def _with_parents(found: Integers, blocks: Integers) -> list[int]:
    """The blocks of these nodes and all around them, ascending."""
    kept: set[int] = set()
    for number in set(found.tolist()):
        while number >= 0 and number not in kept:
            kept.add(number)
            number = int(blocks[number, 0])
    return sorted(kept)
