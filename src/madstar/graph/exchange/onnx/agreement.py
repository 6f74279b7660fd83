"""Whether an ONNX file computes what the module does: both run on the same inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

from ....errors import GraphError, in_one_line
from ...execution.module import BuiltModule
from .extras import need

TOLERANCE = 1e-4
_COARSE = {torch.bfloat16: 2e-2, torch.float16: 5e-3}


@dataclass(frozen=True)
class Comparison:
    """What was compared: the symbols' sizes, and the largest difference of any output.

    The difference is relative to the largest absolute value of its output, or to 1e-6 where that is less.
    """

    sizes: dict[str, int]
    difference: float
    equal: bool


def session(file: str | Path) -> Any:
    """An onnxruntime session on the CPU. Raises GraphError for what it cannot load."""
    runtime = need("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        return runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise GraphError(f"onnxruntime does not take the file: {in_one_line(error, 240)}") from None


def computed(running: Any, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What a session gives, by name. Inputs that it has no use for are left out."""
    known = {each.name for each in running.get_inputs()}
    fed = {name: _array(tensor) for name, tensor in inputs.items() if name in known}
    names = [each.name for each in running.get_outputs()]
    try:
        values = running.run(names, fed)
    except Exception as error:
        raise GraphError(f"onnxruntime cannot run it: {in_one_line(error, 240)}") from None
    return {name: torch.from_numpy(numpy.array(value)) for name, value in zip(names, values, strict=True)}


def _array(tensor: Tensor) -> Any:
    try:
        return tensor.detach().contiguous().numpy()
    except TypeError:
        raise GraphError(f"onnxruntime is not given {tensor.dtype}: its Python has no such numbers") from None


def of_module(built: BuiltModule, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What the module gives, by the names of the graph's outputs."""
    with torch.no_grad():
        given = built.bound((), {name: tensor.clone() for name, tensor in inputs.items()})
        made = built.computed(given, built.plans(given))
    return dict(zip(built.graph.output_names, made, strict=True))


def compare(mine: Mapping[str, Tensor], theirs: Mapping[str, Tensor], sizes: dict[str, int]) -> Comparison:
    """What the module gives and what the file does. Raises GraphError where a shape differs."""
    worst, equal = 0.0, True
    for name, tensor in mine.items():
        other = theirs[name]
        if other.shape != tensor.shape:
            raise GraphError(f"output {name!r}: expected {list(tensor.shape)}, found {list(other.shape)}")
        found = difference(tensor, other)
        worst = max(worst, found)
        equal &= found <= _COARSE.get(tensor.dtype, TOLERANCE)
    return Comparison(sizes, worst, equal)


def difference(wanted: Tensor, found: Tensor) -> float:
    """The largest difference, relative to the largest value wanted; infinite where only one is finite."""
    if not wanted.numel():
        return 0.0
    if wanted.is_complex():
        wanted, found = torch.view_as_real(wanted), torch.view_as_real(found)
    a, b = wanted.double(), found.double()
    if not torch.equal(torch.isfinite(a), torch.isfinite(b)):
        return float("inf")
    finite = torch.isfinite(a)
    if not finite.any():
        return 0.0
    a, b = a[finite], b[finite]
    return float((a - b).abs().max() / a.abs().max().clamp(min=1e-6))
