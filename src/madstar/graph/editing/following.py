"""Values followed through nodes and blocks: who makes one, who takes it, whatever the blocks around.

A `Use` is one use of a block in an unfolded graph. Rewrites look for structure here and need not know how a
model is cut into blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from ..inference import Type
from ..model import Call, Definition, Graph, Item, Node
from ..paths import join
from ..walk import producers, users
from .copies import Chain
from .drafts import types_in


class Made(NamedTuple):
    """What makes a value: the node in its use of a block; no node for weights and inputs of the whole."""

    use: Use
    node: Node | None
    ref: str

    @property
    def path(self) -> str:
        """The full path of a weight."""
        return join(self.use.path, self.ref[1:])


@dataclass(eq=False)
class Use:
    """One use of a block: the calls that lead to it, its full path, what is around it."""

    table: Mapping[str, Definition]
    definition: Definition
    chain: Chain = ()
    path: str = ""
    outer: Use | None = None
    call: Call | None = None
    _inside: dict[str, Use] = field(default_factory=dict)

    @classmethod
    def of(cls, graph: Graph) -> Use:
        """The whole of an unfolded graph."""
        return cls(graph.definitions, graph.main)

    @cached_property
    def makers(self) -> dict[str, tuple[Item, int]]:
        """The items of the block by what they give."""
        return producers(self.definition)

    @cached_property
    def users(self) -> dict[str, list[Item]]:
        """The items of the block by what they take."""
        return users(self.definition)

    @cached_property
    def types(self) -> dict[str, Type]:
        """The types of the block's values and weights by reference."""
        return types_in(self.definition)

    def inside(self, call: Call) -> Use:
        """The use that a call of this block is."""
        found = self._inside.get(call.name)
        if found is None:
            path = join(self.path, call.paths[0])
            chain = (*self.chain, call.name)
            found = Use(self.table, self.table[call.definition], chain, path, self, call)
            self._inside[call.name] = found
        return found

    def at(self, chain: Chain) -> Use:
        """The use that calls lead to from here."""
        use = self
        for name in chain:
            known = use._inside.get(name)
            use = known or use.inside(next(i for i in use.definition.items if i.name == name))  # type: ignore[arg-type]
        return use

    def maker(self, ref: str) -> Made:
        """What makes a value of this block, in whatever block it is made."""
        use = self
        while True:
            if ref.startswith("@"):
                return Made(use, None, ref)
            found = use.makers.get(ref)
            if found is None:
                outer, call = use.outer, use.call
                if outer is None or call is None:
                    return Made(use, None, ref)
                place = next(n for n, v in enumerate(use.definition.inputs) if f"%{v.name}" == ref)
                use, ref = outer, call.arguments[place]
                continue
            item, number = found
            if isinstance(item, Node):
                return Made(use, item, ref)
            use = use.inside(item)
            ref = use.definition.outputs[number]

    def takers(self, ref: str) -> Iterator[tuple[Use, Node | None]]:
        """The nodes that take a value of this block, wherever they are; None for the whole's output."""
        for item in self.users.get(ref, ()):
            if isinstance(item, Node):
                yield self, item
                continue
            below = self.inside(item)
            for value, given in zip(below.definition.inputs, item.arguments, strict=True):
                if given == ref:
                    yield from below.takers(f"%{value.name}")
        for number, given in enumerate(self.definition.outputs):
            if given != ref:
                continue
            if self.outer is None or self.call is None:
                yield self, None
            else:
                yield from self.outer.takers(f"%{self.call.outputs[number].name}")

    def uses(self) -> Iterator[Use]:
        """This and all uses within, in the order of computation."""
        todo = [self]
        while todo:
            use = todo.pop()
            yield use
            todo += [use.inside(i) for i in reversed(use.definition.items) if isinstance(i, Call)]


def sources(node: Node) -> dict[str, str]:
    """What a node takes, by slot."""
    return {argument.slot: argument.source for argument in node.arguments}


def back(use: Use, ref: str, through: Callable[[Made], list[str]]) -> list[Made]:
    """What a value is made of: `through` says which arguments of a node are followed further.

    Each is there once, those nearer first.
    """
    todo, seen, found = [(use, ref)], set(), []
    while todo:
        made = todo[0][0].maker(todo.pop(0)[1])
        key = (made.use.chain, made.ref)
        if key in seen:
            continue
        seen.add(key)
        found.append(made)
        if made.node is not None:
            todo += [(made.use, each) for each in through(made)]
    return found
