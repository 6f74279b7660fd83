"""Wider hidden layers that compute the same at first (Chen et al., "Net2Net", 2016, arXiv:1511.05641)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ...model import Node
from ...paths import join
from ..bench import Bench, Touched
from ..drafts import Draft
from ..recipes import Recipe
from .sketch import own_path

_ACTIVATIONS = "relu relu6 leaky_relu elu selu celu gelu silu mish hardswish sigmoid tanh softplus"
_BETWEEN = frozenset(
    [*_ACTIVATIONS.split(), "square", "mul", "add", "sub", "neg", "dropout", "contiguous", "clone"]
)


@dataclass(frozen=True)
class Wider:
    """Give what each selected linear layer takes `times` as many channels, to be divided evenly if not whole.

    Select the layer that closes an MLP, such as "**.down_proj". The linear layers that make its input in the
    same block, with only operations on single numbers between, get as many rows more, copies of their first
    ones, and the selected layer columns of zeros: the function is unchanged. All is trained.
    """

    select: str
    times: float = 2.0

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if not 1 < self.times <= 1000:
            raise EditError(f"times is {self.times}; give more than 1")
        recipes: dict[str, Recipe] = {}

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                self._widen(draft, name, recipes)

        return bench.done(bench.sites(self.select), edit, recipes)

    def _widen(self, draft: Draft, name: str, recipes: dict[str, Recipe]) -> None:
        node = draft.item(name)
        given = {a.slot: a.source for a in node.arguments} if isinstance(node, Node) else {}
        if not isinstance(node, Node) or node.op != "linear" or not given["weight"].startswith("@"):
            raise EditError(f"{draft.where(name)}: wider wants the linear layer that closes an MLP")
        old = draft.parameters[given["weight"][1:]]
        hidden = int(old.shape[1] * self.times)
        if hidden <= old.shape[1]:
            raise EditError(
                f"{draft.where(name)}: times is {self.times}, which adds nothing to {old.shape[1]} channels"
            )
        before = self._before(draft, name, given["input"])
        _change(draft, recipes, given["weight"][1:], (old.shape[0], hidden), "padded")
        for linear in before:
            for argument in linear.arguments:
                if argument.slot in ("weight", "bias"):
                    path = argument.source[1:]
                    _change(draft, recipes, path, (hidden, *draft.parameters[path].shape[1:]), "cycled")

    def _before(self, draft: Draft, name: str, ref: str) -> list[Node]:
        """The linear layers that make a value, with only operations on single numbers between."""
        found: list[Node] = []
        todo, seen = [ref], {ref}
        while todo:
            item = draft.producer(ref := todo.pop())
            last = draft.type_of(ref).shape[-1:]
            own = [a.source for a in item.arguments if a.slot != "input"] if isinstance(item, Node) else []
            if isinstance(item, Node) and item.op == "linear" and all(r.startswith("@") for r in own):
                found.append(item)
            elif isinstance(item, Node) and item.op in _BETWEEN and _alone(draft, item, last):
                for argument in item.arguments:
                    if argument.source not in seen:
                        seen.add(argument.source)
                        todo.append(argument.source)
            else:
                what = (
                    "its block's input" if item is None else own_path(item) or getattr(item, "op", "a block")
                )
                raise EditError(
                    f"{draft.where(name)}: wider wants only linear layers and operations on single "
                    f"numbers before "
                    f"it in its block, found {what}"
                )
        return found


def _alone(draft: Draft, node: Node, last: tuple[object, ...]) -> bool:
    """Whether a node's tensors all have the channels as their last size."""
    return all(
        a.source.startswith("%") and draft.type_of(a.source).shape[-1:] == last for a in node.arguments
    )


def _change(draft: Draft, recipes: dict[str, Recipe], path: str, shape: tuple[int, ...], how: str) -> None:
    old = draft.parameters[path]
    draft.set_parameter(replace(old, shape=shape))
    for use in draft.uses:
        full = join(use, path)
        recipes[full] = Recipe(how, (full,))
