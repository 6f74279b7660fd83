"""Norms put in and taken out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ....errors import EditError
from ...model import Call, Definition, Node
from ..bench import Bench, Touched
from ..drafts import Draft
from ..fragments import Fragment, Step
from ..items import remove
from ..operations import InsertAfter, InsertBefore
from ..select import Site
from .finding import not_there, within

_NORMS = frozenset(("layer_norm", "rms_norm", "batch_norm", "group_norm", "instance_norm"))


@dataclass(frozen=True)
class AddNorm:
    """Put a norm before or behind each selected module: `kind` "rms" or "layer", `where` "before" or "after".

    Weights of the norm begin as ones. All else is kept; the function is not.
    """

    select: str
    kind: str = "rms"
    where: str = "before"
    eps: float = 1e-6

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.kind not in ("rms", "layer") or self.where not in ("before", "after"):
            raise EditError(
                f'kind is {self.kind!r}, where is {self.where!r}; give "rms" or "layer", "before" or "after"'
            )
        step = Step(f"{self.kind}_norm", "norm", options={"eps": self.eps})
        new = Fragment((step,), path="{site}_norm")
        kind = InsertBefore if self.where == "before" else InsertAfter
        return kind(self.select, new).apply(bench)


@dataclass(frozen=True)
class RemoveNorm:
    """Take the selected norms out; what took their results takes what they took.

    Of selected blocks that are none, all norms within are meant. A norm is one operation (layer, RMS, batch,
    group or instance norm), or a block that computes one: it divides by the root of a mean of squares. All
    else is kept; the function is not.
    """

    select: str

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        sites = within(bench, self.select, lambda site: is_norm(bench.graph.definitions, site))
        if not sites:
            raise not_there("remove_norm", self.select, "no norm is there")

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                remove(draft, name)

        return bench.done(sites, edit)


def is_norm(table: Mapping[str, Definition], site: Site) -> bool:
    """Whether an item computes a norm."""
    if isinstance(site.item, Node):
        return site.item.op in _NORMS
    return norm_block(table[site.item.definition])


def norm_block(block: Definition) -> bool:
    """Whether a block is a norm written out: pow, mean, rsqrt, with one tensor in and one out of its form."""
    if len(block.inputs) != 1 or len(block.outputs) != 1 or any(isinstance(i, Call) for i in block.items):
        return False
    ops = {item.op for item in block.items if isinstance(item, Node)}
    if len(ops) == 1:
        return ops <= _NORMS
    return "mean" in ops and bool(ops & {"rsqrt", "sqrt"}) and bool(ops & {"pow", "square", "var", "mul"})
