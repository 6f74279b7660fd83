"""A graph as a tree that people can read: blocks with repeat counts, shapes, parameters and FLOPs.

Folded blocks are one line with their count. Nodes are one line each, but several in a row that have neither
weights nor FLOPs, such as those that make a mask, are one line together unless all are asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from ..errors import GraphError
from .dims import evaluate, multiply
from .flops import node_flops
from .json_turns import range_text
from .model import Call, Definition, Dim, Graph, Item, Node, Shape, Value
from .runs_of_paths import packed
from .statistics import Cost, block_costs, shapes_of, statistics
from .tree_columns import layout
from .wiring import given

if TYPE_CHECKING:
    from rich.table import Table

TOGETHER = 4
"""From so many on, nodes in a row that cost nothing are one line."""
_NAMED = 5


@dataclass(frozen=True)
class Row:
    """A line of the tree: what it is, and the columns beside it as text ("" for nothing).

    `shape` is what goes in and what comes out, `result` what comes out. Of nodes that are one line together,
    `label` says how many they are, `kind` which, and `result` is that of the last that is no scalar.
    """

    depth: int
    last: tuple[bool, ...]
    label: str
    kind: str
    shape: str
    result: str
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


def rows(
    graph: Graph, depth: int = 2, bindings: Mapping[str, int] | None = None, *, every: bool = True
) -> list[Row]:
    """The lines of the tree down to a depth (0 is the whole alone; what is in blocks deeper is left out).

    FLOPs are given at `bindings`, by default the sizes at which the graph was traced first. Without `every`,
    four or more nodes in a row that have neither weights nor FLOPs are one line.
    """
    at = bindings if bindings is not None else traced_sizes(graph)
    costs = block_costs(graph) | {graph.root: statistics(graph)}
    main = graph.main
    whole = costs[graph.root]
    results = _outputs(main)
    head = Row(
        0,
        (),
        plain(graph.name),
        plain(main.kind) if main.kind != graph.name else "",
        _signature(main.inputs, results),
        _shapes(results),
        amount(whole.parameters),
        _number(whole.flops, at),
    )
    return [head, *_Lines(graph, depth, at, costs, every).of(main, ())]


def text(
    graph: Graph,
    depth: int = 2,
    width: int = 100,
    bindings: Mapping[str, int] | None = None,
    *,
    every: bool = False,
) -> str:
    """The tree as plain text of at most `width` columns (at least 40), and its footer."""
    made = layout(rows(graph, depth, bindings, every=every), graph.symbols, max(width, 40))
    lines = []
    for cells in zip(*([column.heading, *column.cells] for column in made.columns), strict=True):
        padded = [
            cell.rjust(column.width) if column.right else cell.ljust(column.width)
            for cell, column in zip(cells, made.columns, strict=True)
        ]
        lines.append("  ".join(padded).rstrip())
    return "\n".join([*lines, footer(graph, bindings, made.letters)]) + "\n"


def table(
    graph: Graph,
    depth: int = 2,
    width: int = 100,
    bindings: Mapping[str, int] | None = None,
    *,
    every: bool = False,
) -> Table:
    """The same as a table of rich, with colours."""
    from rich.table import Table
    from rich.text import Text

    lines = rows(graph, depth, bindings, every=every)
    made = layout(lines, graph.symbols, max(width, 40))
    caption = Text(footer(graph, bindings, made.letters))
    found = Table(box=None, pad_edge=False, header_style="bold", caption=caption, caption_justify="left")
    for column in made.columns:
        side = "right" if column.right else "left"
        found.add_column(Text(column.heading), justify=side, no_wrap=True, width=column.width)  # type: ignore[arg-type]
    for number, row in enumerate(lines):
        cell = made.columns[0].cells[number]
        end = len(row.guides + row.label)
        label = Text(cell)
        label.stylize("dim", 0, len(row.guides))
        label.stylize("bold" if row.parameters else "", len(row.guides), end)
        label.stylize("cyan", end)
        rest = [Text(column.cells[number], "dim" * (not column.right)) for column in made.columns[1:]]
        found.add_row(label, *rest)
    return found


def footer(
    graph: Graph, bindings: Mapping[str, int] | None = None, letters: Mapping[str, str] | None = None
) -> str:
    """One line on the whole: nodes folded and unfolded, at which sizes FLOPs are given, what letters mean."""
    cost = statistics(graph)
    at = bindings if bindings is not None else traced_sizes(graph)
    said = {name: f"{letter} (the {name})" for name, letter in (letters or {}).items() if letter != name}
    sizes = ", ".join(f"{said.get(name, name)} {size}" for name, size in at.items())
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
    if number >= 10**21:
        power = int(number.bit_length() * 0.30103) - 4  # Python writes no integer of thousands of digits
        first = str(number // 10**power)
        return f"{first[0]}.{first[1:3]}e{power + len(first) - 1}"
    for size, letter in ((10**15, "P"), (10**12, "T"), (10**9, "B"), (10**6, "M"), (10**3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}" if number < 1000 * size else f"{number // size:,}{letter}"
    return str(number)


class _Lines:
    """Makes the lines of blocks, and of the blocks within."""

    def __init__(
        self, graph: Graph, depth: int, at: Mapping[str, int], costs: Mapping[str, Cost], every: bool
    ) -> None:
        self.graph, self.depth, self.at, self.costs, self.every = graph, depth, at, costs, every

    def of(self, definition: Definition, above: tuple[bool, ...]) -> list[Row]:
        """The lines of a block's items; none where the tree ends."""
        if self.depth <= len(above):
            return []
        shapes = shapes_of(definition)
        weights = {f"@{p.path}": prod(p.shape) for p in definition.parameters}
        found: list[Row] = []
        groups = _single(definition.items) if self.every else gathered(definition)
        for number, items in enumerate(groups):
            here = (*above, number == len(groups) - 1)
            first = items[0]
            if len(items) > 1:
                names = plain(names_of(items))
                wide = [item for item in items if any(value.shape for value in item.outputs)]
                result = _shapes((wide or items)[-1].outputs)
                found.append(Row(len(here), here, f"{len(items)} nodes", names, result, result, "", ""))
            elif isinstance(first, Call):
                found += self._call(first, here)
            else:
                label, kind = (path_of(first), class_of(self.graph, first))
                label, kind = (label, kind) if label else (kind, "")
                result = _shapes(first.outputs)
                count = sum(weights.get(argument.source, 0) for argument in first.arguments)
                flops = _number(_flops(first, shapes), self.at)
                found.append(Row(len(here), here, label, kind, result, result, amount(count), flops))
        return found

    def _call(self, call: Call, here: tuple[bool, ...]) -> list[Row]:
        inside = self.graph.definitions[call.definition]
        cost = self.costs[call.definition]
        row = Row(
            len(here),
            here,
            path_of(call),
            class_of(self.graph, call),
            _signature(inside.inputs, call.outputs),
            _shapes(call.outputs),
            amount(cost.parameters * len(set(call.paths))),
            _number(multiply(call.count, cost.flops), self.at),
        )
        return [row, *self.of(inside, here)]


def gathered(definition: Definition) -> list[list[Item]]:
    """The items of a block in order; four or more nodes in a row without weights and FLOPs are together."""
    shapes = shapes_of(definition)
    weights = {f"@{p.path}" for p in definition.parameters}
    groups: list[list[Item]] = []
    before = False
    for item in definition.items:
        small = (
            isinstance(item, Node)
            and not item.path
            and not any(argument.source in weights for argument in item.arguments)
            and not _flops(item, shapes)
        )
        if small and before:
            groups[-1].append(item)
        else:
            groups.append([item])
        before = small
    return [part for group in groups for part in ([group] if len(group) >= TOGETHER else _single(group))]


def _single(items: Sequence[Item]) -> list[list[Item]]:
    return [[item] for item in items]


def _flops(node: Node, shapes: Mapping[str, Shape]) -> Dim:
    return node_flops(node, {argument.slot: shapes[argument.source] for argument in node.arguments})


def names_of(items: Sequence[Item]) -> str:
    """The operations of nodes in the order in which they first come, with their counts: "mul x3, add, …"."""
    counts = Counter(item.op for item in items if isinstance(item, Node))
    said = [f"{op} x{count}" if count > 1 else op for op, count in counts.items()]
    return ", ".join(said[:_NAMED]) + (", …" if len(said) > _NAMED else "")


def _outputs(definition: Definition) -> list[Value]:
    values = {f"%{v.name}": v for v in definition.inputs}
    values |= {f"%{v.name}": v for item in definition.items for v in given(item)}
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


def label_of(graph: Graph, item: Item) -> str:
    """An item in a few words: "layers.{0..79}  LlamaDecoderLayer x80", "q_proj  linear", "add"."""
    return f"{path_of(item)}  {class_of(graph, item)}".strip()


def path_of(item: Item) -> str:
    """Which module an item is, short: "layers.{0..79}", "q_proj"; "" for a function of its own."""
    if isinstance(item, Node):
        return plain(item.path)
    parts = [entry if isinstance(entry, str) else entry["path"] for entry in packed(item.paths)]
    return plain(", ".join(part for part in parts if part) or item.name)


def class_of(graph: Graph, item: Item) -> str:
    """What an item is: "LlamaDecoderLayer x80", "Sequence x16 i=0..15", "linear"."""
    if isinstance(item, Node):
        return plain(item.op)
    times = f" x{item.count}" if item.count > 1 else ""
    return plain(graph.definitions[item.definition].kind) + times + turns_of(item)


def turns_of(call: Call) -> str:
    """What is set for the turns of a call, short: " i=0..15", " dilation=1,2,4,8"; "" for nothing."""
    said = []
    for name, values in call.settings:
        if not (each := range_text(values)):
            shown = values if len(values) <= _NAMED else (*values[:2], "…", values[-1])
            each = ",".join(map(str, shown))
        said.append(f" {name}={each}")
    return plain("".join(said[:2]) + (" …" if len(said) > 2 else ""))


def shape_text(*values: Value) -> str:
    """The shapes of values: "[batch, length, 64]"."""
    return _shapes(values)


def plain(text: str) -> str:
    """Text without what steers a terminal or breaks a line: such characters become the sign for none."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "\ufffd" for c in text)
