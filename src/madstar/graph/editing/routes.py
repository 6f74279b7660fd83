"""Values led from one block into others: out through the blocks around it, in through those on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ...errors import EditError
from ..inference import Type
from ..model import Call, Graph, Node
from .copies import Chain, Copied, edit_blocks
from .drafts import Draft, filled
from .select import Site


@dataclass(frozen=True)
class Route:
    """What nodes take from another: for each slot of the targets the slot of the source whose value it is."""

    source: Site
    targets: tuple[Site, ...]
    slots: tuple[str, ...]


@dataclass
class _Block:
    """What one use of a block has to do, each route by its number."""

    give: dict[int, tuple[str, str]] = field(default_factory=dict)  # "own" item or "call" name that has it
    export: dict[int, None] = field(default_factory=dict)
    take: dict[int, None] = field(default_factory=dict)
    feed: dict[tuple[str, int], None] = field(default_factory=dict)
    use: dict[str, int] = field(default_factory=dict)


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
        for number, (sort, name) in plan.give.items():
            said.append(f"give {rank[number]} {sort} {name}")
        said += [f"export {rank[n]}" for n in plan.export] + [f"take {rank[n]}" for n in plan.take]
        said += [f"feed {rank[n]} {name}" for name, n in plan.feed]
        said += [f"use {rank[n]} {name}" for name, n in plan.use.items()]
        words[chain] = tuple(said)
    slots = routes[0].slots

    def edit(draft: Draft, said: Sequence[str]) -> None:
        _Passage(draft, said, distinct, slots).make()

    return edit_blocks(graph, words, edit)


def _plan(plans: dict[Chain, _Block], number: int, source: Site, target: Site) -> None:
    start, end = source.instance.chain, target.instance.chain
    common = 0
    while common < min(len(start), len(end)) and start[common] == end[common]:
        common += 1
    plans.setdefault(start, _Block()).give[number] = ("own", source.item.name)
    for depth in range(len(start), common, -1):
        plans[start[:depth]].export[number] = None
        around = plans.setdefault(start[: depth - 1], _Block())
        around.give[number] = ("call", start[depth - 1])
    for depth in range(common, len(end)):
        plans.setdefault(end[:depth], _Block()).feed[end[depth], number] = None
        plans.setdefault(end[: depth + 1], _Block()).take[number] = None
    plans.setdefault(end, _Block()).use[target.item.name] = number


def _ranks(plan: _Block) -> dict[int, int]:
    numbers = {*plan.give, *plan.export, *plan.take, *plan.use.values(), *(n for _, n in plan.feed)}
    return {number: rank for rank, number in enumerate(sorted(numbers))}


def _types(graph: Graph, route: Route) -> tuple[Type, ...]:
    """The types of what the source takes in the slots."""
    draft = Draft(graph.definitions[route.source.instance.definition], {})
    found = {a.slot: draft.type_of(a.source) for a in route.source.item.arguments}  # type: ignore[union-attr]
    return tuple(found[slot] for slot in route.slots)


class _Passage:
    """One block with what goes through it."""

    def __init__(
        self, draft: Draft, said: Sequence[str], types: Sequence[tuple[Type, ...]], slots: tuple[str, ...]
    ) -> None:
        self.draft, self.slots = draft, slots
        self.said = [word.split(" ") for word in said]
        self.types = {int(w[1]): types[int(w[2])] for w in self.said if w[0] == "type"}
        self.refs: dict[int, list[str]] = {}

    def make(self) -> None:
        """Take in, lead on, give out, in the order of the numbers."""
        for rank in sorted(self._ranks("take")):
            values = [
                self.draft.value(f"shared_{s}", t) for s, t in zip(self.slots, self.types[rank], strict=True)
            ]
            self.draft.inputs += values
            self.refs[rank] = [f"%{value.name}" for value in values]
        for _, number, sort, name in self._said("give"):
            rank = int(number)
            self.refs[rank] = self._own(name) if sort == "own" else self._from_call(rank, name)
        for _, number, name in self._said("feed"):
            call = self.draft.item(name)
            assert isinstance(call, Call)
            self.draft.put(replace(call, arguments=(*call.arguments, *self.refs[int(number)])))
        for _, number, name in self._said("use"):
            node = self.draft.item(name)
            assert isinstance(node, Node)
            for slot, ref in zip(self.slots, self.refs[int(number)], strict=True):
                node = filled(node, slot, ref)
            self.draft.put(node)
        for rank in sorted(self._ranks("export")):
            self.draft.outputs += self.refs[rank]

    def _said(self, sort: str) -> list[list[str]]:
        """What is said of a sort, in the order of the numbers."""
        return sorted((word for word in self.said if word[0] == sort), key=lambda word: int(word[1]))

    def _ranks(self, sort: str) -> list[int]:
        return [int(word[1]) for word in self._said(sort)]

    def _own(self, name: str) -> list[str]:
        given: Mapping[str, str] = {a.slot: a.source for a in self.draft.item(name).arguments}  # type: ignore[union-attr]
        return [given[slot] for slot in self.slots]

    def _from_call(self, rank: int, name: str) -> list[str]:
        call = self.draft.item(name)
        if not isinstance(call, Call):
            raise EditError(f"{self.draft.where(name)}: is no block")
        values = [
            self.draft.value(f"shared_{s}", t) for s, t in zip(self.slots, self.types[rank], strict=True)
        ]
        self.draft.put(replace(call, outputs=(*call.outputs, *values)))
        return [f"%{value.name}" for value in values]
