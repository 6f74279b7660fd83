"""Blocks that stand where a layer stands, and sizes that hold at other widths."""

from __future__ import annotations

import pytest
from tests.graph.graphs import Block, graph_of
from tests.learning.generator.test_generator import SIZES, WORLD, dropped, rebuilt

from madstar.errors import GraphError
from madstar.graph import check
from madstar.graph.hashing import structural_hash
from madstar.graph.model import Graph
from madstar.learning.generator import Conditions, Tally, fit
from madstar.learning.generator.decisions import encode, form_of, is_mixer, width_of
from madstar.learning.generator.relative import Inexpressible, channels, concrete


def test_views_hold_at_other_widths() -> None:
    """Heads that are split and joined: what remains of the operand is said as that."""
    block = Block("Heads")
    x = block.input("x", "batch", "length", 32)
    y = block.linear(x, "up", 32)
    parts = block.node("view", {"input": y}, ("batch", "length", 2, 16), size=("batch", "length", 2, 16))
    joined = block.node("view", {"input": parts}, ("batch", "length", 32), size=("batch", "length", 32))
    graph = graph_of("heads", [block.done(joined)])
    said = [decision[1] for decision in encode(graph) if decision[0] == "set"]
    assert ("size", (("=d", 0, -3), ("=d", 0, -2), 2, ("=r",))) in said[1]
    assert ("size", (("=d", 0, -4), ("=d", 0, -3), ("=r",))) in said[2]
    assert structural_hash(rebuilt(graph)) == structural_hash(graph)
    term = (("=d", 0, -3), ("=d", 0, -2), 6, ("=r",))
    assert concrete(term, [("batch", "length", 96)], 96) == ("batch", "length", 6, 16)
    with pytest.raises(Inexpressible):
        concrete(term, [("batch", "length", 64)], 64)
    assert channels("conv2d", [("groups", 4)], [("batch", 8, 5, 5)]) == 2
    assert channels("conv2d", [("groups", 3)], [("batch", 8, 5, 5)]) is None
    assert channels("linear", [], [("batch", 8)]) is None


def mixing(width: int, causal: bool) -> Graph:
    """A sum along the length, of all places or of those before alone."""
    block = Block("Mix")
    x = block.input("x", "batch", "length", width)
    y = block.linear(x, "up", width)
    if causal:
        y = block.node("cumsum", {"input": y}, block.shape(x), dim=1)
    else:
        mean = block.node("mean", {"input": y}, ("batch", 1, width), dim=(1,), keepdim=True)
        y = block.node("mul", {"input": y, "other": mean}, block.shape(x))
    return graph_of("mix", [block.done(block.node("relu", {"input": y}, block.shape(x)))])


def test_form() -> None:
    assert [form_of(mixing(8, causal)) for causal in (True, False)] == ["mixer", "residual"]
    assert form_of(WORLD[0]) == "causal"  # each place alone
    assert width_of(mixing(8, True), "mixer") == 8
    assert not is_mixer(mixing(1 << 14, True))  # too large to be run
    block = Block("Two")
    x, y = block.input("x", "batch", "length", 8), block.input("y", "batch", "length", 8)
    assert form_of(graph_of("two", [block.done(block.add(x, y))])) == "other"


def test_what_stands_in_a_layers_place() -> None:
    graphs = [mixing(width, causal) for width in (8, 16) for causal in (True, False)]
    made = fit([*WORLD, *graphs], 0, steps=80, sizes=SIZES)
    tally = Tally()
    for graph in made.generate(3, 0, Conditions(width=16, causal=True), tally=tally):
        (value,) = graph.main.inputs
        assert (value.dtype, value.shape) == ("float32", ("batch", "length", 16))
        assert form_of(graph) in ("causal", "mixer")
        assert not [
            f for f in check(graph, causal=True).findings if f.severity == "error" or f.kind == "dead"
        ]
    forms = {form_of(graph) for graph in made.generate(4, 1, Conditions(residual=True))}
    assert forms <= {"mixer", "causal", "residual"}
    for graph in made.generate(3, 2, Conditions(width=16, mixes=True), tally=tally):
        assert form_of(graph) == "mixer"
    with pytest.raises(GraphError, match="what stands where a layer stands takes one"):
        made.generate(1, 0, Conditions(causal=True), prefix=dropped(0.5))
    with pytest.raises(GraphError, match="to the same was learned"):
        fit([_only_pooled()], steps=1, sizes=SIZES).generate(1, 0, Conditions(residual=True))


def _only_pooled() -> Graph:
    block = Block("Pool")
    x = block.input("x", "batch", 8)
    return graph_of("pool", [block.done(block.linear(x, "up", 4))])


def test_a_sum_is_made_of_one_size() -> None:
    """What a residual sum is made with is said by what waits for it, so that it fits at any size."""
    block = Block("Bottleneck")
    x = block.input("x", "batch", "length", 48)
    kept = block.linear(x, "project", 80)
    branch = block.linear(block.linear(x, "down", 12), "up", 80)
    block.add(kept, branch)
    decisions = encode(graph_of("bottleneck", [block.done(f"%{block.items[-1].name}")]))
    shapes = [decision[1][0][0] for decision in decisions if decision[0] == "weights"]
    assert shapes[0] == (80, ("=d", 0, -1))
    assert shapes[2] == (("=b", 1, -1), ("=d", 0, -1))  # as wide as the projection, which nothing took yet
    assert concrete(shapes[2], [(2, 12)], 48, beside=[(2, 48), (2, 80)]) == (80, 12)
    with pytest.raises(Inexpressible):
        concrete(shapes[2], [(2, 12)], 48, beside=[(2, 48)])
