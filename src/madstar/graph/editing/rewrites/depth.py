"""Fewer and more layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ...model import Call, Definition, Parameter
from ...paths import join
from ..bench import Bench, Touched
from ..drafts import Draft
from ..items import remove
from ..recipes import Recipe
from ..whole_modules import carries, repeated
from .residual import identity
from .sketch import Sketch, below


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

    In blocks that add to what they take, x + f(x), the weights of the last linear operation of each branch
    begin as zeros. Others, such as those with norms behind the sum, become x + gate * (block(x) - x), with a
    gate that begins as zero and is trained (Bachlechner et al., "ReZero", 2020, arXiv:2003.04887). All else
    is a copy of the block's own weights, and the function is unchanged.
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
                self._deepen(draft, name, bench, recipes)

        return bench.done(bench.sites(self.select), edit, recipes)

    def _deepen(self, draft: Draft, name: str, bench: Bench, recipes: dict[str, Recipe]) -> None:
        call = draft.item(name)
        if not isinstance(call, Call):
            raise EditError(f"{draft.where(name)}: deeper repeats blocks, and this is {call.op}")
        carried = carries(draft, call)
        found = {output: identity(draft.table, call.definition, output) for output in carried}
        zeros: set[str] = set()
        if all(each is not None and each.input == carried[output] for output, each in found.items()):
            zeros = {path for each in found.values() if each is not None for path in each.zeros}
            twin = _zeroed(draft, call.definition, zeros)
        else:
            twin = _gated(draft, call, carried, bench)
        for copy in repeated(draft, name, self.times):
            draft.put(replace(copy, definition=twin))
            for path, _ in below(draft.table, call.definition):
                for use in draft.uses:
                    old, new = (join(use, join(each.paths[0], path)) for each in (call, copy))
                    recipes[new] = Recipe("zeros") if path in zeros else Recipe("copy", (old,))


def _gated(outer: Draft, call: Call, carried: Mapping[int, int], bench: Bench) -> str:
    """A copy of a block that hands on what it takes as long as its gate is zero."""
    block = outer.table[call.definition]
    held = {path for path, _ in below(outer.table, call.definition)}
    draft = Draft(block, outer.table, outer.uses, held.__contains__)
    sketch = Sketch(draft, bench.inference)
    path = draft.fresh_path("gate")
    for output, position in carried.items():
        x, y = f"%{block.inputs[position].name}", block.outputs[output]
        type_ = draft.type_of(y)
        if not type_.dtype.startswith(("float", "bfloat")):
            raise EditError(
                f"{outer.where(call.name)}: deeper wants a block that gives numbers, and its result {output} "
                f"is {type_}"
            )
        gate = draft.parameter(Parameter(path, (1,), type_.dtype, True, "zeros"))
        change = sketch.node("sub", {"input": y, "other": x})
        change = sketch.node("mul", {"input": change, "other": gate})
        draft.outputs[output] = sketch.node("add", {"input": x, "other": change})
    draft.items += sketch.items
    return outer.block(draft.finish(f"{block.name}_gated"))


def _zeroed(draft: Draft, name: str, zeros: set[str]) -> str:
    """A copy of a block, and of what it calls, in which some weights begin as zeros."""
    block: Definition = draft.table[name]
    parameters = tuple(
        replace(p, initialisation="zeros", trained=True) if p.path in zeros else p for p in block.parameters
    )
    items = []
    for item in block.items:
        if isinstance(item, Call):
            front = f"{item.paths[0]}."
            inner = {path[len(front) :] for path in zeros if path.startswith(front)}
            if inner:
                item = replace(item, definition=_zeroed(draft, item.definition, inner))
        items.append(item)
    return draft.block(replace(block, parameters=parameters, items=tuple(items)))
