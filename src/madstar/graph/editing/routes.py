"""Values led from one block into others: out through the blocks around it, in through those on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ...errors import EditError
from ..inference import Type
from ..model import Call, Graph, Node, Value
from .copies import Chain, Copied, edit_blocks
from .drafts import Draft, filled, types_in
from .following import sources


@dataclass(frozen=True)
class End:
    """One end of a route, in one use of a block: items there with the slots that are meant."""

    chain: Chain
    definition: str
    taken: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Route:
    """What nodes take from others: the targets take what the source takes, in the same order."""

    source: End
    targets: tuple[End, ...]


@dataclass
class _Block:
    """What one use of a block has to do, each route by its number."""

    give: dict[int, str] = field(default_factory=dict)  # "own SLOTS", or "call NAME" of the call that has it
    export: dict[int, None] = field(default_factory=dict)
    take: dict[int, None] = field(default_factory=dict)
    feed: dict[tuple[str, int], None] = field(default_factory=dict)
    use: dict[int, str] = field(default_factory=dict)


def routed(graph: Graph, routes: Sequence[Route]) -> Copied:
    """The graph with values led as the routes say, typed only where they pass. Raises EditError."""
    plans: dict[Chain, _Block] = {}
    for number, route in enumerate(routes):
        for target in route.targets:
            _plan(plans, number, route.source, target)
    types = [_types(graph, route) for route in routes]
    # Routes are numbered anew in each block, so that blocks that do the same are copied once.
    distinct = list(dict.fromkeys(types))
    words: dict[Chain, tuple[str, ...]] = {}
    ranks = {chain: _ranks(plan) for chain, plan in plans.items()}
    for chain, plan in plans.items():
        rank = ranks[chain]
        said = [f"type {rank[n]} {distinct.index(types[n])}" for n in rank]
        said += [f"give {rank[number]} {who}" for number, who in plan.give.items()]
        said += [f"export {rank[n]}" for n in plan.export] + [f"take {rank[n]}" for n in plan.take]
        said += [f"feed {rank[n]} {name}" for name, n in plan.feed]
        said += [f"use {rank[n]} {where}" for n, where in plan.use.items()]
        words[chain] = tuple(said)

    def edit(draft: Draft, said: Sequence[str]) -> None:
        _Passage(draft, said, distinct).make()

    return edit_blocks(graph, words, edit)


def _plan(plans: dict[Chain, _Block], number: int, source: End, target: End) -> None:
    start, end = source.chain, target.chain
    common = 0
    while common < min(len(start), len(end)) and start[common] == end[common]:
        common += 1
    plans.setdefault(start, _Block()).give[number] = f"own {_said(source)}"
    for depth in range(len(start), common, -1):
        plans[start[:depth]].export[number] = None
        around = plans.setdefault(start[: depth - 1], _Block())
        around.give[number] = f"call {start[depth - 1]}"
    for depth in range(common, len(end)):
        plans.setdefault(end[:depth], _Block()).feed[end[depth], number] = None
        plans.setdefault(end[: depth + 1], _Block()).take[number] = None
    plans.setdefault(end, _Block()).use[number] = _said(target)


def _said(end: End) -> str:
    return " ".join(part for taken in end.taken for part in taken)


def _ranks(plan: _Block) -> dict[int, int]:
    numbers = {*plan.give, *plan.export, *plan.take, *plan.use, *(n for _, n in plan.feed)}
    return {number: rank for rank, number in enumerate(sorted(numbers))}


def _types(graph: Graph, route: Route) -> tuple[Type, ...]:
    """The types of what the source takes."""
    block = graph.definitions[route.source.definition]
    types = types_in(block)
    items = {item.name: item for item in block.items if isinstance(item, Node)}
    return tuple(types[sources(items[name])[slot]] for name, slot in route.source.taken)


class _Passage:
    """One block with what goes through it."""

    def __init__(self, draft: Draft, said: Sequence[str], types: Sequence[tuple[Type, ...]]) -> None:
        self.draft = draft
        self.said = [word.split(" ") for word in said]
        self.types = {int(w[1]): types[int(w[2])] for w in self.said if w[0] == "type"}
        self.refs: dict[int, list[str]] = {}

    def make(self) -> None:
        """Take in, lead on, give out, in the order of the numbers."""
        for _, number in self._told("take"):
            values = self._values(int(number))
            self.draft.inputs += values
            self.refs[int(number)] = [f"%{value.name}" for value in values]
        for _, number, sort, *named in self._told("give"):
            rank = int(number)
            self.refs[rank] = self._own(named) if sort == "own" else self._from_call(rank, named[0])
        for _, number, name in self._told("feed"):
            call = self.draft.item(name)
            assert isinstance(call, Call)
            self.draft.put(replace(call, arguments=(*call.arguments, *self.refs[int(number)])))
        for _, number, *named in self._told("use"):
            for (name, slot), ref in zip(_pairs(named), self.refs[int(number)], strict=True):
                node = self.draft.item(name)
                assert isinstance(node, Node)
                self.draft.put(filled(node, slot, ref))
        for _, number in self._told("export"):
            self.draft.outputs += self.refs[int(number)]

    def _told(self, sort: str) -> list[list[str]]:
        """What is said of a sort, in the order of the numbers."""
        return sorted((word for word in self.said if word[0] == sort), key=lambda word: int(word[1]))

    def _values(self, rank: int) -> list[Value]:
        return [self.draft.value("shared", type_) for type_ in self.types[rank]]

    def _own(self, named: Sequence[str]) -> list[str]:
        items = {item.name: item for item in self.draft.items if isinstance(item, Node)}
        return [sources(items[name])[slot] for name, slot in _pairs(named)]

    def _from_call(self, rank: int, name: str) -> list[str]:
        call = self.draft.item(name)
        if not isinstance(call, Call):
            raise EditError(f"{self.draft.where(name)}: is no block")
        values = self._values(rank)
        self.draft.put(replace(call, outputs=(*call.outputs, *values)))
        return [f"%{value.name}" for value in values]


def _pairs(words: Sequence[str]) -> list[tuple[str, str]]:
    return list(zip(words[::2], words[1::2], strict=True))
