"""Each operation of ONNX that can be read, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from onnx import helper

from .onnx_files import agree, model, ops

node = helper.make_node
_RANDOM = numpy.random.default_rng(0)
X = ("float32", ["batch", "length", 6])


def draw(*shape: int, low: float = -2.0, high: float = 2.0) -> Any:
    return _RANDOM.uniform(low, high, shape).astype(numpy.float32)


def ints(*numbers: Any) -> Any:
    return numpy.array(numbers, dtype=numpy.int64)


UNARY = [
    *("Relu Sigmoid Tanh Exp Abs Neg Sign Ceil Floor Round Sin Cos Erf Reciprocal Softsign Softplus".split()),  # noqa: SIM905
    *("HardSwish Gelu Elu Celu Selu LeakyRelu HardSigmoid Mish Identity IsNaN Softmax LogSoftmax".split()),  # noqa: SIM905
    *("ThresholdedRelu Atan Sinh Shrink".split()),  # noqa: SIM905
]


@pytest.mark.parametrize("op", UNARY)
def test_of_one_operand(op: str, tmp_path: Path) -> None:
    made = model([node(op, ["x"], ["y"])], {"x": X}, ["y"])
    agree(made, tmp_path, {"x": draw(2, 5, 6)})


@pytest.mark.parametrize("op", ["Sqrt", "Log"])
def test_of_positive_numbers(op: str, tmp_path: Path) -> None:
    agree(model([node(op, ["x"], ["y"])], {"x": X}, ["y"]), tmp_path, {"x": draw(2, 5, 6, low=0.1)})


BINARY = [
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Min",
    "Max",
    "Equal",
    "Less",
    "LessOrEqual",
    "Greater",
    "GreaterOrEqual",
]


@pytest.mark.parametrize("op", BINARY)
@pytest.mark.parametrize("side", ["both", "left", "right"])
def test_of_two_operands_of_which_one_may_be_a_number(op: str, side: str, tmp_path: Path) -> None:
    names = {"both": ["x", "z"], "left": ["c", "x"], "right": ["x", "c"]}[side]
    weights = {} if side == "both" else {"c": numpy.float32(0.75)}
    inputs = {"x": X} | ({"z": ("float32", ["length", 6])} if side == "both" else {})
    fed = {"x": draw(2, 5, 6)} | ({"z": draw(5, 6)} if side == "both" else {})
    agree(model([node(op, names, ["y"])], inputs, ["y"], weights), tmp_path, fed)


@pytest.mark.parametrize(
    ("op", "more"), [("Div", {}), ("Mod", {}), ("Add", {}), ("Mul", {}), ("Mod", {"fmod": 1})]
)
@pytest.mark.parametrize("constant", [True, False])
def test_of_whole_numbers(op: str, more: dict[str, Any], constant: bool, tmp_path: Path) -> None:
    weights = {"c": numpy.int64(3)} if constant else {}
    inputs = {"x": ("int64", ["n"])} | ({} if constant else {"c": ("int64", ["n"])})
    fed = {"x": ints(-7, -3, 0, 4, 8)} | ({} if constant else {"c": ints(3, -2, 5, -3, 3)})
    agree(model([node(op, ["x", "c"], ["y"], **more)], inputs, ["y"], weights), tmp_path, fed)


CASES: dict[str, tuple[list[Any], dict[str, Any], dict[str, Any]]] = {
    # nodes, weights, attributes of nothing: all take x [batch, length, 6] and give y
    "pow": ([node("Pow", ["x", "c"], ["y"])], {"c": numpy.float32(2)}, {}),
    "clip": ([node("Clip", ["x", "a", "b"], ["y"])], {"a": numpy.float32(-1), "b": numpy.float32(0.5)}, {}),
    "clip below": ([node("Clip", ["x", "a"], ["y"])], {"a": numpy.float32(0)}, {}),
    "gelu tanh": ([node("Gelu", ["x"], ["y"], approximate="tanh")], {}, {}),
    "hard sigmoid": ([node("HardSigmoid", ["x"], ["y"], alpha=1 / 6, beta=0.5)], {}, {}),
    "prelu": ([node("PRelu", ["x", "s"], ["y"])], {"s": draw(6)}, {}),
    "where": (
        [node("Greater", ["x", "c"], ["g"]), node("Where", ["g", "x", "c"], ["y"])],
        {"c": numpy.float32(0.1)},
        {},
    ),
    "cast": ([node("Cast", ["x"], ["i"], to=7), node("Cast", ["i"], ["y"], to=1)], {}, {}),
    "softmax of an axis": ([node("Softmax", ["x"], ["y"], axis=1)], {}, {}),
    "transpose": ([node("Transpose", ["x"], ["y"], perm=[0, 2, 1])], {}, {}),
    "transpose all": ([node("Transpose", ["x"], ["y"], perm=[2, 0, 1])], {}, {}),
    "reversed": ([node("Transpose", ["x"], ["y"])], {}, {}),
    "reshape": ([node("Reshape", ["x", "s"], ["y"])], {"s": ints(0, -1, 2, 3)}, {}),
    "flatten": ([node("Flatten", ["x"], ["y"], axis=2)], {}, {}),
    "flatten from the back": ([node("Flatten", ["x"], ["y"], axis=-1)], {}, {}),
    "unsqueeze": ([node("Unsqueeze", ["x", "a"], ["y"])], {"a": ints(0, 2)}, {}),
    "unsqueeze, squeeze": (
        [node("Unsqueeze", ["x", "a"], ["u"]), node("Squeeze", ["u", "a"], ["y"])],
        {"a": ints(1, -1)},
        {},
    ),
    "expand": (
        [node("Unsqueeze", ["x", "a"], ["u"]), node("Expand", ["u", "s"], ["y"])],
        {"a": ints(2), "s": ints(1, 1, 3, 1)},
        {},
    ),
    "tile": ([node("Tile", ["x", "r"], ["y"])], {"r": ints(1, 2, 3)}, {}),
    "concat": ([node("Concat", ["x", "x"], ["y"], axis=1)], {}, {}),
    "split": (
        [node("Split", ["x", "s"], ["a", "b"], axis=2), node("Mul", ["b", "b"], ["y"])],
        {"s": ints(2, 4)},
        {},
    ),
    "split evenly": (
        [node("Split", ["x"], ["a", "b", "c"], axis=2, num_outputs=3), node("Add", ["a", "c"], ["y"])],
        {},
        {},
    ),
    "slice": (
        [node("Slice", ["x", "a", "b", "d", "s"], ["y"])],
        {"a": ints(1, -5), "b": ints(1 << 60, -1), "d": ints(1, 2), "s": ints(1, 2)},
        {},
    ),
    "slice backwards": (
        [node("Slice", ["x", "a", "b", "d", "s"], ["y"])],
        {"a": ints(-1), "b": ints(-(1 << 60)), "d": ints(2), "s": ints(-1)},
        {},
    ),
    "pad": ([node("Pad", ["x", "p", "c"], ["y"])], {"p": ints(0, 1, 2, 0, 0, 3), "c": numpy.float32(7)}, {}),
    "pad by reflection": (
        [node("Pad", ["x", "p"], ["y"], mode="reflect")],
        {"p": ints(0, 0, 2, 0, 0, 3)},
        {},
    ),
    "pad by the edge": ([node("Pad", ["x", "p"], ["y"], mode="edge")], {"p": ints(0, 0, 2, 0, 0, 3)}, {}),
    "gather one": ([node("Gather", ["x", "i"], ["y"], axis=1)], {"i": numpy.int64(-1)}, {}),
    "gather some": ([node("Gather", ["x", "i"], ["y"], axis=2)], {"i": ints(3, -1, 0)}, {}),
    "gather a table": ([node("Gather", ["x", "i"], ["y"], axis=2)], {"i": ints([3, 1], [0, 2])}, {}),
    "gather elements": (
        [node("GatherElements", ["x", "i"], ["y"], axis=2)],
        {"i": ints(*[[[3, 1]] * 5] * 2)},
        {},
    ),
    "gather by places": ([node("GatherND", ["x", "i"], ["y"])], {"i": ints([0, 3], [1, 1])}, {}),
    "scatter by places": (
        [node("ScatterND", ["x", "i", "u"], ["y"])],
        {"i": ints([0, 3], [1, 1]), "u": draw(2, 6)},
        {},
    ),
    "scatter elements": (
        [node("ScatterElements", ["x", "i", "u"], ["y"], axis=1, reduction="add")],
        {"i": ints(*[[[3, 1, 2, 0, 0, 4]]] * 2), "u": draw(2, 1, 6)},
        {},
    ),
    "top": ([node("TopK", ["x", "k"], ["y", "i"], axis=-1)], {"k": ints(3)}, {}),
    "least": ([node("TopK", ["x", "k"], ["y", "i"], axis=1, largest=0)], {"k": ints(2)}, {}),
    "lower triangle": ([node("Trilu", ["x"], ["y"], upper=0)], {}, {}),
    "upper triangle": ([node("Trilu", ["x", "k"], ["y"])], {"k": numpy.int64(1)}, {}),
    "cumulative": ([node("CumSum", ["x", "a"], ["y"])], {"a": numpy.int64(1)}, {}),
    "cumulative before": (
        [node("CumSum", ["x", "a"], ["y"], exclusive=1, reverse=1)],
        {"a": numpy.int64(1)},
        {},
    ),
    "arg max": ([node("ArgMax", ["x"], ["y"], axis=-1, keepdims=0)], {}, {}),
    "mean of three": ([node("Mean", ["x", "x", "c"], ["y"])], {"c": draw(6)}, {}),
    "sum of three": ([node("Sum", ["x", "x", "c"], ["y"])], {"c": draw(6)}, {}),
    "matmul": ([node("MatMul", ["x", "layer.weight"], ["y"])], {"layer.weight": draw(6, 12)}, {}),
    "layer norm": ([node("LayerNormalization", ["x", "w", "b"], ["y"])], {"w": draw(6), "b": draw(6)}, {}),
    "lp norm": ([node("LpNormalization", ["x"], ["y"], axis=-1, p=2)], {}, {}),
    "einsum": ([node("Einsum", ["x", "x"], ["y"], equation="bik,bjk->bij")], {}, {}),
    "one hot": (
        [node("ArgMax", ["x"], ["i"], axis=-1, keepdims=0), node("OneHot", ["i", "d", "v"], ["y"], axis=1)],
        {"d": numpy.int64(6), "v": numpy.array([0.5, 2.0], numpy.float32)},
        {},
    ),
    "batch norm": (
        [node("BatchNormalization", ["x", "w", "b", "m", "v"], ["y"])],
        {"w": draw(5), "b": draw(5), "m": draw(5), "v": draw(5, low=0.5)},
        {},
    ),
    "instance norm": (
        [node("InstanceNormalization", ["x", "w", "b"], ["y"])],
        {"w": draw(5), "b": draw(5)},
        {},
    ),
    "conv 1": (
        [node("Conv", ["x", "w", "b"], ["y"], pads=[2, 1], dilations=[2], kernel_shape=[2])],
        {"w": draw(4, 5, 2), "b": draw(4)},
        {},
    ),
    "max pool": ([node("MaxPool", ["x"], ["y"], kernel_shape=[3], strides=[2], pads=[1, 0])], {}, {}),
    "average pool": ([node("AveragePool", ["x"], ["y"], kernel_shape=[2], strides=[2], pads=[1, 1])], {}, {}),
    "average of all": ([node("GlobalAveragePool", ["x"], ["y"])], {}, {}),
}
_FIXED = {"batch norm", "instance norm", "conv 1"}


@pytest.mark.parametrize("case", CASES)
def test_case(case: str, tmp_path: Path) -> None:
    nodes, weights, _ = CASES[case]
    shape = ("float32", ["batch", 5, 6]) if case in _FIXED or "gather" in case or "scatter" in case else X
    agree(model(nodes, {"x": shape}, ["y"], weights), tmp_path, {"x": draw(2, 5, 6)})


REDUCTIONS = [
    *("ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare".split()),  # noqa: SIM905
    "ReduceLogSumExp",
]


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize(("axes", "keep"), [([1], 1), ([-1, 0], 0), (None, 0)])
@pytest.mark.parametrize("opset", [13, 20])
def test_reductions(op: str, axes: list[int] | None, keep: int, opset: int, tmp_path: Path) -> None:
    if opset == 13 and op != "ReduceSum":
        made = node(op, ["x"], ["y"], keepdims=keep, **({"axes": axes} if axes else {}))
        weights: dict[str, Any] = {}
    else:
        made = node(op, ["x", "a"] if axes else ["x"], ["y"], keepdims=keep)
        weights = {"a": ints(*axes)} if axes else {}
    agree(model([made], {"x": X}, ["y"], weights, opset=opset), tmp_path, {"x": draw(2, 5, 6)})


def test_sizes_that_are_computed_become_expressions(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["b"], axis=0),
        node("Gather", ["s", "one"], ["n"], axis=0),
        node("Mul", ["b", "n"], ["bn"]),
        node("Concat", ["bn", "six"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["y"]),
    ]
    weights = {"zero": ints(0), "one": ints(1), "six": ints(6)}
    graph = agree(model(nodes, {"x": X}, ["y"], weights), tmp_path, {"x": draw(2, 5, 6)})
    (only,) = graph.main.items
    assert dict(only.attributes) == {"shape": ("batch*length", 6)}  # type: ignore[union-attr]


def test_a_size_taken_alone(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["b"], axis=0),
        node("Unsqueeze", ["b", "first"], ["u"]),
        node("Concat", ["u", "rest"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["y"]),
    ]
    weights = {"zero": numpy.int64(0), "first": ints(0), "rest": ints(-1)}
    graph = agree(model(nodes, {"x": X}, ["y"], weights), tmp_path, {"x": draw(2, 5, 6)})
    (only,) = graph.main.items
    assert dict(only.attributes) == {"shape": ("batch", "6*length")}  # type: ignore[union-attr]


def test_a_size_that_is_a_value_is_computed(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["x"], ["s"], start=1, end=2),
        node("Squeeze", ["s", "zero"], ["n"]),
        node("Range", ["start", "n", "step"], ["r"]),
        node("Cast", ["r"], ["f"], to=1),
        node("Cast", ["n"], ["m"], to=1),
        node("Div", ["f", "m"], ["d"]),
        node("Unsqueeze", ["d", "one"], ["u"]),
        node("Mul", ["x", "u"], ["y"]),
    ]
    weights = {"zero": ints(0), "one": ints(1), "start": numpy.int64(0), "step": numpy.int64(1)}
    agree(model(nodes, {"x": X}, ["y"], weights), tmp_path, {"x": draw(2, 5, 6)})


def test_a_linear_layer_of_product_and_sum_is_one(tmp_path: Path) -> None:
    nodes = [
        node("Transpose", ["fc.weight"], ["t"], perm=[1, 0]),
        node("MatMul", ["x", "t"], ["p"]),
        node("Add", ["p", "fc.bias"], ["a"]),
        node("Sigmoid", ["a"], ["g"]),
        node("Mul", ["a", "g"], ["y"]),
    ]
    weights = {"fc.weight": draw(16, 6), "fc.bias": draw(16)}
    graph = agree(model(nodes, {"x": X}, ["y"], weights), tmp_path, {"x": draw(2, 5, 6)})
    assert ops(graph) == ["linear", "silu"]
    assert [p.path for p in graph.main.parameters] == ["fc.weight", "fc.bias"]
