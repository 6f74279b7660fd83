"""Mixtures of experts in the place of dense blocks (Komatsuzaki et al., 2023, arXiv:2212.05055)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ...inference import Type
from ...model import Call, Definition, Node, Parameter
from ...paths import join
from ..bench import Bench, Touched
from ..drafts import Draft
from ..following import Use
from ..recipes import Recipe
from ..select import Site
from .finding import not_there, within
from .linears import linear_of
from .regions import Region, outlined, region_of
from .sketch import Sketch, below
from .wider import HALVES, POINTWISE, VIEWS


@dataclass(frozen=True)
class Experts:
    """Put `experts` copies of each selected MLP in its place, of which each token's `top_k` are mixed.

    Of selected blocks that are none, the MLPs within are meant: blocks of two linear layers or more that
    compute each place for itself, and such layers side by side with other things of their block, which then
    become a block, `mlp`.

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
                region = regions.get((draft.definition.name, name))
                self._mix(draft, name if region is None else outlined(draft, region), bench, recipes, region)

        known: dict[str, bool] = {}
        regions: dict[tuple[str, str], Region] = {}

        def fits(site: Site) -> bool:
            if isinstance(site.item, Call):
                return known.setdefault(site.item.definition, _is_mlp(bench.graph.definitions, site.item))
            key = (site.instance.definition, site.item.name)
            if key not in regions and (found := region_of(bench, site)) is not None:
                regions[key] = found
            return key in regions

        sites = within(bench, self.select, fits)
        if not sites:
            raise not_there(
                "experts",
                self.select,
                "no block there is an MLP, two linear layers or more with nothing between that mixes places",
            )
        return bench.done(sites, edit, recipes)

    def _mix(
        self, draft: Draft, name: str, bench: Bench, recipes: dict[str, Recipe], region: Region | None
    ) -> None:
        call = draft.item(name)
        assert isinstance(call, Call)
        x = draft.type_of(call.arguments[0])
        weights = [path for path, _ in below(draft.table, call.definition)]
        block = draft.block(self._block(draft, call, x, bench))
        draft.put(replace(call, definition=block))
        for use in draft.uses:
            for path in weights:
                old = join(use, path if region is not None else join(call.paths[0], path))
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


_NORMS = frozenset("layer_norm rms_norm mean rsqrt sqrt".split())  # noqa: SIM905


def _is_mlp(table: Mapping[str, Definition], call: Call) -> bool:
    """Whether a block is one of linear layers that computes each place for itself."""
    block = table[call.definition]
    if len(block.inputs) != 1 or len(block.outputs) != 1 or len(call.outputs) != 1:
        return False
    x, y = block.inputs[0], call.outputs[0]
    if x.shape[:-1] != y.shape[:-1] or x.dtype != y.dtype or not isinstance(x.shape[-1], int):
        return False
    layers = 0
    for inner in Use(table, block).uses():
        nodes = [item for item in inner.definition.items if isinstance(item, Node)]
        layers += sum(linear_of(node) is not None for node in nodes)
        if not all(linear_of(node) or _in_place(node) for node in nodes):
            return False
    return layers > 1


def _in_place(node: Node) -> bool:
    """Whether a node computes each place for itself."""
    if node.op == "mean":
        return dict(node.attributes).get("dim") in (-1, (-1,))
    return node.op in POINTWISE | VIEWS | HALVES | _NORMS
