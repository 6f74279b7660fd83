"""Fewer and more layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ...model import Call, Definition
from ...paths import join
from ..bench import Bench, Touched
from ..drafts import Draft
from ..items import remove
from ..recipes import Recipe
from ..whole_modules import carries, repeated
from .residual import identity
from .sketch import below


@dataclass(frozen=True)
class PruneLayer:
    """Take the selected blocks out of their stack: what came in goes on to the next.

    The others compute what they did, with the same weights under the same paths; the whole computes what it
    would if the pruned blocks handed on what they take.
    """

    select: str

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                call = draft.item(name)
                if not isinstance(call, Call):
                    raise EditError(
                        f"{draft.where(name)}: prune_layer takes blocks out, and this is {call.op}"
                    )
                fed = carries(draft, call)
                for output, position in fed.items():
                    draft.redirect(f"%{call.outputs[output].name}", call.arguments[position], but=[name])
                remove(draft, name)

        return bench.done(bench.sites(self.select), edit)


@dataclass(frozen=True)
class Deeper:
    """Put `times` more of each selected block behind it that at first do nothing.

    It applies to blocks that add to what they take, x + f(x). The weights of the last linear operation of
    each branch begin as zeros, so the function is unchanged; all others are copies of the block's own.
    """

    select: str = "blocks[-1]"
    times: int = 1

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if not 1 <= self.times <= 1000:
            raise EditError(f"times is {self.times}; give between 1 and 1,000")
        recipes: dict[str, Recipe] = {}

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                self._deepen(draft, name, recipes)

        return bench.done(bench.sites(self.select), edit, recipes)

    def _deepen(self, draft: Draft, name: str, recipes: dict[str, Recipe]) -> None:
        call = draft.item(name)
        if not isinstance(call, Call):
            raise EditError(f"{draft.where(name)}: deeper repeats blocks, and this is {call.op}")
        zeros: set[str] = set()
        for output, position in carries(draft, call).items():
            found = identity(draft.table, call.definition, output)
            if found is None or found.input != position:
                raise EditError(
                    f"{draft.where(name)}: deeper wants blocks that add to what they take, x + f(x), with a "
                    f"linear operation at the end of f; result {output} of "
                    f"{draft.table[call.definition].kind} "
                    "is not so"
                )
            zeros |= found.zeros
        twin = _zeroed(draft, call.definition, zeros)
        for copy in repeated(draft, name, self.times):
            draft.put(replace(copy, definition=twin))
            for path, _ in below(draft.table, call.definition):
                for use in draft.uses:
                    old, new = (join(use, join(each.paths[0], path)) for each in (call, copy))
                    recipes[new] = Recipe("zeros") if path in zeros else Recipe("copy", (old,))


def _zeroed(draft: Draft, name: str, zeros: set[str]) -> str:
    """A copy of a block, and of what it calls, in which some weights begin as zeros."""
    block: Definition = draft.table[name]
    parameters = tuple(replace(p, initialisation="zeros") if p.path in zeros else p for p in block.parameters)
    items = []
    for item in block.items:
        if isinstance(item, Call):
            front = f"{item.paths[0]}."
            inner = {path[len(front) :] for path in zeros if path.startswith(front)}
            if inner:
                item = replace(item, definition=_zeroed(draft, item.definition, inner))
        items.append(item)
    return draft.block(replace(block, parameters=parameters, items=tuple(items)))
