"""Small ONNX files made by hand, and both ways to compute one: onnxruntime, and the graph read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper

from madstar.graph import check
from madstar.graph.exchange.onnx import onnx_weights, read_onnx
from madstar.graph.model import Graph

NAMES = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
    "int32": TensorProto.INT32,
}


def model(
    nodes: Sequence[Any],
    inputs: Mapping[str, tuple[str, Sequence[Any]]],
    outputs: Sequence[str],
    weights: Mapping[str, Any] | None = None,
    *,
    opset: int = 20,
    functions: Sequence[Any] = (),
) -> Any:
    """A ModelProto; an input is a dtype and a shape, whose texts are names of open sizes."""
    given = [
        helper.make_tensor_value_info(name, NAMES[dtype], list(shape))
        for name, (dtype, shape) in inputs.items()
    ]
    results = [helper.make_empty_tensor_value_info(name) for name in outputs]
    held = [numpy_helper.from_array(numpy.asarray(value), name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(list(nodes), "small", given, results, held)
    imports = [helper.make_opsetid("", opset)] + [helper.make_opsetid("own", 1)] * bool(functions)
    made = helper.make_model(graph, opset_imports=imports, functions=list(functions), ir_version=10)
    if not functions:
        made = onnx.shape_inference.infer_shapes(made)
    return made


def saved(made: Any, folder: Path, name: str = "small.onnx") -> Path:
    """The model as a file."""
    path = folder / name
    path.write_bytes(made.SerializeToString())
    return path


def in_runtime(file: Path, inputs: Mapping[str, Any]) -> list[Any]:
    """What onnxruntime gives."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    result: list[Any] = session.run(None, dict(inputs))
    return result


def in_graph(graph: Graph, file: Path, inputs: Mapping[str, Any]) -> list[Any]:
    """What the module gives that is built of the graph with the file's weights."""
    built = graph.build(weights=onnx_weights(file))
    with torch.no_grad():
        given = built.bound((), {name: torch.from_numpy(value) for name, value in inputs.items()})
        return [tensor.numpy() for tensor in built.computed(given, built.plans(given))]


def agree(made: Any, folder: Path, inputs: Mapping[str, Any]) -> Graph:
    """Assert that the graph read of a model is sound and gives what onnxruntime does; the graph."""
    file = saved(made, folder)
    graph = read_onnx(file)
    found = check(graph)
    assert not found.errors, found.text()
    wanted = in_runtime(file, inputs)
    mine = in_graph(graph, file, inputs)
    assert len(wanted) == len(mine)
    for a, b in zip(wanted, mine, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        numpy.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    return graph


def ops(graph: Graph) -> list[str]:
    """The operations of a graph, block after block."""
    return [item.op for d in graph.definitions.values() for item in d.items if hasattr(item, "op")]


def small() -> Any:
    """A valid model, with a weight and a computed shape."""
    nodes = [
        helper.make_node("MatMul", ["x", "fc.weight"], ["a"], name="product"),
        helper.make_node("Shape", ["x"], ["s"], name="shape", start=0, end=1),
        helper.make_node("Concat", ["s", "rest"], ["t"], axis=0, name="joined"),
        helper.make_node("Reshape", ["a", "t"], ["r"], name="reshaped"),
        helper.make_node("Relu", ["r"], ["y"], name="last"),
    ]
    weights = {"fc.weight": numpy.ones((4, 6), numpy.float32), "rest": numpy.array([2, 3])}
    return model(nodes, {"x": ("float32", ["batch", 4])}, ["y"], weights)
