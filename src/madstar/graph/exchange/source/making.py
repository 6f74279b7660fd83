"""The `__init__` of a class: its modules and weights from its tree, in the order in which they are used."""

from __future__ import annotations

from collections.abc import Mapping

from ...buffers import not_saved
from ...model import Graph, Parameter
from ...paths import join
from .access import placed, reach, weight
from .names import is_attribute, quoted
from .plan import Plan, Tree
from .weights import drawn, held, redrawn


class Maker:
    """Writes what makes the modules below one class."""

    def __init__(self, plan: Plan, name: str, classes: Mapping[str, str]) -> None:
        self.plan, self.name, self.classes = plan, name, classes
        self.graph: Graph = plan.graph
        self.tree: Tree = plan.trees[name]
        self.lists = self.tree.lists()
        self.bases = plan.at.get(name, [])
        self.unsaved = not_saved(self.graph)
        self.below: dict[str, list[str]] = {}
        for path in self.tree.modules():
            above, _, step = path.rpartition(".")
            self.below.setdefault(above, []).append(step)
        self.shapes = {path: p.shape for path, p in self.tree.weights.items()}
        self.lines: list[str] = []

    def body(self) -> list[str]:
        """Statements, without indentation."""
        self._fill("", "self")
        return self.lines

    def _fill(self, path: str, expression: str) -> None:
        """What stands below a module."""
        for full, parameter in self.tree.weights.items():
            if (
                full.rpartition(".")[0] == path
                and full not in self.tree.inner
                and path not in self.tree.leaves
            ):
                self._weight(full, parameter, expression)
        for step in self._steps(path):
            full = f"{path}.{step}" if path else step
            inside = f"{expression}[{step}]" if path in self.lists else reach(expression, step)
            if path in self.lists:
                pass  # made with the list
            elif full not in self.tree.inner:
                self._make(full, step, expression)
            self._fill(full, inside)
            if full in self.tree.leaves and full not in self.tree.inner:
                self._redraw(full, inside)

    def _steps(self, path: str) -> list[str]:
        steps = self.below.get(path, [])
        return sorted(steps, key=int) if path in self.lists else steps

    def _make(self, full: str, step: str, expression: str) -> None:
        self.lines.append(placed(expression, step, self._text(full)))

    def _text(self, full: str) -> str:
        if full in self.tree.blocks:
            return f"{self.classes[self.tree.blocks[full]]}()"
        if full in self.tree.leaves:
            return self.tree.leaves[full].text
        if full in self.lists:
            return self._listed(full)
        return "nn.Module()"

    def _listed(self, full: str) -> str:
        texts = [self._text(f"{full}.{number}") for number in range(self.lists[full])]
        if len(texts) > 1 and len(set(texts)) == 1:
            return f"nn.ModuleList([{texts[0]} for _ in range({len(texts)})])"
        return f"nn.ModuleList([{', '.join(texts)}])"

    def _redraw(self, path: str, expression: str) -> None:
        leaf = self.tree.leaves[path]
        for name in leaf.weights:
            parameter = self.tree.weights[f"{path}.{name}"]
            if parameter.trained and (line := redrawn(f"{expression}.{name}", parameter, leaf.kind)):
                self.lines.append(line)

    def _weight(self, full: str, parameter: Parameter, owner: str) -> None:
        name = full.rpartition(".")[2]
        if parameter.trained:
            shapes = dict(self.shapes)
            made = drawn(parameter, {p.rpartition(".")[2]: s for p, s in shapes.items()} | shapes)
            floating = parameter.dtype.startswith(("float", "bfloat", "complex"))
            text = f"nn.Parameter({made}{'' if floating else ', requires_grad=False'})"
            if is_attribute(name):
                self.lines.append(f"{owner}.{name} = {text}")
            else:
                self.lines.append(f"{owner}._parameters[{quoted(name)}] = {text}")
            return
        paths = [join(base, full) for base in self.bases]
        text, known = held(self.graph, paths, parameter)
        unsaved = bool(paths) and all(path in self.unsaved for path in paths)
        note = "" if known else "  # comes with the weights"
        if is_attribute(name):
            more = ", persistent=False" if unsaved else ""
            self.lines.append(f"{owner}.register_buffer({quoted(name)}, {text}{more}){note}")
            return
        self.lines.append(f"{owner}._buffers[{quoted(name)}] = {text}{note}")
        if unsaved:
            self.lines.append(f"{owner}._non_persistent_buffers_set.add({quoted(name)})")


def ties(plan: Plan) -> list[str]:
    """What makes tied weights one tensor, for the `__init__` of the whole."""
    tree = plan.trees[plan.graph.root]
    lists, lines = tree.lists(), []
    for group in plan.graph.tied:
        there = [path for path in group if path in tree.weights]
        for path in there[1:]:
            first, second = (_reached(tree, lists, each) for each in (there[0], path))
            lines.append(f"{second} = {first}")
    return lines


def _reached(tree: Tree, lists: Mapping[str, int], path: str) -> str:
    owner, _, name = path.rpartition(".")
    return weight(reach("self", owner, lists), name, tree.weights[path].trained)
