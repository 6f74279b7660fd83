"""A graph as a tree that people can read: blocks with repeat counts, shapes, parameters and FLOPs.

Folded blocks are one line with their count; nodes are one line each. On a narrow terminal the columns that
say least go first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ..errors import GraphError
from .dims import evaluate, multiply
from .flops import node_flops
from .model import Call, Definition, Dim, Graph, Item, Value
from .runs_of_paths import packed
from .statistics import Cost, block_costs, shapes_of, statistics

if TYPE_CHECKING:
    from rich.table import Table

HEADINGS = ("block", "shape", "parameters", "FLOPs")


@dataclass(frozen=True)
class Row:
    """A line of the tree: what it is, and the columns beside it as text ("" for nothing)."""

    depth: int
    last: tuple[bool, ...]
    label: str
    kind: str
    shape: str
    parameters: str
    flops: str

    @property
    def guides(self) -> str:
        """The lines of the tree before the label."""
        if not self.last:
            return ""
        return "".join("   " if end else "│  " for end in self.last[:-1]) + (
            "└─ " if self.last[-1] else "├─ "
        )


def rows(graph: Graph, depth: int = 2, bindings: Mapping[str, int] | None = None) -> list[Row]:
    """The lines of the tree down to a depth (0 is the whole alone; what is in blocks deeper is left out).

    FLOPs are given at `bindings`, by default the sizes at which the graph was traced first.
    """
    at = bindings if bindings is not None else traced_sizes(graph)
    costs = block_costs(graph) | {graph.root: statistics(graph)}
    main = graph.main
    whole = costs[graph.root]
    head = Row(
        0,
        (),
        graph.name,
        main.kind if main.kind != graph.name else "",
        _signature(main.inputs, _outputs(main)),
        amount(whole.parameters),
        _number(whole.flops, at),
    )
    found = [head]
    _inner(graph, main, (), depth, at, costs, found)
    return found


def text(graph: Graph, depth: int = 2, width: int = 100, bindings: Mapping[str, int] | None = None) -> str:
    """The tree as plain text of at most `width` columns (at least 40)."""
    lines = rows(graph, depth, bindings)
    width = max(width, 40)
    columns = [[r.guides + r.label + (f"  {r.kind}" if r.kind else "") for r in lines]]
    columns += [[r.shape for r in lines], [r.parameters for r in lines], [r.flops for r in lines]]
    shown = _fitting([max(map(len, column)) for column in columns], width)
    out = []
    for cells in [HEADINGS, *zip(*columns, strict=True)]:
        parts = []
        for place, size in shown:
            cell = cells[place] if len(cells[place]) <= size else cells[place][: size - 1] + "…"
            parts.append(cell.rjust(size) if place > 1 else cell.ljust(size))
        out.append("  ".join(parts).rstrip())
    return "\n".join([*out, footer(graph, bindings)]) + "\n"


def table(graph: Graph, depth: int = 2, width: int = 100, bindings: Mapping[str, int] | None = None) -> Table:
    """The same as a table of rich, with colours."""
    from rich.table import Table
    from rich.text import Text

    lines = rows(graph, depth, bindings)
    made = Table(box=None, pad_edge=False, header_style="bold", caption=footer(graph, bindings))
    widths = [
        max(len(r.guides + r.label + r.kind) + 2 for r in lines),
        *(max(len(getattr(r, key)) for r in lines) for key in ("shape", "parameters", "flops")),
    ]
    shown = {place for place, _ in _fitting(widths, max(width, 40))}
    for place, heading in enumerate(HEADINGS):
        if place in shown:
            made.add_column(heading, justify="right" if place > 1 else "left", no_wrap=True)
    for row in lines:
        label = Text(row.guides, style="dim") + Text(row.label, style="bold" if row.parameters else "")
        if row.kind:
            label += Text(f"  {row.kind}", style="cyan")
        cells = [label, Text(row.shape, style="dim"), Text(row.parameters), Text(row.flops)]
        made.add_row(*(cell for place, cell in enumerate(cells) if place in shown))
    return made


def footer(graph: Graph, bindings: Mapping[str, int] | None = None) -> str:
    """One line on the whole: nodes folded and unfolded, and at which sizes FLOPs are given."""
    cost = statistics(graph)
    at = bindings if bindings is not None else traced_sizes(graph)
    sizes = ", ".join(f"{name} {size}" for name, size in at.items())
    guesses = f", {len(graph.guesses)} guesses" if graph.guesses else ""
    note = f"; FLOPs at {sizes}" if sizes else ""
    return f"{cost.nodes:,} nodes, {cost.unfolded:,} unfolded{guesses}{note}"


def traced_sizes(graph: Graph) -> dict[str, int]:
    """The sizes of the symbols at which the graph was traced first."""
    return {name: sizes[0] for name, sizes in graph.symbols.items() if sizes}


def amount(number: int) -> str:
    """A large number in three digits: 68.9B, 1.05M, 512; "" for none."""
    if not number:
        return ""
    for size, letter in ((10**15, "P"), (10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}" if number < 1000 * size else f"{number // size:,}{letter}"
    return str(number)


def _inner(
    graph: Graph,
    definition: Definition,
    last: tuple[bool, ...],
    depth: int,
    at: Mapping[str, int],
    costs: Mapping[str, Cost],
    found: list[Row],
) -> None:
    if depth <= len(last):
        return
    shapes = shapes_of(definition)
    for number, item in enumerate(definition.items):
        here = (*last, number == len(definition.items) - 1)
        if isinstance(item, Call):
            inside = graph.definitions[item.definition]
            cost = costs[item.definition]
            label = _written(item)
            times = f" x{item.count}" if item.count > 1 else ""
            shape = _signature(inside.inputs, item.outputs)
            weights = amount(cost.parameters * len(set(item.paths)))
            flops = _number(multiply(item.count, cost.flops), at)
            found.append(Row(len(here), here, label, inside.kind + times, shape, weights, flops))
            _inner(graph, inside, here, depth, at, costs, found)
        else:
            filled = {argument.slot: shapes[argument.source] for argument in item.arguments}
            flops = _number(node_flops(item, filled), at)
            own = {p.path: p for p in definition.parameters}
            sizes = [own[a.source[1:]].shape for a in item.arguments if a.source.startswith("@")]
            count = sum(prod(size) for size in sizes)
            label, kind = (item.path, item.op) if item.path else (item.op, "")
            found.append(Row(len(here), here, label, kind, _shapes(item.outputs), amount(count), flops))


def _outputs(definition: Definition) -> list[Value]:
    values = {f"%{v.name}": v for v in definition.inputs}
    values |= {f"%{v.name}": v for item in definition.items for v in item.outputs}
    values |= {f"@{p.path}": Value(p.path, p.shape, p.dtype) for p in definition.parameters}
    return [values[source] for source in definition.outputs]


def _signature(inputs: tuple[Value, ...], outputs: Sequence[Value]) -> str:
    return f"{_shapes(inputs[:1])}{', …' if len(inputs) > 1 else ''} -> {_shapes(outputs)}"


def _shapes(values: Sequence[Value]) -> str:
    written = [f"[{', '.join(map(str, value.shape))}]" for value in values[:2]]
    return ", ".join(written) + (", …" if len(values) > 2 else "")


def _number(flops: Dim, at: Mapping[str, int]) -> str:
    try:
        return amount(evaluate(flops, at))
    except GraphError:
        return "?"


def _fitting(widths: list[int], width: int) -> list[tuple[int, int]]:
    """Which columns are shown and how wide: the label is cut last, shapes go first."""
    widths = [max(size, len(title)) for size, title in zip(widths, HEADINGS, strict=True)]
    room = width - widths[0] - widths[2] - widths[3] - 6
    if room >= min(widths[1], 24):
        return [(0, widths[0]), (1, min(room, widths[1])), (2, widths[2]), (3, widths[3])]
    for places in ([0, 2, 3], [0, 2]):
        room = width - sum(widths[place] + 2 for place in places[1:])
        if room >= min(widths[0], 24):
            return [(0, min(widths[0], room)), *((place, widths[place]) for place in places[1:])]
    return [(0, width)]


def label_of(graph: Graph, item: Item) -> str:
    """An item in a few words: "layers.{0..79}  LlamaDecoderLayer x80", "q_proj  linear", "add"."""
    if isinstance(item, Call):
        times = f" x{item.count}" if item.count > 1 else ""
        return f"{_written(item)}  {graph.definitions[item.definition].kind}{times}"
    return f"{item.path}  {item.op}" if item.path else item.op


def shape_text(*values: Value) -> str:
    """The shapes of values: "[batch, length, 64]"."""
    return _shapes(values)


def _written(call: Call) -> str:
    """The paths of a call, short."""
    parts = [entry if isinstance(entry, str) else entry["path"] for entry in packed(call.paths)]
    return ", ".join(part for part in parts if part) or call.name
