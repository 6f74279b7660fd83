"""A graph as text for Graphviz: blocks as nested clusters, folded ones once, with their count."""

from __future__ import annotations

from .model import Call, Definition, Graph
from .tree import gathered, label_of, names_of, plain, shape_text
from .wiring import given, positions, sources


def to_dot(graph: Graph, depth: int | None = None) -> str:
    """Text in the DOT language. Blocks deeper than `depth` are boxes; None opens all of them.

    Nodes in a row that cost nothing are one box.
    """
    writer = _Writer(graph, depth)
    known = {}
    for value, name in zip(graph.main.inputs, graph.input_names, strict=True):
        known[f"%{value.name}"] = writer.box(f"{name}\n{shape_text(value)}", "shape=oval", 1)
    ends = writer.block(graph.main, known, 1)
    for name, source in zip(graph.output_names, ends, strict=True):
        end = writer.box(name, "shape=oval", 1)
        if source:
            writer.edges.append(f"  {source} -> {end};")
    head = f'digraph {_quoted(graph.name)} {{\n  node [shape=box, fontname="sans-serif", fontsize=10];'
    return "\n".join([head, *writer.lines, *writer.edges, "}"]) + "\n"


class _Writer:
    def __init__(self, graph: Graph, depth: int | None) -> None:
        self.graph, self.depth = graph, depth
        self.lines: list[str] = []
        self.edges: list[str] = []
        self.count = 0

    def box(self, label: str, style: str, indent: int) -> str:
        self.count += 1
        name = f"n{self.count}"
        self.lines.append(f"{'  ' * indent}{name} [label={_quoted(label)}{', ' + style if style else ''}];")
        return name

    def block(self, definition: Definition, known: dict[str, str], level: int) -> list[str]:
        """Write the items of a block; gives the box of each of its outputs ("" for a weight)."""
        known = dict(known)
        for items in gathered(definition):
            item = items[0]
            taken = [known.get(source, "") for part in items for source in sources(part)]
            if len(items) > 1:
                names = f"{len(items)} nodes\n{names_of(items)}\n{shape_text(*items[-1].outputs[:1])}"
                box = self.box(names, 'style="dashed"', level)
                self.edges += [f"  {source} -> {box};" for source in dict.fromkeys(taken) if source]
                known |= {f"%{value.name}": box for part in items for value in given(part)}
                continue
            if isinstance(item, Call) and (self.depth is None or level <= self.depth):
                inside = self.graph.definitions[item.definition]
                boxes = self._cluster(item, inside, taken, level)
            else:
                label = label_of(self.graph, item)
                style = 'style="filled", fillcolor="#e8eef7"' if isinstance(item, Call) else ""
                box = self.box(f"{label}\n{shape_text(*item.outputs[:1])}", style, level)
                self.edges += [f"  {source} -> {box};" for source in dict.fromkeys(taken) if source]
                boxes = [box] * len(item.outputs)
            made = [boxes[place] for place in positions(item)]
            known |= {f"%{value.name}": box for value, box in zip(given(item), made, strict=True)}
        return [known.get(source, "") for source in definition.outputs]

    def _cluster(self, call: Call, inside: Definition, taken: list[str], level: int) -> list[str]:
        self.count += 1
        indent = "  " * level
        self.lines.append(f"{indent}subgraph cluster{self.count} {{")
        self.lines.append(f"{indent}  label={_quoted(label_of(self.graph, call))};")
        taken, more = taken[: len(call.arguments)], taken[len(call.arguments) :]
        for place, _ in call.own:  # what is another in each turn comes in by a box of its own
            each = [taken[place], *more[: call.count - 1]]
            more = more[call.count - 1 :]
            taken[place] = self.box(inside.inputs[place].name, "shape=oval", level + 1)
            self.edges += [f"  {source} -> {taken[place]};" for source in dict.fromkeys(each) if source]
        known = {f"%{v.name}": box for v, box in zip(inside.inputs, taken, strict=True)}
        boxes = self.block(inside, known, level + 1)
        self.lines.append(f"{indent}}}")
        for output, argument in call.carried:
            users = boxes[output], taken[argument]
            if all(users) and users[0] != users[1]:
                self.edges.append(f'  {users[0]} -> {users[0]} [label="x{call.count}", style=dashed];')
        return boxes


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "\\n".join(plain(line) for line in escaped.split("\n")) + '"'
