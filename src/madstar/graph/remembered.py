"""Shapes of ATen operations on the meta device, computed once: layers repeat, and shapes cost Python.

What makes a tensor out of none is not remembered, and neither is what takes a tensor marked as `VALUED`: a
mode beneath the tracer may know values of those, and must see the operation to compute the next. Nor is what
gives truths, which it may be asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

VALUED = "_madstar_valued"
"""The attribute of a meta tensor whose values are known outside of it."""

_META = torch.device("meta")
_PLAIN = (Tensor, torch.nn.Parameter)
_Form = tuple[tuple[int, ...], tuple[int, ...], torch.dtype]


class Remembered:
    """Runs operations; those that only make new tensors, once for each combination of arguments' forms."""

    def __init__(self) -> None:
        self._forms: dict[Any, list[_Form] | _Form | None] = {}

    def run(self, overload: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the operation gives. Only for those whose schema says that nothing is aliased or written."""
        first = args[0] if args else None
        if isinstance(first, (list, tuple)) and first:
            first = first[0]
        if not isinstance(first, Tensor):
            return overload(*args, **kwargs)
        key = _key((overload, args, kwargs) if kwargs else (overload, args))
        if key is None:
            return overload(*args, **kwargs)
        try:
            form = self._forms[key]
        except KeyError:
            result = _run(overload, args, kwargs)
            self._forms[key] = _forms(result)
            return result
        if form is None:
            return overload(*args, **kwargs)
        if isinstance(form, list):
            made = [
                torch.empty_strided(size, stride, dtype=dtype, device=_META) for size, stride, dtype in form
            ]
            return tuple(made)
        return torch.empty_strided(form[0], form[1], dtype=form[2], device=_META)


def _run(overload: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    if overload is torch.ops.aten._grouped_mm.default and args[0].device == _META:
        return grouped_product(*args, **kwargs)
    return overload(*args, **kwargs)


def grouped_product(
    first: Tensor,
    second: Tensor,
    offsets: Tensor | None = None,
    bias: Tensor | None = None,
    out_dtype: torch.dtype | None = None,
    *,
    offs: Tensor | None = None,
) -> Tensor:
    """The form of aten._grouped_mm: matrices of groups, whose rows, columns or inner sizes `offs` divides.

    torch's own shape function for the meta device refuses all dtypes but bfloat16 and sizes that are no
    multiple of 16 bytes; those are limits of one kernel, around which models go on their devices.
    """
    offs = offs if offs is not None else offsets
    groups = [second.shape[0]] if first.dim() == second.dim() == 3 else []
    if first.dim() == second.dim() == 2 and offs is not None:
        groups = [offs.shape[0]]
    return first.new_empty((*groups, first.shape[-2], second.shape[-1]), dtype=out_dtype or first.dtype)


def _forms(result: Any) -> list[_Form] | _Form | None:
    if type(result) is Tensor:
        return (tuple(result.shape), result.stride(), result.dtype) if _simple(result) else None
    if type(result) is tuple and result and all(type(part) is Tensor and _simple(part) for part in result):
        return [(tuple(part.shape), part.stride(), part.dtype) for part in result]
    return None


def _simple(tensor: Tensor) -> bool:
    plain = tensor.device == _META and tensor.layout is torch.strided and tensor.storage_offset() == 0
    return plain and tensor.dtype is not torch.bool


def _key(given: Any) -> Any:
    """A hashable picture of arguments; None where values may be known, or something has no hash."""
    kind = type(given)
    if kind in _PLAIN:
        if given.device != _META or given.layout is not torch.strided or hasattr(given, VALUED):
            return None
        return (given.shape, given.stride(), given.dtype, given.is_conj())
    if kind is tuple or kind is list:
        parts: list[Any] = []
        for part in given:
            if part is None:
                parts.append(None)
                continue
            key = _key(part)
            if key is None:
                return None
            parts.append(key)
        return tuple(parts)
    if kind is dict:
        return _key(tuple(given.items()))
    if kind in (bool, int, float, str):
        # 1, 1.0 and True are equal to Python and not to torch.
        return (kind, given)
    if isinstance(
        given, (torch._ops.OpOverload, torch.dtype, torch.device, torch.layout, torch.memory_format)
    ):
        return given
    return None
