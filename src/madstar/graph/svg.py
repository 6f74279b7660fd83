"""One level of a graph as a drawing: items in layers from top to bottom, folded blocks as boxes with counts.

The layout is made here: an item stands below all that it needs, and within its layer near what it takes.
One level at a time keeps the drawing of a model of any depth small.
"""

from __future__ import annotations

from html import escape

from ..errors import GraphError
from .model import Call, Definition, Graph
from .soundness import sources
from .tree import label_of, shape_text

_WIDE, _HIGH, _GAP_X, _GAP_Y, _EDGE = 190, 38, 24, 34, 20
_MOST = 3000
_STYLE = (
    "text{font:11px sans-serif;text-anchor:middle;fill:#222}.s{fill:#777;font-size:9px}"
    "rect{fill:#fff;stroke:#888;rx:5}.b rect{fill:#e8eef7;stroke:#4a6fa5}.i rect{fill:#f3f3f3;rx:18}"
    "path{fill:none;stroke:#999}"
)


def to_svg(graph: Graph, block: str = "") -> str:
    """The drawing of the whole, or of the block with that definition's name, as SVG.

    Raises GraphError for an unknown block, and for one of more than 3,000 items.
    """
    definition = graph.definitions.get(block or graph.root)
    if definition is None:
        raise GraphError(f"there is no block {block!r}; blocks are {', '.join(list(graph.definitions)[:8])}")
    if len(definition.items) > _MOST:
        raise GraphError(
            f"block {definition.name!r} has {len(definition.items):,} items; draw a folded graph"
        )
    boxes, edges = _boxes(graph, definition)
    places = _places(boxes, edges)
    wide = max(x for x, _ in places) + _WIDE + _EDGE
    high = max(y for _, y in places) + _HIGH + _EDGE
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" '
        f'width="{wide}" height="{high}">',
        f"<title>{escape(definition.kind)}</title><style>{_STYLE}</style>",
    ]
    for start, end in edges:
        (x, y), (u, v) = places[start], places[end]
        x, y, u = x + _WIDE // 2, y + _HIGH, u + _WIDE // 2
        bend = max(16, (v - y) // 2)
        lines.append(f'<path d="M{x},{y}C{x},{y + bend} {u},{v - bend} {u},{v}"/>')
    for (kind, label, small), (x, y) in zip(boxes, places, strict=True):
        lines.append(
            f'<g class="{kind}"><title>{escape(label)} {escape(small)}</title>'
            f'<rect x="{x}" y="{y}" width="{_WIDE}" height="{_HIGH}"/>'
            f'<text x="{x + _WIDE // 2}" y="{y + 16}">{escape(_cut(label, 30))}</text>'
            f'<text class="s" x="{x + _WIDE // 2}" y="{y + 30}">{escape(_cut(small, 38))}</text></g>'
        )
    return "\n".join([*lines, "</svg>"]) + "\n"


def _boxes(graph: Graph, definition: Definition) -> tuple[list[tuple[str, str, str]], list[tuple[int, int]]]:
    """Class, label and small print of each box; and which is drawn to which."""
    boxes = [("i", value.name, shape_text(value)) for value in definition.inputs]
    made = {f"%{value.name}": i for i, value in enumerate(definition.inputs)}
    edges: list[tuple[int, int]] = []
    for item in definition.items:
        here = len(boxes)
        small = shape_text(*item.outputs[:1])
        boxes.append(("b" if isinstance(item, Call) else "n", label_of(graph, item), small))
        edges += [(made[s], here) for s in dict.fromkeys(sources(item)) if s in made]
        made |= {f"%{value.name}": here for value in item.outputs}
    for number, source in enumerate(definition.outputs):
        if source in made:
            edges.append((made[source], len(boxes)))
            boxes.append(("i", f"output {number}" if len(definition.outputs) > 1 else "output", ""))
    return boxes, list(dict.fromkeys(edges))


def _places(boxes: list[tuple[str, str, str]], edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    before: list[list[int]] = [[] for _ in boxes]
    after: list[list[int]] = [[] for _ in boxes]
    for start, end in edges:
        before[end].append(start)
        after[start].append(end)
    layer = [0] * len(boxes)
    for box in range(len(boxes)):  # boxes are in the order of computation
        layer[box] = max((layer[start] + 1 for start in before[box]), default=0)
    for box in range(len(boxes)):  # inputs stand just above what takes them first
        if not before[box] and after[box]:
            layer[box] = max(0, min(layer[end] for end in after[box]) - 1)
    rows: dict[int, list[int]] = {}
    for box, row in enumerate(layer):
        rows.setdefault(row, []).append(box)
    middle: dict[int, float] = {}
    for row in sorted(rows):
        wanted = {b: _mean([middle[s] for s in before[b] if s in middle]) for b in rows[row]}
        rows[row].sort(key=lambda b: (wanted[b], b))
        for number, box in enumerate(rows[row]):
            middle[box] = number - (len(rows[row]) - 1) / 2
    left = -min(middle.values(), default=0)
    return [
        (
            _EDGE + round((middle[box] + left) * (_WIDE + _GAP_X)),
            _EDGE + layer[box] * (_HIGH + _GAP_Y),
        )
        for box in range(len(boxes))
    ] or [(0, 0)]


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.0


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
