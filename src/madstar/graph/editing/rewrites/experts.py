"""Mixtures of experts in the place of dense blocks (Komatsuzaki et al., 2023, arXiv:2212.05055)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ...inference import Type
from ...model import Call, Definition, Parameter
from ...paths import join
from ..bench import Bench, Touched
from ..drafts import Draft
from ..recipes import Recipe
from .sketch import Sketch, below


@dataclass(frozen=True)
class Experts:
    """Put `experts` copies of each selected block in its place, of which each token's `top_k` are mixed.

    A router, one linear layer, weighs them by the softmax of its `top_k` largest results, so that the weights
    of a token sum to one. The experts begin as copies of the block: the function is unchanged. All experts
    are computed and those not chosen are weighed with zero; the graph says what is computed, not how to skip.
    """

    select: str
    experts: int = 4
    top_k: int = 2

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if not 2 <= self.experts <= 1024 or not 1 <= self.top_k <= self.experts:
            raise EditError(
                f"experts is {self.experts}, top_k is {self.top_k}; give 2 to 1,024 experts and at "
                f"most as many of them"
            )
        recipes: dict[str, Recipe] = {}

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                self._mix(draft, name, bench, recipes)

        return bench.done(bench.sites(self.select), edit, recipes)

    def _mix(self, draft: Draft, name: str, bench: Bench, recipes: dict[str, Recipe]) -> None:
        call = draft.item(name)
        if not isinstance(call, Call):
            raise EditError(f"{draft.where(name)}: experts are made of blocks, and this is {call.op}")
        x = draft.type_of(call.arguments[0]) if call.arguments else None
        if (
            len(call.outputs) != 1
            or x is None
            or draft.type_of(f"%{call.outputs[0].name}").shape[:-1] != x.shape[:-1]
        ):
            raise EditError(
                f"{draft.where(name)}: experts wants a block that gives one result for each place of what it "
                f"takes; {draft.table[call.definition].kind} does not"
            )
        weights = [path for path, _ in below(draft.table, call.definition)]
        if not weights:
            raise EditError(f"{draft.where(name)}: experts wants a block with weights")
        block = draft.block(self._block(draft, call, x, bench))
        draft.put(replace(call, definition=block))
        for use in draft.uses:
            for path in weights:
                old = join(use, join(call.paths[0], path))
                for number in range(self.experts):
                    new = join(use, join(call.paths[0], f"experts.{number}.{path}"))
                    recipes[new] = Recipe("copy", (old,))

    def _block(self, outer: Draft, call: Call, x: Type, bench: Bench) -> Definition:
        inside = outer.table[call.definition]
        width = x.shape[-1]
        if not isinstance(width, int):
            raise EditError(
                f"{outer.where(call.name)}: experts wants a last size that is a number, found {x}"
            )
        kind = "MixtureOfExperts"
        empty = Definition(kind, kind, inside.inputs, (), (), ())
        draft = Draft(empty, outer.table, outer.uses)
        sketch = Sketch(draft, bench.inference)
        given = f"%{inside.inputs[0].name}"
        draft.parameter(
            Parameter("router.weight", (self.experts, width), x.dtype, initialisation="normal(0, 0.02)")
        )
        scores = sketch.node("linear", {"input": given, "weight": "@router.weight"}, "router")
        if self.top_k < self.experts:
            best, which = sketch.nodes("topk", scores, k=self.top_k, dim=-1)
            shares = sketch.node("softmax", best, dim=-1)
            none = sketch.node("zeros_like", scores)
            gates = sketch.node("scatter", {"input": none, "index": which, "src": shares}, dim=-1)
        else:
            gates = sketch.node("softmax", scores, dim=-1)
        total = ""
        for number in range(self.experts):
            arguments = tuple(f"%{value.name}" for value in inside.inputs)
            (made,) = sketch.call(call, f"experts.{number}", arguments)
            gate = sketch.node("narrow", gates, dim=-1, start=number, length=1)
            part = sketch.node("mul", {"input": made, "other": gate})
            total = sketch.node("add", {"input": total, "other": part}) if total else part
        draft.items, draft.outputs = sketch.items, [total]
        return draft.finish(kind)
