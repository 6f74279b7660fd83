"""Another activation in the place of those that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ....plugins import nearest
from ...model import Call, Definition, Node
from ..bench import Bench, Touched
from ..drafts import Draft
from ..select import Site
from .finding import not_there, within
from .sketch import Sketch

ACTIVATIONS = ("relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish")
"""What is taken for an activation unasked; sigmoid and tanh are often gates, so they must be named."""
TARGETS: Mapping[str, tuple[str, tuple[tuple[str, str], ...]]] = {
    **{name: (name, ()) for name in (*ACTIVATIONS, "sigmoid", "tanh", "softplus", "softsign", "hardsigmoid")},
    "gelu_tanh": ("gelu", (("approximate", "tanh"),)),
    "relu_squared": ("relu", ()),
}
_POINTWISE = frozenset("add mul sub div pow neg exp sigmoid tanh erf sqrt square".split())  # noqa: SIM905
_BENDING = frozenset("sigmoid tanh erf exp".split()) | frozenset(ACTIVATIONS)  # noqa: SIM905


@dataclass(frozen=True)
class SwapActivation:
    """Put the activation `to` in the place of each selected activation; of all of them, if `select` is "**".

    An activation is one operation, or a block that computes one from a tensor alone, without weights
    (0.5*x*(1+tanh(...))). With `from` only this operation is meant. Shapes, weights and all else are kept;
    the function is not.
    """

    to: str
    select: str = "**"
    from_: str = ""

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.to not in TARGETS:
            raise EditError(
                f"there is no activation {self.to!r}{nearest(self.to, TARGETS)}; known are "
                f"{', '.join(TARGETS)}"
            )
        wanted = (self.from_,) if self.from_ else ACTIVATIONS
        sites = within(bench, self.select, lambda site: self._is_one(bench, site, wanted))
        if not sites:
            raise not_there("swap_activation", self.select, f"none of {', '.join(wanted)} is there")

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                _swapped(draft, name, self.to, bench)

        return bench.done(sites, edit)

    def _is_one(self, bench: Bench, site: Site, wanted: Sequence[str]) -> bool:
        if isinstance(site.item, Node):
            return site.item.op in wanted
        return not self.from_ and _activation_block(bench.graph.definitions[site.item.definition])


def _activation_block(block: Definition) -> bool:
    if len(block.inputs) != 1 or len(block.outputs) != 1 or block.parameters:
        return False
    ops = [item.op if isinstance(item, Node) else "" for item in block.items]
    if len(ops) < 2 or not all(op in _POINTWISE or op in _BENDING for op in ops):
        return False
    given = block.items[-1].outputs[0]
    return any(op in _BENDING for op in ops) and given.shape == block.inputs[0].shape


def _swapped(draft: Draft, name: str, to: str, bench: Bench) -> None:
    op, attributes = TARGETS[to]
    item = draft.item(name)
    old = f"%{item.outputs[0].name}"
    if isinstance(item, Call):
        x, path = item.arguments[0], item.paths[0]
    else:
        x, path = next(a.source for a in item.arguments if a.slot == "input"), item.path
    sketch = Sketch(draft, bench.inference)
    y = sketch.node(op, x, **dict(attributes))
    sketch.items[-1] = replace(sketch.items[-1], path=path)  # type: ignore[arg-type]
    if to == "relu_squared":
        y = sketch.node("square", y)
    draft.insert(sketch.items, before=name)
    draft.redirect(old, y)
    draft.remove(name)
