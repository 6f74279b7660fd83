"""The small edits that programs are made of: each finds its places by a pattern and changes what is there.

Every operation has `apply(bench) -> Touched`; it raises EditError, naming the place, where it does not apply.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import Protocol

from ...errors import EditError
from ..model import Attribute, Call, Node
from ..vocabulary import OPERATIONS
from .bench import Bench, Touched
from .drafts import Draft
from .fragments import Fragment, build
from .items import around, combined, gives, put, reference, remove, taken, tensors, with_slot
from .select import Site


class Operation(Protocol):
    """What a program is made of."""

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""


@dataclass(frozen=True)
class InsertAfter:
    """Put something in behind each site: all that took what it gives take the new result.

    `output` is which of the site's results is meant.
    """

    select: str
    new: Fragment
    output: int = 0

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                item = draft.item(name)
                y = gives(draft, item, self.output)
                put(draft, bench.inference, self.new, item, y, y)

        return bench.done(bench.sites(self.select), edit)


@dataclass(frozen=True)
class InsertBefore:
    """Put something in between each site and what it takes in `slot`; the first tensor if not said."""

    select: str
    new: Fragment
    slot: str = ""

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                item = draft.item(name)
                slot, x = taken(draft, item, self.slot)
                items, results = build(
                    self.new, around(draft, item, x, gives(draft, item)), draft, bench.inference
                )
                draft.insert(items, before=name)
                draft.put(with_slot(draft, draft.item(name), slot, results[0]))

        return bench.done(bench.sites(self.select), edit)


COMBINE = ("add", "mul", "cat")


@dataclass(frozen=True)
class InsertParallel:
    """Put something in beside each site: it takes the same, and both results are combined.

    `combine` is "add", "mul" or "cat", the last along `dim`. `slot` is what it takes of what the site takes.
    """

    select: str
    new: Fragment
    combine: str = "add"
    dim: int = -1
    slot: str = ""
    output: int = 0

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""
        return self.beside(bench, bench.sites(self.select))

    def beside(self, bench: Bench, sites: Sequence[Site]) -> Touched:
        """As `apply`, beside these sites."""
        if self.combine not in COMBINE:
            raise EditError(f"combine is {self.combine!r}; give one of {', '.join(COMBINE)}")

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                item = draft.item(name)
                _, x = taken(draft, item, self.slot)
                y = gives(draft, item, self.output)
                items, results = build(self.new, around(draft, item, x, y), draft, bench.inference)
                both = combined(draft, self.combine, y, results[0], self.dim, bench.inference)
                draft.insert([*items, both], after=name)
                draft.redirect(y, f"%{both.outputs[0].name}", but=[both.name, *(i.name for i in items)])

        return bench.done(sites, edit)


@dataclass(frozen=True)
class Replace:
    """Put something in the place of each site. What only the site needed goes, with its weights."""

    select: str
    new: Fragment
    slot: str = ""

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                item = draft.item(name)
                own = item.paths[0] if isinstance(item, Call) else item.path
                if own and self.new.path == own.rpartition(".")[2]:
                    draft.release(own)
                x = taken(draft, item, self.slot)[1] if tensors(item) else ""
                y = gives(draft, item)
                items, results = build(self.new, around(draft, item, x or y, y), draft, bench.inference)
                if own and len(items) == 1 and isinstance(items[0], Node) and not items[0].path:
                    # An operation without weights takes the place of a module, whose path stays known.
                    items = [replace(items[0], path=own)]
                draft.insert(items, before=name)
                for number, value in enumerate(item.outputs):
                    old = f"%{value.name}"
                    if number < len(results):
                        draft.redirect(old, results[number], but=[name])
                    elif draft.users(old) or old in draft.outputs:
                        raise EditError(
                            f"{draft.where(name)}: expected {len(item.outputs)} results of what is put in, "
                            f"found {len(results)}; {old} is used"
                        )
                draft.remove(name)

        return bench.done(bench.sites(self.select), edit)


@dataclass(frozen=True)
class Delete:
    """Take each site out; what took its result takes what it was given in slot `keep`.

    If not said, that is the first argument of the result's type.
    """

    select: str
    keep: str = ""

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                remove(draft, name, self.keep)

        return bench.done(bench.sites(self.select), edit)


@dataclass(frozen=True)
class Rewire:
    """Let each site take something else in a slot: `source` is "%NAME", a value, an item or an input of its
    block, with wildcards; or "@PATH", a weight of the block.
    """

    select: str
    slot: str
    source: str

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                item = draft.item(name)
                slot, _ = taken(draft, item, self.slot, new=True)
                draft.put(with_slot(draft, item, slot, reference(draft, name, self.source)))

        return bench.done(bench.sites(self.select), edit)


@dataclass(frozen=True)
class SetAttr:
    """Give attributes of the selected operations other values: `set` by slot; null takes one away."""

    select: str
    set: Mapping[str, Attribute] = field(default_factory=dict)

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""
        if not self.set:
            raise EditError('nothing is to be set; say "set": {"is_causal": false}')

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                node = draft.item(name)
                if isinstance(node, Call):
                    raise EditError(
                        f"{draft.where(name)}: is a block; set attributes of operations within it"
                    )
                draft.put(self._set(draft, node))

        return bench.done(bench.sites(self.select), edit)

    def _set(self, draft: Draft, node: Node) -> Node:
        attributes = dict(node.attributes)
        known = OPERATIONS.get(node.op)
        for slot, value in self.set.items():
            if known is not None and slot not in known.slots:
                near = get_close_matches(slot, known.slots, n=1, cutoff=0.3)
                raise EditError(
                    f"{draft.where(node.name)}: {node.op} has no {slot!r}; it has {', '.join(known.slots)}"
                    + (f" (nearest: {near[0]})" if near else "")
                )
            if any(argument.slot.partition(".")[0] == slot for argument in node.arguments):
                raise EditError(
                    f"{draft.where(node.name)}: {slot} of {node.op} is a tensor here; use rewire to change it"
                )
            attributes[slot] = value
            if value is None:
                del attributes[slot]
        return replace(node, attributes=tuple(sorted(attributes.items())), body=())


@dataclass(frozen=True)
class Wrap:
    """Put something before and behind each site; with `residual` what came in is added to the result."""

    select: str
    before: Fragment | None = None
    after: Fragment | None = None
    residual: bool = False
    slot: str = ""

    def apply(self, bench: Bench) -> Touched:
        """The graph with the edit made. Raises EditError."""
        if not (self.before or self.after or self.residual):
            raise EditError('nothing is put around; say "before", "after" or "residual": true')

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                item = draft.item(name)
                slot, x = taken(draft, item, self.slot)
                y = gives(draft, item)
                if self.before is not None:
                    items, results = build(self.before, around(draft, item, x, y), draft, bench.inference)
                    draft.insert(items, before=name)
                    draft.put(with_slot(draft, draft.item(name), slot, results[0]))
                if self.after is not None:
                    last, y = put(draft, bench.inference, self.after, draft.item(name), y, y)
                else:
                    last = name
                if self.residual:
                    both = combined(draft, "add", x, y, 0, bench.inference)
                    draft.insert([both], after=last)
                    draft.redirect(y, f"%{both.outputs[0].name}", but=[both.name])

        return bench.done(bench.sites(self.select), edit)
