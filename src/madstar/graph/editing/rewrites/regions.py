"""An MLP whose layers stand among other things of a block, made a block of its own."""

from __future__ import annotations

from dataclasses import dataclass

from ....errors import EditError
from ...model import Call, Definition, Node, Value
from ..bench import Bench
from ..drafts import Draft, retaken
from ..following import sources
from ..select import Site
from .linears import linear_of
from .wider import VIEWS, hidden_of


@dataclass(frozen=True)
class Region:
    """Nodes of a block, by name, that make one value, the last node's, of one other, `taken`."""

    taken: str
    last: str
    names: frozenset[str]


def region_of(bench: Bench, site: Site) -> Region | None:
    """The MLP that a linear layer closes; None where it closes none in its own block."""
    linear = linear_of(site.item)
    if linear is None:
        return None
    use = bench.use(site)
    try:
        hidden = hidden_of(use, linear, site.path)
    except EditError:
        return None
    nodes = [made.node for made in hidden.way if made.node is not None]
    taken = {sources(layer.node)[layer.taken] for _, layer, _ in hidden.makers}
    same = all(made.use is use for made in hidden.way)
    bends = any(linear_of(node) is None and node.op not in VIEWS for node in nodes)
    if not same or not bends or len(taken) != 1:
        return None
    x, y = use.types[ref := taken.pop()], linear.node.outputs[0]
    if x.shape[:-1] != y.shape[:-1] or x.dtype != y.dtype or not isinstance(x.shape[-1], int):
        return None
    return Region(ref, linear.node.name, frozenset((linear.node.name, *(node.name for node in nodes))))


def outlined(draft: Draft, region: Region) -> str:
    """Put the nodes of a region into a block `mlp` with their weights; gives the name of its call."""
    inner = [item for item in draft.items if item.name in region.names]
    given = {value.name for item in inner for value in item.outputs}
    name = next(each for n in range(len(given) + 1) if (each := f"x{n or ''}") not in given)
    type_ = draft.type_of(region.taken)
    items = tuple(retaken(item, {region.taken: f"%{name}"}) for item in inner)
    used = {a.source[1:] for item in inner if isinstance(item, Node) for a in item.arguments}
    parameters = tuple(p for path, p in draft.parameters.items() if path in used)
    last = draft.item(region.last).outputs[0]
    block = Definition(
        "Mlp", "Mlp", (Value(name, type_.shape, type_.dtype),), parameters, items, (f"%{last.name}",)
    )
    call = Call(
        draft.name("mlp_call"), draft.block(block), (draft.fresh_path("mlp"),), (region.taken,), (last,)
    )
    draft.insert([call], after=region.last)
    for item in inner:
        draft.remove(item.name)
    return call.name
