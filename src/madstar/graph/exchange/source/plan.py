"""Which blocks become classes, which functions, and what each class holds at which path.

A block is a class where it stands at a path of its own. Groups of items that are no module, a block that is
called at the path of its caller, and a second block at a path that has one already, become functions that
are given the modules they take their weights from.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from ...model import Call, Definition, Graph, Node, Parameter
from ...paths import join
from ...soundness import ordered_definitions
from ...unfolding import is_sequence
from ...walk import blocks
from .leaves import Leaf, leaf

Host = tuple[int, str]
"""A module within a block: which of those the block is given, and the path from it."""


@dataclass
class Tree:
    """What stands below a class's own module: by path blocks, modules of torch.nn, weights.

    What is in `inner` is made by a class or module further up.
    """

    blocks: dict[str, str] = field(default_factory=dict)
    leaves: dict[str, Leaf] = field(default_factory=dict)
    weights: dict[str, Parameter] = field(default_factory=dict)
    owners: dict[str, tuple[str, str]] = field(default_factory=dict)
    inner: set[str] = field(default_factory=set)
    order: dict[str, None] = field(default_factory=dict)

    def modules(self) -> dict[str, None]:
        """All paths of modules, those above first."""
        found: dict[str, None] = {}
        for path in self._used():
            steps = path.split(".")
            for count in range(1, len(steps) + 1):
                if above := ".".join(steps[:count]):
                    found[above] = None
        return found

    def _used(self) -> list[str]:
        """Paths of blocks, leaves and of what holds weights, as near to the order of use as it is known."""
        return [*self.order, *self.blocks, *self.leaves, *(p.rpartition(".")[0] for p in self.weights)]

    def lists(self) -> dict[str, int]:
        """Modules that hold nothing but modules numbered from 0, and how many."""
        below: dict[str, list[str]] = {}
        for path in self.modules():
            above, _, name = path.rpartition(".")
            below.setdefault(above, []).append(name)
        for path in self.weights:
            above, _, name = path.rpartition(".")
            below.setdefault(above, []).append(f"={name}")
        found = {}
        for path, names in below.items():
            plain = path and path not in self.blocks and path not in self.leaves
            if plain and sorted(names) == sorted(map(str, range(len(names)))):
                found[path] = len(names)
        return found


class Plan:
    """The roles of a graph's blocks, and the trees of those that are classes."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.order = ordered_definitions(graph)
        self.functions: set[str] = {
            name for name, block in graph.definitions.items() if name != graph.root and is_sequence(block)
        }
        self.hosts: dict[str, int] = dict.fromkeys(self.order, 1)
        self.at: dict[str, list[str]] = {}
        for base, definition in blocks(graph):
            self.at.setdefault(definition.name, []).append(base)
            self.hosts[definition.name] = max(self.hosts[definition.name], base.count("|") + 1)
        for definition in graph.definitions.values():
            for call in _calls(definition):
                if any(not path or "|" in path for path in call.paths):
                    self.functions.add(call.definition)
        self.leaves: dict[str, dict[str, Leaf]] = {n: _leaves(d) for n, d in graph.definitions.items()}
        self.trees: dict[str, Tree] = {}
        while not self._plant():
            self.trees = {}

    def places(self, path: str, count: int = 1) -> list[Host]:
        """The modules that a path within a block means; all that the block is given for an empty one."""
        if not path:
            return [(number, "") for number in range(count)]
        return [_host(part) for part in path.split("|")]

    def _plant(self) -> bool:
        """Make the trees; False where a block or leaf had to take another role first."""
        changed = False
        for name in self.order:
            if name in self.functions:
                continue
            tree = Tree()
            for path, block, below in self._held(name, ""):
                changed |= self._take(tree, path, block, below)
            if not changed:
                tree.order = dict.fromkeys(self._order(tree, name, ""))
            if changed:
                return False
            self._check_leaves(tree)
            if self.rejected:
                return False
            self.trees[name] = tree
        return True

    rejected = False

    def _order(self, tree: Tree, name: str, base: str) -> Iterator[str]:
        """The modules in the order in which a class uses them."""
        for item in self.graph.definitions[name].items:
            if isinstance(item, Call):
                for path in dict.fromkeys(item.paths):
                    full = join(base, path)
                    if full in tree.blocks:
                        yield full
                    if item.definition in self.functions:
                        yield from self._order(tree, item.definition, full)
            elif item.path and (full := join(base, item.path)) in tree.leaves:
                yield full

    def _held(self, name: str, base: str) -> Iterator[tuple[str, Definition, str]]:
        """(path, block, what): of a class and the functions it calls what stands at which path."""
        definition = self.graph.definitions[name]
        yield base, definition, ""
        for call in _calls(definition):
            for path in dict.fromkeys(call.paths):
                full = join(base, path)
                if call.definition in self.functions:
                    yield from self._held(call.definition, full)
                else:
                    yield full, definition, call.definition

    def _take(self, tree: Tree, base: str, block: Definition, below: str) -> bool:
        if not below:
            for path, found in self.leaves[block.name].items():
                full = join(base, path)
                tree.leaves.setdefault(full, found)
                tree.owners[full] = (block.name, path)
                if tree.leaves[full] != found or full in tree.blocks:
                    del self.leaves[block.name][path]
                    return True
            for parameter in block.parameters:
                tree.weights.setdefault(join(base, parameter.path), parameter)
            return False
        if "|" in base or not base or base in tree.leaves:
            self.functions.add(below)
            return True
        if tree.blocks.setdefault(base, below) != below:
            self.functions.add(below)
            return True
        inside = self.trees[below]
        tree.inner.update(join(base, path) for path in inside.modules())
        for path, name in inside.blocks.items():
            full = join(base, path)
            if tree.blocks.setdefault(full, name) != name:
                self.functions.add(name if name != self.graph.root else below)
                self.functions.add(tree.blocks[full])
                return True
            tree.inner.add(full)
        for path, found in inside.leaves.items():
            full = join(base, path)
            if tree.leaves.setdefault(full, found) != found:
                owner, own = tree.owners.get(full, ("", ""))
                if owner:
                    self.leaves[owner].pop(own, None)
                else:
                    self.functions.add(below)
                return True
            tree.inner.add(full)
        for path, parameter in inside.weights.items():
            full = join(base, path)
            tree.weights.setdefault(full, parameter)
            tree.inner.add(full)
        return False

    def _check_leaves(self, tree: Tree) -> None:
        """A module of torch.nn has its own weights and nothing else."""
        self.rejected = False
        below: dict[str, set[str]] = {path: set() for path in tree.leaves}
        for path in (*tree.weights, *tree.leaves, *tree.blocks):
            steps = path.split(".")
            for count in range(1, len(steps)):
                above = ".".join(steps[:count])
                if above in below:
                    below[above].add(".".join(steps[count:]))
        for path, names in below.items():
            if (names != set(tree.leaves[path].weights) or path in tree.blocks) and path in tree.owners:
                block, own = tree.owners[path]
                if self.leaves[block].pop(own, None) is not None:
                    self.rejected = True


def _calls(definition: Definition) -> Iterator[Call]:
    return (item for item in definition.items if isinstance(item, Call))


def _host(part: str) -> Host:
    if part.startswith("$"):
        number, _, rest = part[1:].partition(".")
        if number.isdecimal():
            return int(number), rest
    return 0, part


def _leaves(definition: Definition) -> dict[str, Leaf]:
    """The nodes of a block that are modules of torch.nn; every node at the path must be the same."""
    parameters = {parameter.path: parameter for parameter in definition.parameters}
    types = {f"%{value.name}": value for value in definition.inputs}
    for item in definition.items:
        types |= {f"%{value.name}": value for value in item.outputs}
        if isinstance(item, Call):
            types |= {f"%{n}": item.outputs[place] for place, names in item.gathered for n in names}
    found: dict[str, Leaf] = {}
    refused: set[str] = set()
    for item in definition.items:
        if not isinstance(item, Node) or not item.path:
            continue
        made = leaf(item, parameters, types) if "|" not in item.path else None
        if (
            made is None
            or found.setdefault(item.path, made) != made
            or (not made.weights and item.path in {p.path.rpartition(".")[0] for p in definition.parameters})
        ):
            refused.add(item.path)
    return {path: made for path, made in found.items() if path not in refused and _usable(path)}


def _usable(path: str) -> bool:
    """A path that begins with "$0" alone is the module that a function is given."""
    return not (path.startswith("$") and "." not in path)
