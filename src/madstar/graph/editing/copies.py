"""An edit of some uses of blocks: only the definitions on the way to them are copied, all others are shared.

The graph is an unfolded one. Uses of one definition in which the same is edited share the copy, so that an
edit of eighty equal layers is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count

from ..model import Call, Definition, Graph
from ..paths import join
from ..walk import blocks
from .drafts import Draft
from .select import Site

Edit = Callable[[Draft, Sequence[str]], None]
"""What is done to a block: a draft, and the names of its items that were selected, in order."""

Chain = tuple[str, ...]
"""The names of the calls that lead to a use of a block."""


@dataclass(frozen=True)
class Copied:
    """A graph whose blocks were edited; its stated types may be wrong.

    `copies` are the definitions made by the edit, by name, with what each was before; those that were put in
    are not among them.
    """

    graph: Graph
    copies: Mapping[str, Definition]


@dataclass(eq=False)
class _Way:
    """What is edited in one use of a block: items of its own, and what is within its calls."""

    own: tuple[str, ...] = ()
    within: dict[str, _Way] = field(default_factory=dict)
    key: int = 0


def edit_copies(graph: Graph, sites: Iterable[Site], edit: Edit) -> Copied:
    """The graph with an edit made in the blocks of the sites.

    A module that is used under one path in several blocks is edited in each of these uses that is selected.
    """
    chosen: dict[Chain, dict[str, None]] = {}
    for site in sites:
        chosen.setdefault(site.instance.chain, {}).setdefault(site.item.name)
    return edit_blocks(graph, {chain: tuple(names) for chain, names in chosen.items()}, edit)


def edit_blocks(graph: Graph, chosen: Mapping[Chain, tuple[str, ...]], edit: Edit) -> Copied:
    """The graph with an edit made in the uses of blocks that are named by chains.

    The edit is given the words that stand there; where they are the same in uses of one definition it is made
    once.
    """
    root = _Way()
    for chain, words in chosen.items():
        way = root
        for name in chain:
            way = way.within.setdefault(name, _Way())
        way.own = words
    return _Copier(graph, root, edit).copied()


class _Copier:
    def __init__(self, graph: Graph, root: _Way, edit: Edit) -> None:
        self.graph, self.root, self.edit = graph, root, edit
        self.table: dict[str, Definition] = dict(graph.definitions)
        self.copies: dict[str, Definition] = {}
        self.tied: list[tuple[str, ...]] = []
        self._done: dict[tuple[str, int], str] = {}
        self._paths: dict[tuple[str, int], list[str]] = {}
        self._numbers: dict[object, int] = {}
        self._used: set[str] = set()

    def copied(self) -> Copied:
        self._number(self.root)
        self._used = _prefixes(self.graph)
        self._group(self.graph.root, self.root, "")
        root = self._copy(self.graph.root, self.root)
        graph = replace(self.graph, root=root, definitions=_needed(self.table, root))
        copies = {name: old for name, old in self.copies.items() if name in graph.definitions}
        return Copied(replace(graph, tied=graph.tied + tuple(self.tied)), copies)

    def _number(self, way: _Way) -> int:
        """Ways with the same edits have the same number."""
        inner = tuple((name, self._number(below)) for name, below in sorted(way.within.items()))
        way.key = self._numbers.setdefault((way.own, inner), len(self._numbers))
        return way.key

    def _group(self, name: str, way: _Way, path: str) -> None:
        self._paths.setdefault((name, way.key), []).append(path)
        for item in self.graph.definitions[name].items:
            if isinstance(item, Call) and item.name in way.within:
                self._group(item.definition, way.within[item.name], join(path, item.paths[0]))

    def _copy(self, name: str, way: _Way) -> str:
        done = self._done.get((name, way.key))
        if done is not None:
            return done
        old = self.graph.definitions[name]
        items = tuple(
            replace(item, definition=self._copy(item.definition, way.within[item.name]))
            if isinstance(item, Call) and item.name in way.within
            else item
            for item in old.items
        )
        new = replace(old, items=items)
        if way.own:
            paths = self._paths[name, way.key]
            draft = Draft(
                new, self.table, paths, lambda path: any(join(p, path) in self._used for p in paths)
            )
            self.edit(draft, way.own)
            self.table |= draft.added
            new = draft.finish(name)
            self.tied += [tuple(join(p, each) for each in group) for p in paths for group in draft.tied]
        # Only now: what the edit has put in has names of its own, which may look like those of copies.
        copy = next(n for number in count(2) if (n := f"{name}_{number}") not in self.table)
        self.table[copy] = replace(new, name=copy)
        self.copies[copy] = old
        self._done[name, way.key] = copy
        return copy


def _prefixes(graph: Graph) -> set[str]:
    """All full paths of blocks, modules and weights, and those that they are within."""
    found: set[str] = set()
    for path, definition in blocks(graph):
        own = [p.path for p in definition.parameters]
        own += [item.path for item in definition.items if not isinstance(item, Call) and item.path]
        for full in (path, *(join(path, each) for each in own)):
            while full and full not in found:
                found.add(full)
                full = full.rpartition(".")[0]
    return found


def _needed(table: Mapping[str, Definition], root: str) -> dict[str, Definition]:
    """The definitions that the root needs, each before those that it calls first."""
    found: dict[str, Definition] = {}
    stack = [root]
    while stack:
        name = stack.pop()
        if name not in found:
            found[name] = table[name]
            stack += [i.definition for i in reversed(table[name].items) if isinstance(i, Call)]
    return found
