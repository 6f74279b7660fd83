"""The columns of a tree on a terminal of any width: what is said shorter, and what goes, where room is short.

In this order, until all fits: shapes of results alone; symbols as letters, which the footer explains, and
classes without the name that they share with the model's; no FLOPs; no parameters. Then labels are cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .tree import Row

_NAME = re.compile(r"[A-Za-z_]\w*")
_TIMES = re.compile(r"  \w+( x\d+)(?: \S+=\S+| …)*$")
_LEAST_LABEL, _MOST_SHAPE, _MOST_WHOLE, _GAP = 26, 44, 64, 2


class Column(NamedTuple):
    """A column as shown: its heading, its cells without padding, its width, on which side they stand."""

    heading: str
    cells: tuple[str, ...]
    width: int
    right: bool


class Layout(NamedTuple):
    """All columns; and the letter of each symbol where they are written as letters, else nothing."""

    columns: tuple[Column, ...]
    letters: Mapping[str, str]


def layout(rows: Sequence[Row], symbols: Iterable[str], width: int) -> Layout:
    """The columns of a tree that fit into a width (at least 40)."""
    letters = initials(symbols)
    prefix = _shared_prefix(rows)
    blocks = [_block(row.guides, row.label, row.kind) for row in rows]
    short = [*blocks[:1], *(_block(row.guides, row.label, _without(prefix, row.kind)) for row in rows[1:])]
    whole = [row.shape for row in rows]
    results = [row.result for row in rows]
    lettered = [_NAME.sub(lambda m: letters.get(m[0], m[0]), row.result.replace(" ", "")) for row in rows]
    costs = [("parameters", [row.parameters for row in rows]), ("FLOPs", [row.flops for row in rows])]
    thin = [("params", costs[0][1]), costs[1]]
    plans = [
        (blocks, whole, costs, {}),
        (blocks, results, costs, {}),
        (blocks, lettered, thin, letters),
        (short, lettered, thin, letters),
    ]
    if max(map(len, whole), default=0) > _MOST_WHOLE:
        plans = plans[1:]
    for labels, shapes, beside, used in plans:
        found = _columns(labels, shapes, beside, width, cut=False)
        if found:
            return Layout(found, used)
    for beside in (thin, thin[:1], []):
        found = _columns(short, lettered, beside, width, cut=True)
        if found:
            return Layout(found, letters)
    return Layout((_column("block", short, width, False),), {})


def initials(symbols: Iterable[str]) -> dict[str, str]:
    """A capital letter for each symbol, or as many letters as make it unlike the others."""
    found: dict[str, str] = {}
    for name in symbols:
        tried = [name[:size].title() for size in range(1, len(name) + 1)]
        tried += [f"{tried[0]}{number}" for number in range(2, len(found) + 3)]
        found[name] = next(letters for letters in tried if letters not in found.values())
    return found


def _columns(
    labels: Sequence[str],
    shapes: Sequence[str],
    costs: Sequence[tuple[str, list[str]]],
    width: int,
    cut: bool,
) -> tuple[Column, ...]:
    """The columns if they fit; with `cut`, if the label keeps enough when it is cut."""
    beside = [(title, cells, max(map(len, [title, *cells]))) for title, cells in costs]
    room = width - sum(size + _GAP for _, _, size in beside)
    most = _MOST_WHOLE if any(" -> " in shape for shape in shapes) else _MOST_SHAPE
    wide = min(max(map(len, ["shape", *shapes])), most if not cut else room // 2 - _GAP)
    label = max(map(len, ["block", *labels]))
    left = room - wide - _GAP
    if left < label and (not cut or left < min(_LEAST_LABEL, label)):
        return ()
    return (
        _column("block", labels, min(left, label), False),
        _column("shape", shapes, wide, False),
        *(_column(title, cells, size, True) for title, cells, size in beside),
    )


def _column(heading: str, cells: Sequence[str], width: int, right: bool) -> Column:
    return Column(heading, tuple(_cut(cell, width) for cell in cells), width, right)


def _cut(cell: str, width: int) -> str:
    """A cell within a width; how often a block is repeated stays."""
    if len(cell) <= width:
        return cell
    found = _TIMES.search(cell)
    if found is None or len(found[1]) >= width // 2:
        return cell[: width - 1].rstrip() + "…"
    if found.end(1) < width:  # what is set for each turn goes first
        return cell[: found.end(1)] + "…"
    return cell[: width - len(found[1]) - 1].rstrip() + "…" + found[1]


def _block(guides: str, label: str, kind: str) -> str:
    return guides + label + (f"  {kind}" if kind else "")


def _shared_prefix(rows: Sequence[Row]) -> str:
    """What the model's class shares with most of its blocks': "Llama" of LlamaModel and LlamaMLP."""
    words = re.findall(r"[A-Z][a-z0-9]*|[A-Z]+", rows[0].kind or rows[0].label)
    kinds = [row.kind for row in rows[1:] if row.kind[:1].isupper()]
    for count in range(len(words), 0, -1):
        prefix = "".join(words[:count])
        if sum(kind.startswith(prefix) and kind[len(prefix) :][:1].isupper() for kind in kinds) * 2 > len(
            kinds
        ):
            return prefix
    return ""


def _without(prefix: str, kind: str) -> str:
    return (
        kind[len(prefix) :]
        if prefix and kind[len(prefix) :][:1].isupper() and kind.startswith(prefix)
        else kind
    )
