"""Attention and MLP side by side (Wang and Komatsuzaki, GPT-J, 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ....errors import EditError
from ...model import Call, Node
from ..bench import Bench, Touched
from ..drafts import Draft
from ..following import Use, sources
from .finding import within
from .residual import SAME


@dataclass(frozen=True)
class Parallel:
    """Let the layers of each selected block take the same, side by side: x + f(x) + g(x).

    It applies to blocks that compute h = x + f(x), then h + g(h), or more sums in this way; of other selected
    blocks to those within. The weights stay; the function is that of the same layers side by side. Blocks
    with a norm behind each sum have no such form.
    """

    select: str = "blocks[*]"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        table = bench.graph.definitions
        sums: dict[str, tuple[str, ...]] = {}

        def names(definition: str) -> tuple[str, ...]:
            if definition not in sums:
                use = Use(table, table[definition])
                trunk = _trunk(use, use.definition.outputs[0]) if use.definition.outputs else None
                many = sum(node.op == "add" for node in trunk or ()) > 1
                sums[definition] = tuple(node.name for node in trunk or ()) if many else ()
            return sums[definition]

        fitting = within(
            bench, self.select, lambda site: isinstance(site.item, Call) and bool(names(site.item.definition))
        )
        if not fitting:
            first = bench.sites(self.select)[0]
            what = table[first.item.definition].kind if isinstance(first.item, Call) else first.item.op
            raise EditError(
                f"{first.path}: parallel wants a block that computes h = x + f(x), then h + g(h); {what} "
                f"is not so, and has none within"
            )
        chosen = {
            (*site.instance.chain, site.item.name): names(site.item.definition)
            for site in fitting
            if isinstance(site.item, Call)
        }
        graph = bench.edit_uses(chosen, _beside)
        return Touched(graph, tuple(site.path for site in fitting))


def _trunk(use: Use, ref: str) -> list[Node] | None:
    """The nodes of a block that hand on its input to a value, with sums, in order; None for no way."""
    if any(f"%{value.name}" == ref for value in use.definition.inputs):
        return []
    item = use.makers.get(ref, (None, 0))[0]
    if not isinstance(item, Node):
        return None
    given = sources(item)
    kept = [given["input"]] if item.op in SAME else []
    if item.op == "add" and {"input", "other"} <= set(given):
        kept = [given["input"], given["other"]]
    for each in kept:
        before = _trunk(use, each)
        if before is not None:
            return [*before, item]
    return None


def _beside(draft: Draft, names: Sequence[str]) -> None:
    """Let all that takes one of the sums, but the next, take what the block takes."""
    inputs = [f"%{value.name}" for value in draft.inputs]
    first = sources(_node(draft, names[0]))
    x = next(ref for ref in first.values() if ref in inputs)
    for name in names[:-1]:
        draft.redirect(f"%{_node(draft, name).outputs[0].name}", x, but=names)


def _node(draft: Draft, name: str) -> Node:
    item = draft.item(name)
    assert isinstance(item, Node)
    return item
