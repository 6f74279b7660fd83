"""The structural hash: blind to names and listing order, sharp for structure."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from madstar.errors import GraphError
from madstar.graph.hashing import block_hashes, structural_hash
from madstar.graph.model import Argument, Definition, Graph, Node

from . import graphs as cases
from . import random_graphs


def edited(graph: Graph, **changes) -> Graph:
    """The bert graph with its first GELU changed."""
    name = next(n for n, d in graph.definitions.items() if any(_is_gelu(i) for i in d.items))
    block = graph.definitions[name]
    items = tuple(replace(i, **changes) if _is_gelu(i) else i for i in block.items)
    return replace(graph, definitions={**graph.definitions, name: replace(block, items=items)})


def _is_gelu(item):
    return isinstance(item, Node) and item.op == "gelu"


@settings(max_examples=50)
@given(random_graphs.graphs(), st.integers(0, 1000))
def test_names_and_order_do_not_count(graph, seed):
    assert structural_hash(random_graphs.renamed(graph, seed)) == structural_hash(graph)


@pytest.mark.parametrize("graph", [cases.bert(), cases.alternating(), cases.unrolled()])
def test_names_and_order_do_not_count_in_models(graph):
    assert {structural_hash(random_graphs.renamed(graph, seed)) for seed in range(5)} == {
        structural_hash(graph)
    }


def test_structure_counts():
    graph = cases.bert()
    gelu = next(i for d in graph.definitions.values() for i in d.items if _is_gelu(i))
    value = gelu.outputs[0]
    different = [
        graph,
        edited(graph, op="relu"),
        edited(graph, attributes=(("approximate", "tanh"),)),
        edited(graph, attributes=(("approximate", 1),)),
        edited(graph, attributes=(("approximate", 1.0),)),
        edited(graph, attributes=(("approximate", True),)),
        edited(graph, attributes=(("approximate", "1.0"),)),
        edited(graph, arguments=(Argument("other", gelu.arguments[0].source),)),
        edited(graph, arguments=(Argument("input", "%x"),)),
        edited(graph, outputs=(replace(value, shape=("batch", "length", 7)),)),
        edited(graph, outputs=(replace(value, dtype="bfloat16"),)),
        cases.bert(layers=4),
    ]
    assert len({structural_hash(one) for one in different}) == len(different)


def test_shapes_can_be_left_out():
    small, large = cases.alternating(width=16), cases.alternating(width=32)
    assert structural_hash(small) != structural_hash(large)
    assert structural_hash(small, shapes=False) == structural_hash(large, shapes=False)


def test_weights_that_are_one_tensor_count():
    graph = cases.llama()
    assert structural_hash(graph) != structural_hash(replace(graph, tied=()))
    twice = cases.Block("M")
    x = twice.input("x", "batch", 8)
    apart = twice.done(twice.linear(twice.linear(x, "a", 8), "b", 8))
    twice = cases.Block("M")
    x = twice.input("x", "batch", 8)
    shared = twice.done(twice.linear(twice.linear(x, "a", 8), "a", 8))
    hashes = [structural_hash(cases.graph_of("g", [block])) for block in (apart, shared)]
    tied = cases.graph_of("g", [apart], tied=(("a.weight", "b.weight"),))
    assert len({*hashes, structural_hash(tied)}) == 3


def test_module_used_twice_is_not_two_modules():
    inner = cases.Block("Inner")
    x = inner.input("x", "batch", 8)
    layer = inner.done(inner.linear(x, "proj", 8))
    hashes = set()
    for paths in (("a", "b"), ("a", "a")):
        main = cases.Block("M")
        x = main.input("x", "batch", 8)
        for path in paths:
            (x,) = main.call(layer, path, x)
        hashes.add(structural_hash(cases.graph_of("g", [layer, main.done(x)])))
    assert len(hashes) == 2


def test_calls_that_no_one_needs_may_be_listed_in_any_order():
    """Two of three share their weights, which the order of listing must not tell."""
    inner = cases.Block("Inner")
    x = inner.input("x", "batch", 8)
    layer = inner.done(inner.linear(x, "proj", 8))
    hashes = set()
    for paths in (("b", "a", "a"), ("a", "b", "a"), ("a", "a", "b"), ("a", "b", "b")):
        main = cases.Block("M")
        x = main.input("x", "batch", 8)
        for path in paths:
            main.call(layer, path, x)
        hashes.add(structural_hash(cases.graph_of("g", [layer, main.done(x)])))
    assert len(hashes) == 1


def test_experts_listed_in_another_order_are_the_same():
    def experts(order):
        block = cases.Block("Experts")
        x = block.input("x", "batch", 8)
        first = {i: block.linear(x, f"{i}.up", 8) for i in order}
        second = {i: block.linear(x, f"{i}.gate", 8) for i in reversed(order)}
        ends = {i: block.add(first[i], second[i]) for i in order}
        taken = {f"tensors.{i}": ends[i] for i in sorted(order)}
        return cases.graph_of("g", [block.done(block.node("stack", taken, (4, "batch", 8)))])

    assert structural_hash(experts([0, 1, 2, 3])) == structural_hash(experts([2, 0, 3, 1]))


def test_blocks_have_hashes():
    graph = cases.llama(3)
    hashes = block_hashes(graph)
    layers = {hashes[name] for name in hashes if "DecoderLayer" in name}
    assert len(layers) == 1
    name = next(name for name in hashes if "MLP" in name)
    assert structural_hash(graph, name) != structural_hash(graph)
    with pytest.raises(GraphError, match="nope"):
        structural_hash(graph, "nope")


def test_the_same_in_another_process():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import graphs; "
        "from madstar.graph.hashing import structural_hash; print(structural_hash(graphs.bert()))"
    )
    folder = cases.__file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == structural_hash(cases.bert())
    assert isinstance(cases.bert().main, Definition)
