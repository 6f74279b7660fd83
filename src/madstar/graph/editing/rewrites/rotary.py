"""Rotary positions in the place of learned ones (Su et al., "RoFormer", 2021, arXiv:2104.09864)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ....errors import EditError
from ... import dims
from ...model import Dim, Node
from ..bench import Bench, Touched
from ..drafts import Draft, filled
from ..following import Made, back, sources
from ..items import remove
from ..select import Site
from .attentions import Attention, attentions
from .finding import not_there
from .sketch import Sketch
from .windows import one_sequence


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

        found = one_sequence(attentions(bench, self.select, "rotary"), "rotary")
        turned = {(each.use.definition.name, each.site.item.name): each for each in found}

        def edit(draft: Draft, names: Sequence[str]) -> None:
            for name in names:
                attention = turned.get((draft.definition.name, name))
                if attention is None:
                    keep = next(slot for site, slot in tables if site.item.name == name)
                    remove(draft, name, keep)
                else:
                    self._turn(draft, attention, bench)

        return bench.done([*(site for site, _ in tables), *(each.site for each in found)], edit)

    def _turn(self, draft: Draft, attention: Attention, bench: Bench) -> None:
        query = attention.type(attention.query)
        width, length = query.shape[-1], attention.lengths[0]
        if not isinstance(width, int) or width % 2:
            raise EditError(
                f"{attention.site.path}: rotary wants heads of an even width, found query {query}"
            )
        sketch = Sketch(draft, bench.inference)
        places = sketch.node("arange", {}, range=(length,), dtype="float32")
        steps = sketch.node("arange", {}, range=(width // 2,), dtype="float32")
        speeds = sketch.node("exp", sketch.node("mul", steps, other=-2 * math.log(self.base) / width))
        angles = sketch.node("mul", {"input": sketch.node("unsqueeze", places, dim=1), "other": speeds})
        angles = sketch.node("cat", {"tensors.0": angles, "tensors.1": angles}, dim=-1)
        turns = [sketch.node(op, angles) for op in ("cos", "sin")]
        if query.dtype != "float32":
            turns = [sketch.node("to", each, dtype=query.dtype) for each in turns]
        for (name, slot), turned in ((attention.query, False), (attention.key, attention.turned)):
            node = draft.item(name)
            assert isinstance(node, Node)
            x = sources(node)[slot]
            if turned:
                x = sketch.node("transpose", x, dim0=-2, dim1=-1)
            first = sketch.node("narrow", x, dim=-1, start=0, length=width // 2)
            second = sketch.node("neg", sketch.node("narrow", x, dim=-1, start=width // 2, length=width // 2))
            other = sketch.node("cat", {"tensors.0": second, "tensors.1": first}, dim=-1)
            along = sketch.node("mul", {"input": x, "other": turns[0]})
            across = sketch.node("mul", {"input": other, "other": turns[1]})
            made = sketch.node("add", {"input": along, "other": across})
            if turned:
                made = sketch.node("transpose", made, dim0=-2, dim1=-1)
            draft.insert(sketch.items, before=name)
            sketch.items = []
            draft.put(replace(filled(node, slot, made), body=()))


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
            if table not in slots or kept not in slots:
                continue
            if _learned(slots[table], site, bench) and _given(slots[kept], site, bench):
                found.append((site, kept))
                break
    return found


def _learned(ref: str, site: Site, bench: Bench) -> bool:
    """Whether a value is rows of one trained table, chosen by nothing that the model takes."""
    shape = site.item.outputs[0].shape
    if not shape:
        return False  # a sum of single numbers
    places = _most(bench, shape[-2]) if len(shape) > 1 else 0
    here = bench.use(site)
    tables: set[str] = set()
    fits = True

    def follow(made: Made) -> list[str]:
        nonlocal fits
        node = made.node
        assert node is not None
        if node.op in ("linear", "addmm"):
            fits = False
            return []
        return _read(node)

    for made in back(here, ref, follow):
        if made.node is not None:
            continue
        if made.ref.startswith("%"):
            return False
        parameter = bench.parameters[made.path]
        # A table of positions has a row for each place; one of kinds of tokens has a few.
        if len(parameter.shape) < 2 or not parameter.trained:
            continue
        if parameter.shape[-1] == shape[-1] and parameter.shape[-2] >= places:
            tables.add(made.path)
    return fits and len(tables) == 1


def _given(ref: str, site: Site, bench: Bench) -> bool:
    """Whether a value depends on what the model takes; a sum of two tables is a table."""
    made = back(bench.use(site), ref, lambda each: _read(each.node) if each.node is not None else [])
    return any(each.node is None and each.ref.startswith("%") for each in made)


def _read(node: Node) -> list[str]:
    """What a node takes the values of, not the form alone."""
    if node.op.endswith("_like") or node.op.startswith("new_"):
        return []
    return list(sources(node).values())


def _most(bench: Bench, dim: Dim) -> int:
    """The largest size that a dimension had when the graph was traced."""
    runs = max((len(sizes) for sizes in bench.graph.symbols.values()), default=1)
    found = []
    for run in range(runs):
        at = {name: sizes[run] for name, sizes in bench.graph.symbols.items() if run < len(sizes)}
        if dims.symbols(dim) <= set(at):
            found.append(dims.evaluate(dim, at))
    return max(found, default=1)
