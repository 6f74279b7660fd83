"""FLOPs of one node: two for each multiply-add of products, convolutions and attention, nothing for others.

The convention is that of torch.utils.flop_counter: a bias costs nothing, and attention is its two products in
full, whether a mask hides a part of them or not. One thing more is counted: the grouped product of experts,
of which torch's counter knows nothing. Where an operation stands for several (an LSTM, an einsum), they are
counted from its body, as far as that was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping

from .dims import add, multiply, product
from .model import Dim, Node, Shape

Shapes = Mapping[str, Shape]
"""The shapes of what fills a node's slots."""


def node_flops(node: Node, shapes: Shapes) -> Dim:
    """The FLOPs of a node whose slots are filled with values of these shapes: a number or an expression."""
    outputs = [value.shape for value in node.outputs]
    known = _operation(node.op, shapes, outputs, dict(node.attributes))
    return _body(node, shapes) if known is None else known


def _operation(op: str, at: Shapes, outputs: list[Shape], attributes: Mapping[str, object]) -> Dim | None:
    result = outputs[0] if outputs else ()
    if op == "linear" and "weight" in at:
        return product(2, *at["input"], at["weight"][0] if len(at["weight"]) > 1 else 1)
    if op in ("matmul", "mm", "bmm", "mv", "dot") and "input" in at:
        return product(2, *result, at["input"][-1] if at["input"] else 1)
    for first in {"addmm": "mat1", "baddbmm": "batch1", "addbmm": "batch1", "addmv": "mat"}.items():
        if op == first[0] and first[1] in at:
            batches = at[first[1]][:1] if op == "addbmm" else ()
            return product(2, *result, at[first[1]][-1], *batches)
    if op == "grouped_mm" and {"input", "mat2"} <= set(at) and len(at["mat2"]) == 3:
        return product(2, *result, at["input"][-1])
    if op.startswith("conv") and {"input", "weight"} <= set(at):
        # One multiply-add for each weight and place: of the results, or if transposed of the inputs.
        weight = at["weight"]
        places = at["input"] if op.startswith("conv_transpose") else result
        batch = places[0] if len(places) == len(weight) else 1
        spatial = places[-(len(weight) - 2) :]
        return product(2, *weight, batch, *spatial)
    if op == "scaled_dot_product_attention" and {"query", "key", "value"} <= set(at):
        both = product(2, *at["query"][:-1], at["key"][-2])
        return add(multiply(both, at["query"][-1]), multiply(both, at["value"][-1]))
    return None


def _body(node: Node, shapes: Shapes) -> Dim:
    total: Dim = 0
    known: dict[str, Shape] = {f"${slot}": shape for slot, shape in shapes.items()}
    for number, primitive in enumerate(node.body):
        for place, shape in enumerate(primitive.shapes):
            known[f"%{number}.{place}"] = shape
            if place == 0:
                known[f"%{number}"] = shape
        taken = [known.get(argument) for argument in primitive.arguments]
        total = add(total, _primitive(primitive.op, taken, primitive.shapes))
    return total


def _primitive(op: str, taken: list[Shape | None], results: tuple[Shape, ...]) -> Dim:
    """From results alone where possible; sizes that are not known count nothing."""
    name = op.removeprefix("aten.").split(".")[0]
    first = {"mm": 0, "bmm": 0, "addmm": 1, "baddbmm": 1}.get(name)
    if first is not None and len(taken) > first and (left := taken[first]) and results:
        return product(2, *results[0], left[-1])
    if name == "convolution" and len(taken) > 1 and taken[1] and results:
        weight, result = taken[1], results[0]
        return product(2, *weight, result[0], *result[2:])
    if "scaled_dot_product" in name and len(taken) > 2:
        query, key, value = taken[:3]
        if query and key and value:
            both = product(2, *query[:-1], key[-2])
            return add(multiply(both, query[-1]), multiply(both, value[-1]))
    return 0
