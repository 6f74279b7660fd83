"""What graphs cost, against counts made by hand and by torch."""

import pytest
import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from madstar.graph.dims import evaluate
from madstar.graph.flops import node_flops
from madstar.graph.folding import fold
from madstar.graph.model import Argument, Node, Value
from madstar.graph.statistics import bytes_of, statistics

from . import graphs as cases
from . import random_graphs


def test_llama_by_hand():
    layers, width, vocabulary = 6, 32, 100
    cost = statistics(fold(cases.llama(layers)))
    weights = 4 * width * width + 9 * width * width
    assert cost.parameters == layers * (weights + 2 * width) + width + vocabulary * width  # the head is tied
    assert cost.buffers == 4
    assert cost.parameter_bytes == 4 * (cost.parameters + 4)
    batch, length = 3, 10
    products = 2 * batch * length * (layers * weights + width * vocabulary)
    attention = layers * 4 * batch * length * length * width
    at = cost.at({"batch": batch, "length": length})
    assert at["flops"] == products + attention
    assert at["cache_bytes"] == layers * 2 * batch * length * width * 4
    assert cost.operations["linear"] == 7 * layers + 1


@settings(max_examples=40)
@given(random_graphs.graphs())
def test_folding_changes_no_cost(graph):
    before, after = statistics(graph), statistics(fold(graph))
    assert before.unfolded == after.unfolded == sum(before.operations.values())
    for key in ("parameters", "buffers", "flops", "activation_bytes", "cache_bytes", "operations"):
        assert getattr(before, key) == getattr(after, key)
    assert after.nodes <= before.unfolded


def made(op: str, taken: dict[str, torch.Tensor], result: torch.Tensor) -> int:
    arguments = tuple(Argument(slot, f"%{slot}") for slot in taken)
    node = Node("n", op, arguments, (Value("y", tuple(result.shape), "float32"),))
    return evaluate(node_flops(node, {slot: tuple(x.shape) for slot, x in taken.items()}), {})


F = torch.nn.functional
CASES = {
    "linear": ("input weight bias", [(2, 5, 8), (3, 8), (3,)], F.linear),
    "matmul": ("input other", [(2, 4, 5, 8), (2, 4, 8, 3)], torch.matmul),
    "bmm": ("input mat2", [(4, 5, 8), (4, 8, 3)], torch.bmm),
    "addmm": ("input mat1 mat2", [(3,), (5, 8), (8, 3)], torch.addmm),
    "baddbmm": ("input batch1 batch2", [(4, 5, 3), (4, 5, 8), (4, 8, 3)], torch.baddbmm),
    "conv1d": ("input weight bias", [(2, 6, 20), (9, 6, 3), (9,)], F.conv1d),
    "conv2d": ("input weight", [(2, 6, 9, 8), (4, 3, 3, 2)], lambda x, w: F.conv2d(x, w, groups=2, stride=2)),
    "conv_transpose1d": (
        "input weight",
        [(2, 6, 7), (6, 5, 3)],
        lambda x, w: F.conv_transpose1d(x, w, stride=2),
    ),
    "scaled_dot_product_attention": (
        "query key value",
        [(2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 6)],
        F.scaled_dot_product_attention,
    ),
}


@pytest.mark.parametrize("op", CASES)
def test_flops_are_those_of_torch(op):
    slots, shapes, function = CASES[op]
    tensors = [torch.zeros(shape, device="meta") for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        result = function(*tensors)
    assert made(op, dict(zip(slots.split(), tensors, strict=True)), result) == counter.get_total_flops() > 0


def test_cache_holds_heads_before_they_are_repeated():
    block = cases.Block("Attention")
    query = block.input("q", "batch", 8, "length", 16)
    key = block.input("k", "batch", 2, "length", 16)
    shape = ("batch", 8, "length", 16)
    wide = block.node("expand", {"input": key}, ("batch", 2, 4, "length", 16))
    wide = block.node("reshape", {"input": wide}, shape)
    taken = {"query": query, "key": wide, "value": wide}
    mixed = block.node("scaled_dot_product_attention", taken, shape)
    cost = statistics(cases.graph_of("g", [block.done(mixed)]))
    assert cost.at({"batch": 3, "length": 5})["cache_bytes"] == 2 * 3 * 2 * 5 * 16 * 4


def test_bytes():
    names = ["float32", "bfloat16", "float8_e4m3fn", "int64", "bool", "complex64"]
    assert [bytes_of(name) for name in names] == [4, 2, 1, 8, 1, 8]
