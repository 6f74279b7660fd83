"""Which items and weights of a graph an edit means: sites, found by patterns of paths.

`PATTERN` fits full paths of modules (see `patterns`). `BLOCK%NAME` are items of the blocks that fit BLOCK, by
their own name, for what is no module: "layers[*].self_attn%scaled_dot*". Either may end in `:OP`, which keeps
those of this operation, for a call of this class of block: "**:linear", "layers[0].*:LlamaMLP". Behind a
pattern without `%`, `:OP` also fits what is no module, by the path of its block: "layers[0]:add".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ...errors import EditError
from ..model import Call, Graph, Item, Parameter
from ..paths import join
from ..soundness import unfolded_sizes
from ..walk import parameters
from .patterns import Branch, form, matched, nearest

MAX_SITES = 1_000_000
"""Nodes of a graph that can be edited, each use counted."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One use of a block in an unfolded graph: the names of the calls that lead to it, and its full path."""

    chain: tuple[str, ...]
    path: str
    definition: str


@dataclass(frozen=True, slots=True)
class Site:
    """An item in one use of its block. `path` is that of the module that it is, or "BLOCK%NAME"."""

    instance: Instance
    item: Item
    path: str

    @property
    def key(self) -> tuple[tuple[str, ...], str]:
        """What tells it from all others of its graph: the way to its block, and its name there."""
        return self.instance.chain, self.item.name


class Places:
    """The sites of an unfolded graph, in a tree of their paths."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        if (size := unfolded_sizes(graph)[graph.root]) > MAX_SITES:
            raise EditError(f"{graph.name!r} has {size:,} nodes; graphs of up to {MAX_SITES:,} are edited")
        self.root = Branch("")
        self._order: dict[tuple[tuple[str, ...], str], int] = {}
        self._add(Instance((), "", graph.root), self.root)
        self._stack: str | None = None

    def _add(self, instance: Instance, branch: Branch) -> None:
        branch.held.append(instance)
        for item in self.graph.definitions[instance.definition].items:
            self._order[instance.chain, item.name] = len(self._order)
            module = module_path(instance.path, item)
            if module is None:
                continue
            place = self.root.at(module)
            place.held.append(Site(instance, item, module))
            if isinstance(item, Call):
                self._add(Instance((*instance.chain, item.name), module, item.definition), place)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def stack(self) -> str | None:
        """The path of the main stack of blocks: of those with numbered blocks, that with the most items."""
        if self._stack is None:
            sizes: dict[str, int] = {}
            for branch in reversed(list(self.root.all())):
                own = sum(1 for held in branch.held if isinstance(held, Site))
                own += sum(self._plain(held) for held in branch.held if isinstance(held, Instance))
                sizes[branch.path] = own + sum(sizes[child.path] for child in branch.children.values())
            best = 0
            for branch in self.root.all():
                blocks = [branch.children[name] for name in branch.numbered()]
                if any(isinstance(held, Instance) for below in blocks for held in below.held):
                    size = sum(sizes[below.path] for below in blocks)
                    if size > best:
                        self._stack, best = branch.path, size
        return self._stack

    def _plain(self, instance: Instance) -> int:
        items = self.graph.definitions[instance.definition].items
        return sum(module_path("", item) is None for item in items)

    def select(self, pattern: str) -> list[Site]:
        """All sites that fit, in the order of computation. Raises EditError for none, with nearest paths."""
        where, colon, wanted = split(pattern)
        block, percent, name = where.partition("%")
        found = self._named(block, name) if percent else self._modules(where, bool(colon))
        if colon:
            fits = form(wanted).fullmatch
            found = (site for site in found if fits(self._kind(site.item)))
        sites = self.ordered({site.key: site for site in found}.values())
        if not sites:
            raise EditError(f"nothing in {self.graph.name!r} fits {pattern!r}{self._nearest(pattern)}")
        return sites

    def ordered(self, sites: Iterable[Site]) -> list[Site]:
        """Sites in the order of computation."""
        return sorted(sites, key=lambda site: self._order[site.key])

    def _modules(self, pattern: str, plain: bool) -> Iterator[Site]:
        for branch in matched(self.root, pattern, self.stack):
            for held in branch.held:
                if isinstance(held, Site):
                    yield held
                elif plain:
                    yield from (site for site in self.inside(held) if "%" in site.path)

    def _named(self, pattern: str, name: str) -> Iterator[Site]:
        fits = form(name).fullmatch
        for branch in matched(self.root, pattern, self.stack):
            for held in branch.held:
                if isinstance(held, Instance):
                    yield from (site for site in self.inside(held) if fits(site.item.name))

    def inside(self, instance: Instance) -> Iterator[Site]:
        """The items of one use of a block."""
        for item in self.graph.definitions[instance.definition].items:
            module = module_path(instance.path, item)
            yield Site(instance, item, f"{instance.path}%{item.name}" if module is None else module)

    def _kind(self, item: Item) -> str:
        return self.graph.definitions[item.definition].kind if isinstance(item, Call) else item.op

    def _nearest(self, pattern: str) -> str:
        where, colon, _ = split(pattern)
        block, percent, name = where.partition("%")
        if percent or colon:
            held = [h for branch in matched(self.root, block, self.stack) for h in branch.held]
            inside = [site for h in held if isinstance(h, Instance) for site in self.inside(h)]
            inside += [h for h in held if isinstance(h, Site) and not percent]
            if percent and inside:
                known = sorted({site.item.name for site in inside})
                return nearest(name, known).replace("nearest:", "nearest names there:")
            if inside:
                return "; operations there: " + ", ".join(sorted({self._kind(s.item) for s in inside})[:12])
        return nearest(block, (branch.path for branch in self.root.all() if branch.path))


def split(pattern: str) -> tuple[str, str, str]:
    """A pattern in front of its `:OP`, the colon if there is one, and OP; not at colons in brackets."""
    depth = 0
    for place, letter in enumerate(pattern):
        depth += (letter == "[") - (letter == "]")
        if letter == ":" and depth <= 0:
            return pattern[:place], ":", pattern[place + 1 :]
    return pattern, "", ""


def module_path(block: str, item: Item) -> str | None:
    """The full path of the module that an item is; None where it is none."""
    if isinstance(item, Call):
        return join(block, item.paths[0])
    return join(block, item.path) if item.path else None


def instances(graph: Graph) -> Iterator[Instance]:
    """Each use of each block of an unfolded graph, in the order of computation."""
    stack = [Instance((), "", graph.root)]
    while stack:
        instance = stack.pop()
        yield instance
        for item in reversed(graph.definitions[instance.definition].items):
            if isinstance(item, Call):
                path = join(instance.path, item.paths[0])
                stack.append(Instance((*instance.chain, item.name), path, item.definition))


def select_parameters(graph: Graph, pattern: str, stack: str | None = None) -> Mapping[str, Parameter]:
    """The weights and buffers whose full paths fit a pattern, by path. Raises EditError for none."""
    root = Branch("")
    found = parameters(graph)
    for path, parameter in found.items():
        root.at(path).held.append((path, parameter))
    fitting = dict(held for branch in matched(root, pattern, stack) for held in branch.held)
    if not fitting:
        raise EditError(f"no parameter of {graph.name!r} fits {pattern!r}{nearest(pattern, found)}")
    return fitting
