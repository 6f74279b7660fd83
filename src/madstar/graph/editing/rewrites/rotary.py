"""Rotary positions in the place of learned ones (Su et al., "RoFormer", 2021, arXiv:2104.09864)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ... import dims
from ...model import Call, Definition, Dim, Node
from ...paths import join
from ...walk import producers
from ..bench import Bench, Touched
from ..drafts import Draft, filled
from ..items import remove
from ..select import Site
from .attention import attentions
from .sketch import Sketch, not_there


@dataclass(frozen=True)
class Rotary:
    """Turn queries and keys by their positions, and take the table of learned positions out.

    Found are sums of which one side is a learned table that no token chooses from (it takes positions), and
    all attention. What attention looks at then depends on positions only by their difference; without the
    table any length can be computed. All else is kept; the function is not.
    """

    select: str = "**"
    base: float = 10000.0

    def apply(self, bench: Bench) -> Touched:
        """The graph with the rewrite made. Raises EditError."""
        tables = _tables(bench)
        if not tables:
            raise not_there(
                "rotary", self.select, "no table of learned positions is added to what is embedded"
            )

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                node = draft.item(name)
                assert isinstance(node, Node)
                if node.op == "add":
                    keep = next(slot for site, slot in tables if site.item.name == name)
                    remove(draft, name, keep)
                else:
                    self._turn(draft, name, bench)

        return bench.done([*(site for site, _ in tables), *attentions(bench, self.select, "rotary")], edit)

    def _turn(self, draft: Draft, name: str, bench: Bench) -> None:
        node = draft.item(name)
        assert isinstance(node, Node)
        refs = {a.slot: a.source for a in node.arguments}
        query, key = (draft.type_of(refs[slot]) for slot in ("query", "key"))
        width = query.shape[-1]
        if not isinstance(width, int) or width % 2 or not dims.equal(query.shape[-2], key.shape[-2]):
            raise EditError(
                f"{draft.where(name)}: rotary wants heads of an even width and one sequence, found "
                f"query {query}, "
                f"key {key}"
            )
        sketch = Sketch(draft, bench.inference)
        places = sketch.node("arange", {}, range=(query.shape[-2],), dtype="float32")
        steps = sketch.node("arange", {}, range=(width // 2,), dtype="float32")
        speeds = sketch.node("exp", sketch.node("mul", steps, other=-2 * math.log(self.base) / width))
        angles = sketch.node("mul", {"input": sketch.node("unsqueeze", places, dim=1), "other": speeds})
        angles = sketch.node("cat", {"tensors.0": angles, "tensors.1": angles}, dim=-1)
        turns = [sketch.node(op, angles) for op in ("cos", "sin")]
        if query.dtype != "float32":
            turns = [sketch.node("to", each, dtype=query.dtype) for each in turns]
        for slot in ("query", "key"):
            x = refs[slot]
            first = sketch.node("narrow", x, dim=-1, start=0, length=width // 2)
            second = sketch.node("neg", sketch.node("narrow", x, dim=-1, start=width // 2, length=width // 2))
            other = sketch.node("cat", {"tensors.0": second, "tensors.1": first}, dim=-1)
            along = sketch.node("mul", {"input": x, "other": turns[0]})
            across = sketch.node("mul", {"input": other, "other": turns[1]})
            node = filled(node, slot, sketch.node("add", {"input": along, "other": across}))
        draft.insert(sketch.items, before=name)
        draft.put(replace(node, body=()))


def _tables(bench: Bench) -> list[tuple[Site, str]]:
    """Sums of something with a learned table of positions, and the slot of the something."""
    found = []
    try:
        sums = bench.sites("**:add")
    except EditError:
        return []
    for site in sums:
        slots = {a.slot: a.source for a in site.item.arguments}  # type: ignore[union-attr]
        for table, kept in (("other", "input"), ("input", "other")):
            if table in slots and kept in slots and _learned(slots[table], site, bench):
                found.append((site, kept))
                break
    return found


def _learned(ref: str, site: Site, bench: Bench) -> bool:
    """Whether a value is rows of one trained table, chosen by nothing that the block takes."""
    shape = site.item.outputs[0].shape
    places = _most(bench, shape[-2]) if len(shape) > 1 else 0
    tables: set[str] = set()

    def is_table(path: str) -> bool:
        # A table of positions has a row for each place; one of kinds of tokens has a few.
        parameter = bench.parameters[path]
        rows = parameter.shape[-2] if len(parameter.shape) >= 2 else 0
        return parameter.trained and parameter.shape[-1] == shape[-1] and rows >= places

    def follow(block: Definition, path: str, ref: str, outer: Callable[[int], bool]) -> bool:
        inputs = [f"%{value.name}" for value in block.inputs]
        if ref in inputs:
            return outer(inputs.index(ref))
        if ref.startswith("@"):
            if is_table(full := join(path, ref[1:])):
                tables.add(full)
            return True
        item, number = producers(block)[ref]
        if isinstance(item, Call):
            inner = bench.graph.definitions[item.definition]
            below = join(path, item.paths[0])
            return follow(
                inner, below, inner.outputs[number], lambda i: follow(block, path, item.arguments[i], outer)
            )
        if item.op in ("linear", "addmm"):
            return False
        if item.op.endswith("_like") or item.op.startswith("new_"):
            return True  # only the form of what it takes counts
        return all(follow(block, path, a.source, outer) for a in item.arguments)

    block = bench.graph.definitions[site.instance.definition]
    return follow(block, site.instance.path, ref, lambda i: False) and len(tables) == 1


def _most(bench: Bench, dim: Dim) -> int:
    """The largest size that a dimension had when the graph was traced."""
    runs = max((len(sizes) for sizes in bench.graph.symbols.values()), default=1)
    found = []
    for run in range(runs):
        at = {name: sizes[run] for name, sizes in bench.graph.symbols.items() if run < len(sizes)}
        if dims.symbols(dim) <= set(at):
            found.append(dims.evaluate(dim, at))
    return max(found, default=1)
