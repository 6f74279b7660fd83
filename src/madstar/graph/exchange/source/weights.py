"""Weights and buffers as Python: how a fresh one is drawn, what a buffer holds."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from ...buffers import computed
from ...execution.fresh import _CALL, _NORMS, _RECURRENT, _SCALES, _UNIFORM
from ...model import Graph, Parameter
from .texts import dtype, number

_FLOAT = re.compile(r"[-+]?\d*\.?\d+(?:[eE][-+]?\d+)?")


def drawn(parameter: Parameter, shapes: Mapping[str, tuple[int, ...]]) -> str:
    """A fresh tensor for a weight, by the rules of `madstar.graph.execution.fresh`; `shapes` are others'."""
    shape, kind = _shape(parameter.shape), _dtype(parameter.dtype)
    filled = _rule(parameter, shapes)
    if isinstance(filled, float):
        if filled in (0.0, 1.0):
            return f"torch.{'ones' if filled else 'zeros'}({shape}{kind})"
        return f"torch.full({_tuple(parameter.shape)}, {number(filled)}{kind})"
    method, first, second = filled
    return f"torch.empty({shape}{kind}).{method}({number(first)}, {number(second)})"


def redrawn(expression: str, parameter: Parameter, kind: str) -> str:
    """What draws a weight of a module of torch.nn anew, where the graph says otherwise; else empty."""
    said = parameter.initialisation
    name = parameter.path.rpartition(".")[2]
    if said in ("unknown", f"torch.nn.{kind}.{name}") or not _CALL.fullmatch(said.strip()):
        return ""
    found = _rule(parameter, {})
    if isinstance(found, float):
        if found in (0.0, 1.0):
            return f"nn.init.{'ones' if found else 'zeros'}_({expression})"
        return f"nn.init.constant_({expression}, {number(found)})"
    return f"nn.init.{found[0]}({expression}, {number(found[1])}, {number(found[2])})"


def _rule(parameter: Parameter, shapes: Mapping[str, tuple[int, ...]]) -> float | tuple[str, float, float]:
    said = parameter.initialisation.strip()
    if (form := _CALL.fullmatch(said)) and (stated := _stated(form[1], form[2] or "")) is not None:
        return stated
    where, _, name = said.rpartition(".")
    kind = where.rpartition(".")[2]
    shape = parameter.shape
    if kind in _RECURRENT:
        hidden = shape[0] // {"L": 4, "G": 3}.get(kind[0], 1) if shape else 1
        bound = 1 / math.sqrt(max(hidden, 1))
        return "uniform_", -bound, bound
    if kind.endswith(_NORMS) and len(shape) <= 1:
        return 0.0 if "bias" in name or "beta" in name or "mean" in name else 1.0
    if kind in ("Embedding", "EmbeddingBag"):
        return "normal_", 0.0, 1.0
    if kind == "PReLU":
        return 0.25
    if kind == "MultiheadAttention" and name.endswith("weight") and len(shape) == 2:
        bound = math.sqrt(6 / (shape[0] + shape[1]))
        return "uniform_", -bound, bound
    if kind in _UNIFORM or kind.endswith(("Linear", "Conv1d", "Conv2d", "Conv3d")):
        if name != "weight" or len(shape) < 2:
            weight = shapes.get(f"{parameter.path.rpartition('.')[0]}.weight".lstrip("."), ())
            shape = weight if len(weight) >= 2 else shape
        fan = math.prod(shape[1:]) if len(shape) >= 2 else math.prod(shape)
        bound = 1 / math.sqrt(fan) if fan else 0.0
        return "uniform_", -bound, bound
    own = parameter.path.rpartition(".")[2]
    name = name or own
    if "bias" in name or (len(shape) <= 1 and name not in _SCALES):
        return 0.0
    return 1.0 if len(shape) <= 1 else ("normal_", 0.0, 0.02)


def _stated(kind: str, text: str) -> float | tuple[str, float, float] | None:
    numbers = [float(part) for part in map(str.strip, text.split(",")) if _FLOAT.fullmatch(part)]
    if kind in ("zeros", "ones") and not text.strip():
        return float(kind == "ones")
    if kind == "constant" and len(numbers) == 1:
        return numbers[0]
    if kind in ("normal", "uniform") and len(numbers) in (0, 2):
        first, second = numbers or (0.0, 1.0)
        return f"{kind}_", first, second
    return None


def held(graph: Graph, paths: Sequence[str], parameter: Parameter) -> tuple[str, bool]:
    """What a buffer holds at all the full paths that a block's is at, and whether that is known."""
    if _CALL.fullmatch(parameter.initialisation.strip()) is not None:
        return drawn(parameter, {}), True
    found = [computed(graph, path, parameter) for path in paths]
    if found and found[0] is not None and all(f is not None and _equal(f, found[0]) for f in found):
        return values(found[0]), True
    return f"torch.zeros({_shape(parameter.shape)}{_dtype(parameter.dtype)})", not found


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and torch.equal(torch.nan_to_num(a), torch.nan_to_num(b))


def values(tensor: Tensor) -> str:
    """A tensor with its values."""
    kind = _dtype(str(tensor.dtype).removeprefix("torch."))
    shape = tuple(tensor.shape)
    flat = tensor.flatten()
    if not flat.numel():
        return f"torch.zeros({_shape(shape)}{kind})"
    if bool((flat == flat[0]).all()):
        if flat[0] == 0:
            return f"torch.zeros({_shape(shape)}{kind})"
        return f"torch.full({_tuple(shape)}, {number(flat[0].item())}{kind or ', dtype=torch.float32'})"
    if (counted := _counted(tensor)) or (counted := _frequencies(tensor)):
        return counted
    listed = [number(each) for each in flat.tolist()]
    reshaped = f".reshape({_shape(shape)})" if len(shape) != 1 else ""
    return f"torch.tensor([{', '.join(listed)}]{kind or ', dtype=torch.float32'}){reshaped}"


def _counted(tensor: Tensor) -> str:
    """Whole numbers that count along the last dimension."""
    if tensor.is_floating_point() or tensor.dtype is torch.bool or not tensor.dim():
        return ""
    first, count = int(tensor.flatten()[0]), tensor.shape[-1]
    counts = torch.arange(first, first + count).to(tensor.dtype)
    if not torch.equal(counts.expand(tensor.shape), tensor):
        return ""
    kind = _dtype(str(tensor.dtype).removeprefix("torch.")) if tensor.dtype is not torch.int64 else ""
    text = f"torch.arange({f'{first}, ' if first else ''}{first + count}{kind})"
    return text if tensor.dim() == 1 else f"{text}.expand({_shape(tuple(tensor.shape))}).clone()"


def _frequencies(tensor: Tensor) -> str:
    """The frequencies of rotary positions, base ** -(2i / d)."""
    if tensor.dtype is not torch.float32 or tensor.dim() != 1 or tensor.numel() < 4 or tensor[0] != 1:
        return ""
    width = 2 * tensor.numel()
    base = round(float(tensor[1].double() ** (-width / 2)), -1)
    if not 10 < base < 1e9:
        return ""
    made = 1.0 / (base ** (torch.arange(0, width, 2) / width))
    if not torch.equal(made, tensor):
        return ""
    return f"1.0 / ({base} ** (torch.arange(0, {width}, 2) / {width}))"


def _shape(shape: Iterable[int]) -> str:
    found = ", ".join(map(str, shape))
    return found or "()"


def _tuple(shape: Sequence[int]) -> str:
    return f"({shape[0]},)" if len(shape) == 1 else f"({', '.join(map(str, shape))})"


def _dtype(name: str) -> str:
    return "" if name == "float32" else f", dtype={dtype(name)}"


def shapes_of(parameters: Iterable[Parameter]) -> dict[str, tuple[int, ...]]:
    """The shapes of a block's weights by path."""
    return {parameter.path: parameter.shape for parameter in parameters}


__all__ = ["drawn", "held", "redrawn", "shapes_of", "values"]
