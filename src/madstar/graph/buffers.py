"""Buffers: which ones a module does not save, and what those hold that follow from the configuration.

A state dict lacks buffers that are made anew, such as the frequencies of rotary positions, and a graph that
was traced on the meta device has no values of any. So the fact `buffers` says for a buffer, by full path,
whether it is saved, and its values where they are known: in short if they are all one number, or that in a
triangle, as masks are, or count along the last dimension, as positions do; in full if they are few. None of
them is learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import GraphError
from .model import Graph, Parameter

FACT = "buffers"
LARGEST = 4096
"""Elements of the largest buffer whose values are recorded in full."""

MADE = "_madstar_made"
"""Where whoever built a module on the meta device may put a buffer's values, at the buffer."""

_WHOLE, _LOWER, _UPPER = "all", "lower", "upper"


def recorded(module: nn.Module) -> dict[str, Any]:
    """The fact for a module; empty where nothing is to be said of its buffers."""
    found: dict[str, dict[str, Any]] = {}
    with torch.utils._python_dispatch._disable_current_modes():
        for path, tensor, saved in _buffers(module):
            value = getattr(tensor, MADE, None) if tensor.device.type == "meta" else tensor.detach().cpu()
            known = in_short(value) if value is not None else {}
            if saved and tensor.device.type != "meta" and known.get("filled", (_WHOLE,))[0] == _WHOLE:
                known = {}  # its state dict has it; a triangle is said, for it is a mask
            if known or not saved:
                found[path] = ({} if saved else {"saved": False}) | known
    return {FACT: found} if found else {}


def _buffers(module: nn.Module) -> Iterator[tuple[str, Tensor, bool]]:
    for base, part in module.named_modules(remove_duplicate=False):
        for name, tensor in sorted(part._buffers.items()):
            if tensor is not None:
                yield f"{base}.{name}" if base else name, tensor, name not in part._non_persistent_buffers_set


def in_short(value: Tensor) -> dict[str, Any]:
    """A buffer's values, in the shortest form that they have; none if they are many and have none."""
    if value.is_complex() or not value.numel():
        return {}
    if value.dim() and not value.is_floating_point() and value.dtype is not torch.bool:
        begin = int(value.flatten()[0])
        if torch.equal(_counted(value.shape, value.dtype, begin), value):
            return {"counts_from": begin}
    for form in (_WHOLE, _LOWER, _UPPER):
        number = value.flatten()[value.shape[-1] - 1 if form == _UPPER and value.dim() else 0]
        if torch.equal(_filled(value.shape, value.dtype, form, number.item()), value):
            return {"filled": [form, _listed(number.item())]}
    return {"values": _listed(value.tolist())} if value.numel() <= LARGEST else {}


def _counted(shape: Any, dtype: torch.dtype, begin: int) -> Tensor:
    """Whole numbers along the last dimension, the same along all others."""
    return torch.arange(begin, begin + shape[-1]).to(dtype).expand(tuple(shape)).clone()


def _filled(shape: Any, dtype: torch.dtype, form: str, number: Any) -> Tensor:
    """A tensor of one number: everywhere, or in the lower or upper triangle with the diagonal."""
    whole = torch.full(tuple(shape), number, dtype=dtype)
    if form == _WHOLE or whole.dim() < 2:
        return whole
    return torch.tril(whole) if form == _LOWER else torch.triu(whole)


def said(graph: Graph) -> Mapping[str, Mapping[str, Any]]:
    """The fact of a graph: by full path of a buffer what is said of it, not yet checked."""
    found = graph.facts.get(FACT)
    if not isinstance(found, Mapping):
        return {}
    return {path: each for path, each in found.items() if isinstance(each, Mapping)}


def not_saved(graph: Graph) -> frozenset[str]:
    """The buffers that state dicts do not have, as far as the graph knows."""
    return frozenset(path for path, each in said(graph).items() if each.get("saved") is False)


def computed(graph: Graph, path: str, parameter: Parameter) -> Tensor | None:
    """The values of a buffer as recorded, or as its name says; None where nothing is known of it.

    Raises GraphError where what is recorded is no such buffer.
    """
    dtype = getattr(torch, parameter.dtype)
    try:
        found = _as_said(said(graph).get(path, {}), parameter.shape, dtype)
    except (TypeError, ValueError, RuntimeError, IndexError):
        raise GraphError(
            f"{graph.name!r}: its fact {FACT!r} says nothing that {path} can hold; give weights that have it"
        ) from None
    if found is not None:
        return found
    if parameter.trained:
        return None
    name = path.rpartition(".")[2]
    if name in ("position_ids", "positions") and parameter.shape and not dtype.is_floating_point:
        return _counted(parameter.shape, dtype, 0)
    known = {"token_type_ids": 0, "num_batches_tracked": 0, "running_mean": 0, "running_var": 1}
    if name in known:
        return torch.full(parameter.shape, known[name], dtype=dtype)
    return None


def _as_said(said: Mapping[str, Any], shape: tuple[int, ...], dtype: torch.dtype) -> Tensor | None:
    """What the fact says of one buffer; facts come from files, and may say anything."""
    if (filled := said.get("filled")) is not None:
        form, number = filled
        return _filled(shape, dtype, form, _numbers(number))
    if (begin := said.get("counts_from")) is not None:
        return _counted(shape, dtype, begin)
    if (values := said.get("values")) is not None:
        return torch.tensor(_numbers(values), dtype=dtype).reshape(shape)
    return None


def _listed(values: Any) -> Any:
    """Numbers that JSON has; others as text."""
    if isinstance(values, list):
        return [_listed(value) for value in values]
    return str(values) if isinstance(values, float) and not abs(values) < float("inf") else values


def _numbers(values: Any) -> Any:
    if isinstance(values, (list, tuple)):
        return [_numbers(value) for value in values]
    return float(values) if isinstance(values, str) else values
