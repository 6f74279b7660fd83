"""What is answered where a model asks for values that depend on weights: guesses, which are noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from madstar.graph.guessing import RATHER_FALSE
from madstar.graph.remembered import grouped_product

if TYPE_CHECKING:
    from madstar.zoo.values import KnownValues


def _empty(*shape: int, dtype: torch.dtype) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def _scalar(known: KnownValues, args: Any, kwargs: Any) -> Any:
    kind = args[0].dtype
    taken: Any = 1.0 if kind.is_floating_point else 1
    if kind is torch.bool:  # as the tracer guesses: what checks for the unusual finds nothing
        taken = known.makers.get(id(args[0])) not in RATHER_FALSE
    known.guess("item", taken)
    return taken


def _equal(known: KnownValues, args: Any, kwargs: Any) -> Any:
    known.guess("equal", True)
    return True


def _nonzero(known: KnownValues, args: Any, kwargs: Any) -> Any:
    count = max(args[0].shape, default=1)
    known.guess("nonzero", f"{count} places")
    return _empty(count, args[0].dim(), dtype=torch.int64)


def _masked_select(known: KnownValues, args: Any, kwargs: Any) -> Any:
    mask = known.value(args[1])
    if mask is not None:
        return _empty(int(mask.expand(args[0].shape).sum()), dtype=args[0].dtype)
    known.guess("masked_select", "half")
    return _empty(max(args[0].numel() // 2, 1), dtype=args[0].dtype)


def _bincount(known: KnownValues, args: Any, kwargs: Any) -> Any:
    bins = max(kwargs.get("minlength", 0), args[2] if len(args) > 2 else 0, 1)
    known.guess("bincount", f"{bins} bins")
    return _empty(bins, dtype=torch.int64)


def _unique(known: KnownValues, args: Any, kwargs: Any) -> Any:
    n = args[0].numel()
    known.guess("unique", f"{n} different")
    return (
        _empty(n, dtype=args[0].dtype),
        _empty(*args[0].shape, dtype=torch.int64),
        _empty(n, dtype=torch.int64),
    )


def _repeat_interleave(known: KnownValues, args: Any, kwargs: Any) -> Any:
    if len(args) > 1:
        return NotImplemented
    n = kwargs.get("output_size") or args[0].numel()
    known.guess("repeat_interleave", f"{n} in all")
    return _empty(n, dtype=torch.int64)


def _index(known: KnownValues, args: Any, kwargs: Any) -> Any:
    """Masks of known value become the places that they mark; others as many as they are long."""
    places: list[Tensor | None] = []
    for index in args[1]:
        if index is None or index.dtype not in (torch.bool, torch.uint8):
            places.append(None if index is None else index.to("meta"))
            continue
        value = known.value(index)
        if value is not None:
            places += [found.to("meta") for found in value.nonzero(as_tuple=True)]
            continue
        count = max(index.shape, default=1)
        known.guess("index", f"{count} places")
        places += [_empty(count, dtype=torch.int64) for _ in range(index.dim())]
    return torch.ops.aten.index.Tensor(args[0].to("meta"), places)


def _index_put(known: KnownValues, args: Any, kwargs: Any) -> Any:
    return torch.empty_like(args[0], device="meta")


def _index_put_in_place(known: KnownValues, args: Any, kwargs: Any) -> Any:
    known.forget(args[0])
    return args[0]


GUESSES: dict[str, Callable[[KnownValues, Any, Any], Any]] = {
    "_local_scalar_dense": _scalar,
    "is_nonzero": _scalar,
    "equal": _equal,
    "nonzero": _nonzero,
    "masked_select": _masked_select,
    "bincount": _bincount,
    "_unique2": _unique,
    "unique_consecutive": _unique,
    "unique_dim": _unique,
    "repeat_interleave": _repeat_interleave,
    "_grouped_mm": lambda known, args, kwargs: grouped_product(*args, **kwargs),
    "index": _index,
    "index_put": _index_put,
    "index_put_": _index_put_in_place,
    "_index_put_impl_": _index_put_in_place,
}
