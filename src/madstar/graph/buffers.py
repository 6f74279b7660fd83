"""Buffers that a module makes anew and does not save, such as the frequencies of rotary positions.

A state dict lacks them, so a graph records them in the fact `buffers`, by full path: that they are not saved,
and their values where they have some and are small. They follow from the configuration; none is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from .model import Graph, Parameter

FACT = "buffers"
LARGEST = 4096
"""Elements of the largest buffer whose values are recorded."""


def recorded(module: nn.Module) -> dict[str, Any]:
    """The fact for a module; empty where all of its buffers are saved."""
    found: dict[str, dict[str, Any]] = {}
    for base, part in module.named_modules(remove_duplicate=False):
        for name in sorted(part._non_persistent_buffers_set):
            tensor = part._buffers.get(name)
            if tensor is None:
                continue
            said = found[f"{base}.{name}" if base else name] = {"saved": False}
            if tensor.device.type != "meta" and tensor.numel() <= LARGEST and not tensor.is_complex():
                with torch.utils._python_dispatch._disable_current_modes():
                    said["values"] = _listed(tensor.detach().cpu().tolist())
    return {FACT: found} if found else {}


def not_saved(graph: Graph) -> frozenset[str]:
    """The buffers that state dicts do not have, as far as the graph knows."""
    return frozenset(path for path, said in _read(graph).items() if said.get("saved") is False)


def computed(graph: Graph, path: str, parameter: Parameter) -> Tensor | None:
    """The values of a buffer as recorded, or as its name says; None where nothing is known of it."""
    values = _read(graph).get(path, {}).get("values")
    dtype = getattr(torch, parameter.dtype)
    if values is not None:
        found = torch.tensor(_numbers(values), dtype=dtype)
        if found.numel() == torch.Size(parameter.shape).numel():
            return found.reshape(parameter.shape)
    if parameter.trained:
        return None
    name = path.rpartition(".")[2]
    if name in ("position_ids", "positions") and parameter.shape and not dtype.is_floating_point:
        return torch.arange(parameter.shape[-1], dtype=dtype).expand(parameter.shape).clone()
    known = {"token_type_ids": 0, "num_batches_tracked": 0, "running_mean": 0, "running_var": 1}
    if name in known:
        return torch.full(parameter.shape, known[name], dtype=dtype)
    return None


def _read(graph: Graph) -> Mapping[str, Mapping[str, Any]]:
    said = graph.facts.get(FACT)
    if not isinstance(said, Mapping):
        return {}
    return {path: each for path, each in said.items() if isinstance(each, Mapping)}


def _listed(values: Any) -> Any:
    """Numbers that JSON has; others as text."""
    if isinstance(values, list):
        return [_listed(value) for value in values]
    return str(values) if isinstance(values, float) and not abs(values) < float("inf") else values


def _numbers(values: Any) -> Any:
    if isinstance(values, (list, tuple)):
        return [_numbers(value) for value in values]
    return float(values) if isinstance(values, str) else values
