"""What decisions are made of."""

from __future__ import annotations

import torch
from tests.graph.graphs import Block, graph_of
from tests.learning.generator.test_generator import SIZES, WORLD

from madstar.graph.inference import Inference
from madstar.graph.model import Graph
from madstar.learning.generator.decisions import SYMBOLS, domain_of
from madstar.learning.generator.draft import Limits
from madstar.learning.generator.examples import examples_of
from madstar.learning.generator.network import Network
from madstar.learning.generator.parts import numbered, parts_of
from madstar.learning.generator.state import State


def test_alike_share_parts() -> None:
    """Two shapes that differ in one axis share all else; a decision of one word has none."""
    one = parts_of(("input", "float32", ("batch", ("=w", 1, 2), ("=s", 0))))
    other = parts_of(("input", "float32", ("batch", ("=w", 1, 4), ("=s", 0))))
    assert one - other == {"input[1] = ('=w', 1, 2)", "input[-2] = ('=w', 1, 2)"}
    assert "sizes before 1" in one & other
    assert {"width in 64", "width of 8 bits"} == parts_of(("width", 192))
    assert not parts_of(("body",))


def twice(hidden: int) -> Graph:
    """Up to one width, which is no part of another, down, and up to it again."""
    block = Block("Twice")
    x = block.input("x", "batch", "length", 16)
    for number in range(2):
        x = block.linear(block.linear(x, f"up{number}", hidden), f"down{number}", 16)
    return graph_of("twice", [block.done(x)])


def test_sizes_before_are_there() -> None:
    """A decision that recalls sizes says how many must have been said, and so many were."""
    graphs = [twice(hidden) for hidden in (37, 41)]
    examples = examples_of(graphs, ["block"] * 2, 160)
    recalled = 0
    for example in examples.examples:
        state = State(examples.space, Limits(), Inference(SYMBOLS))
        for number in example.numbers:
            found = [part.split() for part in parts_of(examples.space.decisions[number])]
            needed = [int(words[-1]) for words in found if words[:2] == ["sizes", "before"]]
            assert max(needed, default=0) <= len(state.sizes)
            recalled += max(needed, default=0) > 0
            after = state.after(number)
            assert after is not None
            state = after
    assert recalled == len(graphs)


def test_vector_is_its_own_and_its_parts() -> None:
    """Each decision's vector is the sum that its parts give, those that one decision alone has left out."""
    space = examples_of(WORLD, [domain_of(graph) for graph in WORLD], 160).space
    parts, many = numbered(space.decisions)
    assert max(part for each in parts for part in each) == many - 1
    made = Network(space, SIZES).scored
    with torch.no_grad():
        found = made()
        for number in range(0, len(space), 7):
            alone = made.own.weight[number] + made.parts.weight[parts[number]].sum(0)
            assert torch.allclose(found[number], alone, atol=1e-6)
