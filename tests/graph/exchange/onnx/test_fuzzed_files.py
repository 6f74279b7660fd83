"""Files of any content: a graph or one line, never anything else."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy
import onnx
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from madstar.errors import GraphError
from madstar.graph.exchange.onnx import read_onnx
from madstar.graph.model import Graph

from .onnx_files import small

node = helper.make_node

BYTES = small().SerializeToString()


def outcome(data: bytes) -> str:
    """What the reader says of a file, empty where it makes a graph of it; all else is raised."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        file.write(data)
        file.flush()
        try:
            assert isinstance(read_onnx(file.name), Graph)
        except GraphError as error:
            return str(error)
    return ""


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, len(BYTES) - 1), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 3),
)
def test_any_bytes_changed_give_a_graph_or_one_line(changes: list[tuple[int, int]], way: int) -> None:
    data = bytearray(BYTES)
    for place, value in changes:
        place %= len(data)
        if way == 0:
            data[place] = value
        elif way == 1:
            data.insert(place, value)
        elif way == 2 and len(data) > 2:
            del data[place]
        else:
            data[place] ^= 1 << value % 8
    assert "\n" not in outcome(bytes(data))


ATTRIBUTES = [
    *("axis", "axes", "kernel_shape", "pads", "strides", "mode", "perm", "group", "num_outputs", "k", "to"),
    "auto_pad",
]


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(
        ["Gather", "Slice", "Reshape", "Split", "Conv", "Pad", "Resize", "TopK", "Attention", "Gemm"]
    ),
    st.lists(st.sampled_from(["x", "w", "i", "", "s"]), max_size=6),
    st.dictionaries(
        st.sampled_from(ATTRIBUTES),
        st.one_of(
            st.integers(-(1 << 40), 1 << 40),
            st.lists(st.integers(-9, 9), min_size=1, max_size=4),
            st.just("linear"),
        ),
        max_size=3,
    ),
)
def test_any_arguments_give_a_graph_or_one_line(
    op: str, names: list[str], attributes: dict[str, Any]
) -> None:
    weights = {
        "w": numpy.ones((3, 4), numpy.float32),
        "i": numpy.array([1, -7, 1 << 40]),
        "s": numpy.array(2),
    }
    graph = helper.make_graph(
        [node(op, names, ["y"], name="the one", **attributes)],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_empty_tensor_value_info("y")],
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)])
    said = outcome(made.SerializeToString())
    assert not said or "the one" in said
    assert "\n" not in said
