"""Blocks of a graph as a drawing: each block once, its items in layers, folded blocks as boxes with counts.

One block at a time keeps the drawing of a model of any depth small: a model of 80 equal layers has one box
for them, and the layer is drawn beside it. Nodes in a row that cost nothing are one box.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from ..errors import GraphError
from .layers import Plan, plan
from .model import Call, Definition, Graph, Item, Value
from .statistics import Cost, block_costs
from .tree import amount, class_of, gathered, names_of, path_of, plain, shape_text
from .wiring import given, sources

_LINE, _PAD, _LETTER, _SMALL, _LEAST, _MOST_LETTERS, _EDGE, _TITLE = 15, 8, 6.6, 5.4, 90, 40, 20, 30
_MOST, _SHELF = 3000, 1500
_STYLE = (
    "text{font:11px sans-serif;text-anchor:middle;fill:#222}.k{fill:#4a6fa5}.s{fill:#777;font-size:9px}"
    ".h{font-size:13px;font-weight:bold;text-anchor:start}rect{fill:#fff;stroke:#999;rx:5}"
    ".b rect{fill:#e8eef7;stroke:#4a6fa5}.w rect{fill:#f7f4ea;stroke:#a08a4a}.i rect{fill:#f3f3f3;rx:14}"
    ".g rect{stroke-dasharray:3 2}path{fill:none;stroke:#999}marker path{fill:#999}"
)
_ARROW = (
    '<defs><marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" markerHeight="6" '
    'orient="auto"><path d="M0,0L8,4L0,8z"/></marker></defs>'
)
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Box(NamedTuple):
    kind: str
    lines: tuple[tuple[str, str], ...]
    title: str
    stacked: bool = False

    @property
    def size(self) -> tuple[int, int]:
        widths = [len(text) * (_SMALL if style == "s" else _LETTER) for style, text in self.lines]
        return max(_LEAST, round(max(widths)) + 2 * _PAD), len(self.lines) * _LINE + _PAD


def to_svg(graph: Graph, block: str = "", depth: int = 1) -> str:
    """The drawing of the whole, or of the block with that definition's name, as SVG.

    With a depth of 2 and more the blocks in it are drawn too, each once, to that many levels.

    Raises GraphError for an unknown block, and for one of more than 3,000 items.
    """
    if (block or graph.root) not in graph.definitions:
        raise GraphError(f"there is no block {block!r}; blocks are {', '.join(list(graph.definitions)[:8])}")
    costs = block_costs(graph)
    panels = []
    for name in _reached(graph, block or graph.root, depth):
        boxes, edges = _boxes(graph, graph.definitions[name], costs)
        panels.append((name, boxes, plan([box.size for box in boxes], edges)))
    places, wide, high = _shelves([made for _, _, made in panels])
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}"'
    lines = [
        f'{head} width="{wide}" height="{high}">',
        f"<title>{_safe(graph.name)}</title><style>{_STYLE}</style>{_ARROW}",
        '<rect width="100%" height="100%" style="stroke:none;rx:0"/>',
    ]
    for (name, boxes, made), (x, y) in zip(panels, places, strict=True):
        lines.append(f'<g transform="translate({x},{y})"><text class="h" y="-10">{_safe(name)}</text>')
        lines += [_line(points) for points in made.lines]
        lines += [_drawn(box, corner) for box, corner in zip(boxes, made.corners, strict=True)]
        lines.append("</g>")
    return "\n".join([*lines, "</svg>"]) + "\n"


def _reached(graph: Graph, root: str, depth: int) -> list[str]:
    """The blocks to draw: the first, and those in it, level by level, each once."""
    found, level = [root], [root]
    for _ in range(max(depth, 1) - 1):
        items = [item for name in level for item in graph.definitions[name].items]
        inner = [item.definition for item in items if isinstance(item, Call)]
        level = [name for name in dict.fromkeys(inner) if name not in found]
        found += level
    for name in found:
        if len(graph.definitions[name].items) > _MOST:
            count = len(graph.definitions[name].items)
            raise GraphError(f"block {name!r} has {count:,} items; draw a folded graph")
    return found


def _boxes(
    graph: Graph, definition: Definition, costs: dict[str, Cost]
) -> tuple[list[_Box], list[tuple[int, int]]]:
    """The boxes in the order of computation; and which is drawn to which."""
    whole = definition is graph.main
    names = graph.input_names if whole else tuple(value.name for value in definition.inputs)
    boxes = [_end(name, value) for name, value in zip(names, definition.inputs, strict=True)]
    known = {f"%{value.name}": value for value in definition.inputs}
    made = {f"%{value.name}": i for i, value in enumerate(definition.inputs)}
    edges: dict[tuple[int, int], None] = {}
    for items in gathered(definition):
        here = len(boxes)
        boxes.append(_box(graph, definition, items, costs))
        for item in items:
            for source in sources(item):
                if source in made and made[source] != here:
                    edges[made[source], here] = None
            known |= {f"%{value.name}": value for value in given(item)}
            made |= {f"%{value.name}": here for value in given(item)}
    ends = graph.output_names if whole else tuple(f"output {n}" for n in range(len(definition.outputs)))
    for name, source in zip(ends if len(ends) > 1 or whole else ("output",), definition.outputs, strict=True):
        if source in made:
            edges[made[source], len(boxes)] = None
            boxes.append(_end(name, known[source]))
    return boxes, list(edges)


def _end(name: str, value: Value) -> _Box:
    return _Box("i", (("", _cut(name)), ("s", _cut(shape_text(value)))), f"{name} {shape_text(value)}")


def _box(graph: Graph, definition: Definition, items: Sequence[Item], costs: dict[str, Cost]) -> _Box:
    item, small = items[0], shape_text(*items[-1].outputs[:2])
    if len(items) > 1:
        names = names_of(items)
        return _Box("g", (("", f"{len(items)} nodes"), ("s", _cut(names)), ("s", _cut(small))), names)
    weights = {f"@{p.path}" for p in definition.parameters}
    path, kind = path_of(item), class_of(graph, item)
    if isinstance(item, Call):  # the heading under which it is drawn itself
        kind = item.definition + kind[len(graph.definitions[item.definition].kind) :]
    title = f"{path}  {kind}  {small}".strip()
    if isinstance(item, Call):
        count = amount(costs[item.definition].parameters * len(set(item.paths)))
        if count:
            small = f"{small} · {count} parameters"
        kind_of_box = "b"
    else:
        kind_of_box = "w" if any(argument.source in weights for argument in item.arguments) else "n"
    words = [("", _cut(path)), ("k", _cut(kind))] if path else [("", _cut(kind))]
    stacked = isinstance(item, Call) and item.count > 1
    return _Box(kind_of_box, (*words, ("s", _cut(small, 48))), title, stacked)


def _shelves(plans: Sequence[Plan]) -> tuple[list[tuple[int, int]], int, int]:
    """Where each drawing stands: side by side, on as many shelves as it takes; and the size of all."""
    places: list[tuple[int, int]] = []
    x, y, shelf, wide = _EDGE, _EDGE, 0, 0
    for made in plans:
        if x > _EDGE and x + made.width > _SHELF:
            x, y, shelf = _EDGE, y + shelf + 2 * _EDGE, 0
        places.append((x, y + _TITLE))
        shelf = max(shelf, made.height + _TITLE)
        x += max(made.width, 160) + 3 * _EDGE
        wide = max(wide, x - 2 * _EDGE)
    return places, wide, y + shelf + _EDGE


def _line(points: Sequence[tuple[int, int]]) -> str:
    (x, y), *rest = points
    way = [f"M{x},{y}"]
    for number, (u, v) in enumerate(rest):
        if number % 2:  # through a layer
            way.append(f"L{u},{v}")
        else:
            bend = (v - y) // 2
            way.append(f"C{x},{y + bend} {u},{v - bend} {u},{v}")
        x, y = u, v
    return f'<path d="{"".join(way)}" marker-end="url(#a)"/>'


def _drawn(box: _Box, corner: tuple[int, int]) -> str:
    (x, y), (wide, high) = corner, box.size
    behind = f'<rect x="{x + 4}" y="{y - 4}" width="{wide}" height="{high}"/>' if box.stacked else ""
    words = "".join(
        f'<text class="{style}" x="{x + wide // 2}" y="{y + _LINE * (number + 1)}">{_safe(text)}</text>'
        for number, (style, text) in enumerate(box.lines)
    )
    front = f'<rect x="{x}" y="{y}" width="{wide}" height="{high}"/>'
    return f'<g class="{box.kind}"><title>{_safe(box.title)}</title>{behind}{front}{words}</g>'


def _cut(text: str, most: int = _MOST_LETTERS) -> str:
    """Short enough for a box; how often a block is repeated stays."""
    if len(text) <= most:
        return text
    found = re.search(r"( x[\d,]+)(?: \S+=\S+| …)*$", text)
    if found and found.end(1) < most:
        return text[: found.end(1)] + "…"
    times = found[1] if found else ""
    return text[: most - 1 - len(times)] + "…" + times


def _safe(text: str) -> str:
    """Text for XML: escaped, and without what no XML may hold."""
    return escape(_NO_XML.sub("\ufffd", plain(text)))
