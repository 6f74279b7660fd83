"""Layers of ONNX, and what exporters write for layers, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy
import pytest
from onnx import helper

from madstar.graph.model import Call

from .onnx_files import agree, model, ops

node = helper.make_node
_RANDOM = numpy.random.default_rng(0)
X = ("float32", ["batch", "length", 6])


def draw(*shape: int, low: float = -2.0, high: float = 2.0) -> Any:
    return _RANDOM.uniform(low, high, shape).astype(numpy.float32)


def ints(*numbers: Any) -> Any:
    return numpy.array(numbers, dtype=numpy.int64)


PICTURES: dict[str, tuple[list[Any], dict[str, Any]]] = {
    "same": (
        [node("Conv", ["x", "w"], ["y"], auto_pad="SAME_UPPER", strides=[2, 2], kernel_shape=[3, 3])],
        {"w": draw(8, 4, 3, 3)},
    ),
    "grouped": (
        [node("Conv", ["x", "w"], ["y"], group=2, pads=[1, 0, 1, 0], kernel_shape=[3, 3])],
        {"w": draw(6, 2, 3, 3)},
    ),
    "transposed": (
        [
            node(
                "ConvTranspose",
                ["x", "w", "b"],
                ["y"],
                strides=[2, 2],
                output_padding=[1, 1],
                pads=[1, 1, 1, 1],
            )
        ],
        {"w": draw(4, 6, 3, 3), "b": draw(6)},
    ),
    "max": ([node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])], {}),
    "max, cut": ([node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)], {}),
    "nearest": (
        [
            node(
                "Resize",
                ["x", "", "s"],
                ["y"],
                mode="nearest",
                coordinate_transformation_mode="asymmetric",
                nearest_mode="floor",
            )
        ],
        {"s": numpy.array([1, 1, 2, 2], numpy.float32)},
    ),
    "linear": ([node("Resize", ["x", "", "", "z"], ["y"], mode="linear")], {"z": ints(2, 4, 12, 16)}),
    "corners": (
        [
            node(
                "Resize",
                ["x", "", "", "z"],
                ["y"],
                mode="linear",
                coordinate_transformation_mode="align_corners",
            )
        ],
        {"z": ints(2, 4, 12, 16)},
    ),
    "depth to space": ([node("DepthToSpace", ["x"], ["y"], blocksize=2)], {}),
    "shuffled": ([node("DepthToSpace", ["x"], ["y"], blocksize=2, mode="CRD")], {}),
    "space to depth": ([node("SpaceToDepth", ["x"], ["y"], blocksize=2)], {}),
    "response": ([node("LRN", ["x"], ["y"], size=3)], {}),
    "largest of all": ([node("GlobalMaxPool", ["x"], ["y"])], {}),
}


@pytest.mark.parametrize("case", PICTURES)
def test_of_pictures(case: str, tmp_path: Path) -> None:
    nodes, weights = PICTURES[case]
    agree(model(nodes, {"x": ("float32", [2, 4, 6, 8])}, ["y"], weights), tmp_path, {"x": draw(2, 4, 6, 8)})


def test_blocks_put_together(tmp_path: Path) -> None:
    made = model(
        [node("Col2Im", ["x", "image", "block"], ["y"], strides=[2, 1], pads=[1, 0, 1, 0])],
        {"x": ("float32", [2, 12, 12])},
        ["y"],
        {"image": ints(4, 5), "block": ints(2, 2)},
    )
    agree(made, tmp_path, {"x": draw(2, 12, 12)})


@pytest.mark.parametrize("turned", [0, 1])
@pytest.mark.parametrize(("alpha", "bias"), [(1.0, True), (1.0, False), (0.5, True)])
def test_products_of_matrices(turned: int, alpha: float, bias: bool, tmp_path: Path) -> None:
    names = ["x", "layer.weight", "layer.bias"][: 3 if bias else 2]
    weights = {"layer.weight": draw(*((8, 6) if turned else (6, 8))), "layer.bias": draw(8)}
    made = model(
        [node("Gemm", names, ["y"], transB=turned, alpha=alpha)],
        {"x": ("float32", ["n", 6])},
        ["y"],
        {name: weights[name] for name in names[1:]},
    )
    graph = agree(made, tmp_path, {"x": draw(3, 6)})
    if turned and alpha == 1:
        assert ops(graph) == ["linear"]


@pytest.mark.parametrize(("op", "gates"), [("LSTM", 4), ("GRU", 3), ("RNN", 1)])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("full", [True, False])
def test_recurrent_layers(op: str, gates: int, directions: int, full: bool, tmp_path: Path) -> None:
    weights = {"w": draw(directions, gates * 5, 6), "r": draw(directions, gates * 5, 5)}
    names = ["x", "w", "r"]
    if full:
        weights |= {
            "b": draw(directions, 2 * gates * 5),
            "h": draw(directions, 3, 5),
            "c": draw(directions, 3, 5),
        }
        names += ["b", "", "h"] + (["c"] if op == "LSTM" else [])
        weights = {name: value for name, value in weights.items() if name in names}
    more: dict[str, Any] = {"linear_before_reset": 1} if op == "GRU" else {}
    more |= {"direction": "bidirectional"} if directions == 2 else {}
    outputs = ["y", "last"] + (["cell"] if op == "LSTM" else [])
    made = model(
        [node(op, names, outputs, hidden_size=5, **more)],
        {"x": ("float32", ["length", 3, 6])},
        outputs,
        weights,
    )
    graph = agree(made, tmp_path, {"x": draw(7, 3, 6)})
    assert {"LSTM": "lstm", "GRU": "gru", "RNN": "rnn_tanh"}[op] in ops(graph)


@pytest.mark.parametrize("first", [True, False])
def test_gelu_is_found_in_its_parts(first: bool, tmp_path: Path) -> None:
    nodes = [
        node("Div", ["x", "root"], ["d"]),
        node("Erf", ["d"], ["e"]),
        node("Add", ["e", "one"], ["f"]),
        node("Mul", ["half", "x"] if first else ["x", "f"], ["m"]),
        node("Mul", ["m", "f"] if first else ["m", "half"], ["y"]),
    ]
    weights = {"root": numpy.float32(2**0.5), "one": numpy.float32(1), "half": numpy.float32(0.5)}
    assert ops(agree(model(nodes, {"x": X}, ["y"], weights), tmp_path, {"x": draw(2, 5, 6)})) == ["gelu"]


def test_weights_that_an_exporter_has_turned_over_are_those_of_a_layer(tmp_path: Path) -> None:
    nodes = [
        node("MatMul", ["x", "onnx::MatMul_7"], ["p"], name="/layers.0/fc/fc.1/MatMul"),
        node("Add", ["layers.0.fc.1.bias", "p"], ["a"], name="/layers.0/fc/fc.1/Add"),
        node("Relu", ["a"], ["b"], name="/layers.0/act/Relu"),
        node("Tanh", ["b"], ["y"], name="/Tanh"),
    ]
    weights = {"onnx::MatMul_7": draw(6, 16), "layers.0.fc.1.bias": draw(16)}
    graph = agree(model(nodes, {"x": X}, ["y"], weights), tmp_path, {"x": draw(2, 5, 6)})
    (layer, _tanh) = graph.main.items
    assert isinstance(layer, Call)
    inner = graph.definitions[layer.definition]
    assert layer.paths == ("layers.0",)
    assert [(item.op, item.path) for item in inner.items] == [("linear", "fc.1"), ("relu", "act")]  # type: ignore[union-attr]
    assert {p.path: p.shape for p in inner.parameters} == {"fc.1.weight": (16, 6), "fc.1.bias": (16,)}


@pytest.mark.parametrize("rank", [3, 4])
@pytest.mark.parametrize("masked", ["", "causal", "mask"])
def test_attention(rank: int, masked: str, tmp_path: Path) -> None:
    shape = ["batch", "length", 12] if rank == 3 else ["batch", 3, "length", 4]
    real = (2, 5, 12) if rank == 3 else (2, 3, 5, 4)
    more: dict[str, Any] = {"q_num_heads": 3, "kv_num_heads": 3} if rank == 3 else {}
    more |= {"is_causal": 1} if masked == "causal" else {}
    names = ["q", "k", "v"] + (["m"] if masked == "mask" else [])
    inputs = dict.fromkeys("qkv", ("float32", shape))
    fed = {name: draw(*real) for name in "qkv"}
    if masked == "mask":
        inputs["m"] = ("float32", ["length", "length"])
        fed["m"] = draw(5, 5)
    made = model([node("Attention", names, ["y"], **more)], inputs, ["y"], opset=23)
    assert "scaled_dot_product_attention" in ops(agree(made, tmp_path, fed))
