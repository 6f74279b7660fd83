"""Values that control flow asks of tensors without any: a documented guess instead of a failure.

| asked                                         | taken                                              |
|-----------------------------------------------|----------------------------------------------------|
| a number (`.item()`, `int(t)`)                | 1                                                  |
| a truth (`if t:`)                             | False for any, eq, ne, gt, lt, isnan; else True    |
| equality of tensors                           | True                                               |
| where a tensor is not zero, boolean indexing  | as many places as the longest dimension has        |
| masked_select                                 | half of the elements                               |
| unique, unique_consecutive                    | all different                                      |
| bincount                                      | `minlength` bins, at least one                     |
| repeat_interleave by a tensor                 | each once                                          |
| the values on the CPU (`.cpu()`, `.tolist()`) | ones                                               |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

aten = torch.ops.aten
Answer = tuple[Any, str]
Ask = Callable[[Sequence[Any], Mapping[str, Any], str], "Answer | None"]

RATHER_FALSE = ("any", "eq", "ne", "gt", "lt", "isnan", "isinf", "logical_not")


def _number(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    tensor = args[0]
    if tensor.dtype is torch.bool:
        taken = maker not in RATHER_FALSE
        return taken, str(taken)
    return (1.0, "1.0") if tensor.dtype.is_floating_point else (1, "1")


def _equal(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    return True, "True"


def _nonzero(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    tensor = args[0]
    found = max(tensor.shape, default=1)
    return _empty(tensor, (found, tensor.dim()), torch.int64), f"{found} places"


def _masked_select(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    found = max(args[0].numel() // 2, 1)
    return _empty(args[0], (found,)), f"{found} elements"


def _unique(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    tensor = args[0]
    found = tensor.numel()
    places = _empty(tensor, tuple(tensor.shape), torch.int64)
    counts = _empty(tensor, (found,), torch.int64)
    return (_empty(tensor, (found,)), places, counts), f"{found} different"


def _unique_along(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    tensor, dim = args[0], args[1]
    found = tensor.shape[dim]
    numbers = [_empty(tensor, (found,), torch.int64) for _ in range(2)]
    return (_empty(tensor, tuple(tensor.shape)), *numbers), f"{found} different"


def _bincount(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    least = kwargs.get("minlength", args[2] if len(args) > 2 else 0)
    return _empty(args[0], (max(least, 1),), torch.int64), f"{max(least, 1)} bins"


def _repeats(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    found = kwargs.get("output_size") or args[0].numel()
    return _empty(args[0], (found,), torch.int64), f"{found} in all"


def _index(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    """Boolean indexing: masks become as many positions as their longest dimension has."""
    tensor, indices = args[0], list(args[1])
    masks = [i for i in indices if i is not None and i.dtype in (torch.bool, torch.uint8)]
    if not masks:
        return None
    positions: list[Tensor | None] = []
    found = max(max(mask.shape, default=1) for mask in masks)
    for given in indices:
        if given is not None and given.dtype in (torch.bool, torch.uint8):
            positions += [_empty(tensor, (found,), torch.int64) for _ in range(given.dim())]
        else:
            positions.append(given)
    return aten.index.Tensor(tensor, positions), f"{found} places"


def _copied(args: Sequence[Any], kwargs: Mapping[str, Any], maker: str) -> Answer | None:
    if kwargs.get("device") is None or torch.device(kwargs["device"]).type == "meta":
        return None
    tensor = args[0]
    return torch.ones(tensor.shape, dtype=kwargs.get("dtype") or tensor.dtype), "ones"


def _empty(like: Tensor, shape: tuple[int, ...], dtype: torch.dtype | None = None) -> Tensor:
    return torch.empty(shape, dtype=dtype or like.dtype, device=like.device)


ASKED: Mapping[Any, Ask] = {
    aten._local_scalar_dense.default: _number,
    aten.is_nonzero.default: _number,
    aten.equal.default: _equal,
    aten.nonzero.default: _nonzero,
    aten.masked_select.default: _masked_select,
    aten._unique2.default: _unique,
    aten.unique_consecutive.default: _unique,
    aten.unique_dim.default: _unique_along,
    aten.bincount.default: _bincount,
    aten.repeat_interleave.Tensor: _repeats,
    aten.index.Tensor: _index,
    aten._to_copy.default: _copied,
}
"""What may be asked, and who answers: a value with words for it, or None where the values are not needed."""
