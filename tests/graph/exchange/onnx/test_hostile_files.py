"""Files that break the rules: one line that names the node or tensor, and nothing is made of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from onnx import TensorProto, helper

from madstar.errors import GraphError
from madstar.graph.exchange.onnx import onnx_weights, read_onnx
from madstar.graph.exchange.onnx.tensors import Stored

from .onnx_files import model, saved, small

node = helper.make_node
X = ("float32", ["batch", 4])


def refused(made: Any, folder: Path, *words: str, **limits: int) -> str:
    """Assert that the file is refused in one line with these words; the line."""
    path = saved(made, folder) if not isinstance(made, bytes) else folder / "raw.onnx"
    if isinstance(made, bytes):
        path.write_bytes(made)
    with pytest.raises(GraphError) as error:
        read_onnx(path, **limits)  # type: ignore[arg-type]
    line = str(error.value)
    assert "\n" not in line
    assert len(line) < 700
    for word in words:
        assert word in line, (word, line)
    return line


def test_the_valid_one_is_read(tmp_path: Path) -> None:
    assert read_onnx(saved(small(), tmp_path)).input_names == ("x",)


def _first(made: Any, name: str) -> Any:
    return next(each for each in made.graph.node if each.name == name)


def cycle(made: Any) -> None:
    _first(made, "product").input[0] = "r"


def out_of_order(made: Any) -> None:
    nodes = list(made.graph.node)[::-1]
    del made.graph.node[:]
    made.graph.node.extend(nodes)


def nowhere(made: Any) -> None:
    _first(made, "reshaped").input[0] = "nothing"


def twice(made: Any) -> None:
    _first(made, "last").output[0] = "a"


def two_tensors(made: Any) -> None:
    made.graph.initializer.append(made.graph.initializer[0])


def two_inputs(made: Any) -> None:
    made.graph.input.append(made.graph.input[0])


def two_outputs(made: Any) -> None:
    made.graph.output.append(made.graph.output[0])


def no_outputs(made: Any) -> None:
    del made.graph.output[:]


def missing_input(made: Any) -> None:
    del made.graph.input[:]


def unknown_output(made: Any) -> None:
    made.graph.output[0].name = "elsewhere"


def operation(made: Any) -> None:
    _first(made, "last").op_type = "NoSuchThing"


def domain(made: Any) -> None:
    _first(made, "last").domain = "com.example"


def too_old(made: Any) -> None:
    made.opset_import[0].version = 9


def too_new(made: Any) -> None:
    made.opset_import[0].version = 9999


def negative(made: Any) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -4


def enormous(made: Any) -> None:
    made.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 1 << 60


def enormous_tensor(made: Any) -> None:
    made.graph.initializer[0].dims[:] = [1 << 31, 1 << 31]


def negative_tensor(made: Any) -> None:
    made.graph.initializer[0].dims[:] = [-4, -6]


def too_few_bytes(made: Any) -> None:
    made.graph.initializer[0].dims[:] = [4, 600]


def enormous_filled(made: Any) -> None:
    made.graph.initializer[1].CopyFrom(helper.make_tensor("rest", TensorProto.INT64, [2], [1 << 40, 1 << 40]))
    nodes = [node("ConstantOfShape", ["rest"], ["y"], name="filled")]
    del made.graph.node[:]
    made.graph.node.extend(nodes)


def does_not_fit(made: Any) -> None:
    made.graph.initializer[0].dims[:] = [6, 4]


def text(made: Any) -> None:
    made.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING


def sequence(made: Any) -> None:
    made.graph.input[0].type.CopyFrom(helper.make_sequence_type_proto(made.graph.output[0].type))


def control(made: Any) -> None:
    branch = helper.make_graph([], "branch", [], [made.graph.output[0]])
    made.graph.node.append(node("If", ["x"], ["z"], then_branch=branch, else_branch=branch, name="either"))
    made.graph.output[0].name = "z"


def loop(made: Any) -> None:
    made.graph.node.append(
        node("Loop", ["", "", "x"], ["z"], body=helper.make_graph([], "b", [], []), name="round")
    )
    made.graph.output[0].name = "z"


def of_data(made: Any) -> None:
    made.graph.node.insert(3, node("NonZero", ["a"], ["n"], name="found"))
    _first(made, "last").input[0] = "n"
    del made.graph.value_info[:]


FAULTS: dict[Callable[[Any], None], tuple[str, ...]] = {
    cycle: ("product", "'r'", "cycle"),
    out_of_order: ("last", "'r'", "out of order"),
    nowhere: ("reshaped", "'nothing'"),
    twice: ("last", "'a'", "given twice"),
    two_tensors: ("'fc.weight'",),
    two_inputs: ("'x'",),
    two_outputs: ("'y'",),
    no_outputs: ("no outputs",),
    missing_input: ("product", "'x'"),
    unknown_output: ("'elsewhere'",),
    operation: ("last", "NoSuchThing"),
    domain: ("last", "com.example"),
    too_old: ("opset 9",),
    too_new: ("opset 9999",),
    negative: ("'x'", "-4"),
    enormous: ("'x'", "limit"),
    enormous_tensor: ("'fc.weight'", "limit"),
    negative_tensor: ("'fc.weight'", "-4"),
    too_few_bytes: ("'fc.weight'", "bytes"),
    enormous_filled: ("filled",),
    does_not_fit: ("product",),
    text: ("'x'",),
    sequence: ("'x'", "no tensor"),
    control: ("either", "control flow"),
    loop: ("round", "control flow"),
    of_data: ("found", "depends on data"),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_fault(fault: Callable[[Any], None], tmp_path: Path) -> None:
    made = small()
    fault(made)
    refused(made, tmp_path, *FAULTS[fault])


def test_files_that_are_none(tmp_path: Path) -> None:
    refused(b"", tmp_path)
    refused(b"not a model at all, only text" * 10, tmp_path)
    refused(small().SerializeToString()[:-40], tmp_path)
    for path in (tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(GraphError, match="no such file"):
            read_onnx(path)


def test_limits_hold_before_anything_is_made(tmp_path: Path) -> None:
    refused(small(), tmp_path, "limit is 10", max_bytes=10)
    refused(small(), tmp_path, "5 nodes", max_nodes=4)
    refused(small(), tmp_path, "'fc.weight'", max_elements=23)


# External data.


def external(location: str, *, offset: int | None = None, length: int | None = None) -> Any:
    """The valid model with its weight in another file."""
    made = small()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", offset), ("length", length)):
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return made


def test_external_data_within_the_folder_is_read(tmp_path: Path) -> None:
    values = numpy.arange(30, dtype=numpy.float32)
    (tmp_path / "weights.bin").write_bytes(values.tobytes())
    file = saved(external("weights.bin", offset=24, length=96), tmp_path)
    found = onnx_weights(file)["fc.weight"]
    assert torch.equal(found.flatten(), torch.from_numpy(values[6:]))


@pytest.mark.parametrize(
    "location", ["/etc/passwd", "../weights.bin", "a/../../weights.bin", "link.bin", "", "\0"]
)
def test_external_data_outside_the_folder_is_refused(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "inner"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(96))
    os.symlink(tmp_path / "weights.bin", folder / "link.bin")
    refused(external(location), folder, "'fc.weight'", "outside")


def test_external_data_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(50))
    os.mkfifo(tmp_path / "pipe")
    for location, more in (
        ("missing.bin", {}),
        ("short.bin", {}),
        (".", {}),
        ("pipe", {}),
        ("short.bin", {"offset": -8}),
    ):
        refused(external(location, **more), tmp_path, "'fc.weight'")


# Functions.


def function(name: str, nodes: list[Any]) -> Any:
    return helper.make_function(
        "own", name, ["a"], ["b"], nodes, [helper.make_opsetid("", 20), helper.make_opsetid("own", 1)]
    )


def test_functions_are_written_out(tmp_path: Path) -> None:
    twice_ = function("Twice", [node("Add", ["a", "a"], ["c"]), node("Relu", ["c"], ["b"])])
    outer = function(
        "Outer", [node("Twice", ["a"], ["t"], domain="own"), node("Twice", ["t"], ["b"], domain="own")]
    )
    made = model([node("Outer", ["x"], ["y"], domain="own")], {"x": X}, ["y"], functions=[twice_, outer])
    file = saved(made, tmp_path)
    graph = read_onnx(file)
    assert [item.op for item in graph.main.items] == ["add", "relu", "add", "relu"]  # type: ignore[union-attr]
    given_ = torch.tensor([[1.0, -1.0, 2.0, 0.0]])
    assert torch.equal(graph.build()(given_).y, (4 * given_).relu())


def test_functions_that_call_themselves(tmp_path: Path) -> None:
    one = function("One", [node("Two", ["a"], ["b"], domain="own")])
    two = function("Two", [node("One", ["a"], ["b"], domain="own")])
    made = model([node("One", ["x"], ["y"], domain="own")], {"x": X}, ["y"], functions=[one, two])
    refused(made, tmp_path, "calls itself")


def test_functions_that_would_be_billions_of_nodes(tmp_path: Path) -> None:
    functions = [function("F0", [node("Relu", ["a"], ["b"])])]
    for i in range(1, 31):
        below = f"F{i - 1}"
        nodes = [node(below, ["a"], ["c"], domain="own"), node(below, ["c"], ["b"], domain="own")]
        functions.append(function(f"F{i}", nodes))
    made = model([node("F30", ["x"], ["y"], domain="own")], {"x": X}, ["y"], functions=functions)
    refused(made, tmp_path, "1,073,741,824 nodes")


def test_values_are_not_read_before_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = model(
        [node("MatMul", ["x", "fc.weight"], ["y"])],
        {"x": ("float32", ["n", 64])},
        ["y"],
        {"fc.weight": numpy.ones((64, 64), numpy.float32)},
    )
    file = saved(made, tmp_path)

    def forbidden(self: Stored) -> Any:
        raise AssertionError(f"{self.name} is read")

    monkeypatch.setattr(Stored, "array", forbidden)
    assert read_onnx(file).main.parameters[0].shape == (64, 64)
