"""Attention to what is near (Beltagy et al., "Longformer", 2020, arXiv:2004.05150, its sliding window)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ... import dims
from ...model import Node
from ..bench import Bench, Touched
from ..drafts import Draft, filled
from ..following import sources
from .attentions import SDPA, Attention, attentions
from .sketch import Sketch


@dataclass(frozen=True)
class WindowedAttention:
    """Let each place look only at those less than `window` places away, itself included.

    What is hidden already, by a mask or because it is later, stays hidden. With a window of at least the
    length the function is unchanged. Applies to attention over one sequence, as one operation or written out;
    of what is selected, attention from one sequence to another is left as it is.
    """

    window: int
    select: str = "**"

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        if self.window < 1:
            raise EditError(f"window is {self.window}; give 1 or more")
        found = attentions(bench, self.select, "windowed_attention")
        inner = one_sequence(found, "windowed_attention")

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                self._window(draft, name, bench)

        return bench.done([attention.site for attention in inner], edit)

    def _window(self, draft: Draft, name: str, bench: Bench) -> None:
        node = draft.item(name)
        assert isinstance(node, Node)
        given = sources(node)
        sketch = Sketch(draft, bench.inference)
        if node.op != SDPA:
            scores = given["input"]
            near = self._near(sketch, draft.type_of(scores).shape[-1], False)
            far = sketch.node("logical_not", near)
            hidden = sketch.node("masked_fill", {"input": scores, "mask": far}, value=float("-inf"))
            draft.insert(sketch.items, before=name)
            draft.put(filled(node, "input", hidden))
            return
        causal = bool(dict(node.attributes).get("is_causal"))
        near = self._near(sketch, draft.type_of(given["query"]).shape[-2], causal)
        attributes = tuple((s, False if s == "is_causal" else v) for s, v in node.attributes)
        mask = given.get("attn_mask")
        if mask is None:
            mask = near
        elif draft.type_of(mask).dtype == "bool":
            mask = sketch.node("logical_and", {"input": mask, "other": near})
        else:
            far = sketch.node("logical_not", near)
            mask = sketch.node("masked_fill", {"input": mask, "mask": far}, value=float("-inf"))
        draft.insert(sketch.items, before=name)
        draft.put(filled(replace(node, attributes=attributes, body=()), "attn_mask", mask))

    def _near(self, sketch: Sketch, length: object, causal: bool) -> str:
        """Which places are near each, [length, length]."""
        places = sketch.node("arange", {}, range=(length,))
        rows, columns = (sketch.node("unsqueeze", places, dim=dim) for dim in (1, 0))
        away = sketch.node("sub", {"input": rows, "other": columns})
        if not causal:
            return sketch.node("lt", sketch.node("abs", away), other=self.window)
        near = sketch.node("lt", away, other=self.window)
        return sketch.node("logical_and", {"input": near, "other": sketch.node("ge", away, other=0)})


def one_sequence(found: Sequence[Attention], what: str) -> list[Attention]:
    """Attention of a sequence to itself. Raises EditError for none."""
    inner = [each for each in found if dims.equal(*each.lengths)]
    if not inner:
        long, keys = found[0].lengths
        raise EditError(
            f"{found[0].site.path}: {what} wants one sequence, and here {long} places look at {keys}"
        )
    return inner
