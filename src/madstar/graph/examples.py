"""The inputs a module is traced with, at the sizes that are asked for."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from madstar.errors import GraphError
from madstar.graph.recording import ForwardError

Binding = dict[str, int]
Call = tuple[tuple[Any, ...], dict[str, Any]]

# Sizes that are no multiples of each other tell sums from products; the second row is for models that
# work in chunks, the third for those with large ones.
_LADDERS = {
    "batch": ((2, 3, 5),),
    "length": ((16, 20, 31), (16, 32, 48), (64, 128, 192)),
}
_OTHER = ((6, 10, 17), (8, 16, 24))


class Examples:
    """Makes a forward's arguments for a binding of the symbols to sizes."""

    def __init__(
        self,
        module: nn.Module,
        given: Any,
        symbols: Sequence[str] | Mapping[str, Sequence[int]],
    ):
        self.asked = dict(symbols) if isinstance(symbols, Mapping) else {}
        names = list(symbols)
        self.fixed: Binding = {}
        self.make: Callable[..., Any] | None = None
        if callable(given) and not isinstance(given, (Tensor, Mapping)):
            self.make = given
            accepted = inspect.signature(given).parameters
            free = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
            self.symbols = [name for name in names if name in accepted or free]
            needed = [n for n, p in accepted.items() if p.default is p.empty and p.kind is not p.VAR_KEYWORD]
            # What it wants and nobody asked to keep symbolic has one size.
            self.fixed = {n: _LADDERS.get(n, _OTHER)[0][0] for n in needed if n not in names}
            return
        self.given = given
        self.axes = _axes(given, names)
        self.symbols = [name for name in names if any(name in axes.values() for axes in self.axes.values())]
        for symbol, sizes in self.asked.items():
            if len(sizes) < 2:
                raise GraphError(f"symbol {symbol!r} has one size; give two or more")

    def base(self) -> Binding:
        """The sizes of the run that is recorded."""
        return next(iter(self.bindings(self.symbols)))[0] if self.symbols else {}

    def bindings(self, symbols: Sequence[str]) -> Iterator[list[Binding]]:
        """Series of bindings to trace at, to be tried in order; symbols not named keep their first size."""
        rungs = max((len(self._ladders(symbol)) for symbol in symbols), default=0)
        for rung in range(rungs):
            columns = {}
            for symbol in self.symbols:
                ladders = self._ladders(symbol)
                columns[symbol] = list(ladders[min(rung, len(ladders) - 1)])
                columns[symbol][0] = ladders[0][0]
                if symbol not in symbols:
                    columns[symbol] = [columns[symbol][0]] * len(columns[symbol])
            count = min(len(column) for column in columns.values())
            yield [{symbol: column[i] for symbol, column in columns.items()} for i in range(count)]

    def _ladders(self, symbol: str) -> Sequence[Sequence[int]]:
        if symbol in self.asked:
            return (tuple(self.asked[symbol]),)
        ladders = _LADDERS.get(symbol, _OTHER)
        if self.make is None and symbol == "length":
            size = self._size("length")
            if size > 1:
                return (
                    (size, size + 4, size + 15),
                    (size, 2 * size, 3 * size),
                    (size, max(size // 2, 1), max(size // 4, 1)),
                )
        return ladders

    def _size(self, symbol: str) -> int:
        return next(
            tensor.shape[axis]
            for key, tensor in _tensors(self.given)
            for axis, name in self.axes[key].items()
            if name == symbol
        )

    def at(self, binding: Binding) -> Call:
        """Positional and keyword arguments at these sizes."""
        if self.make is not None:
            try:
                made = self.make(**self.fixed, **binding)
            except GraphError:
                raise
            except Exception as error:
                said = " ".join(str(error).split())[:200]
                raise ForwardError(f"no inputs at {binding}: {type(error).__name__}: {said}") from error
        else:
            made = _replaced(self.given, self.axes, binding)
        if isinstance(made, Mapping):
            return (), dict(made)
        if isinstance(made, (tuple, list)):
            return tuple(made), {}
        return (made,), {}


def _tensors(given: Any, path: str = "") -> Iterator[tuple[str, Tensor]]:
    if isinstance(given, Tensor):
        yield path, given
    elif isinstance(given, Mapping):
        for key, part in given.items():
            yield from _tensors(part, f"{path}.{key}")
    elif isinstance(given, (tuple, list)):
        for i, part in enumerate(given):
            yield from _tensors(part, f"{path}.{i}")


def _axes(given: Any, symbols: Sequence[str]) -> dict[str, dict[int, str]]:
    """Which axes of which given tensors are the batch and the length."""
    tensors = list(_tensors(given))
    axes: dict[str, dict[int, str]] = {key: {} for key, _ in tensors}
    shaped = [tensor for _, tensor in tensors if tensor.dim()]
    batch = shaped[0].shape[0] if shaped else 0
    lengths = [tensor.shape[1] for tensor in shaped if tensor.dim() >= 2 and not tensor.is_floating_point()]
    lengths += [tensor.shape[1] for tensor in shaped if tensor.dim() == 3]
    for key, tensor in tensors:
        if "batch" in symbols and tensor.dim() and tensor.shape[0] == batch:
            axes[key][0] = "batch"
        if "length" in symbols and lengths and (tensor.dim() <= 3 or not tensor.is_floating_point()):
            last = tensor.dim() if not tensor.is_floating_point() else 2
            for axis in range(1, min(last, tensor.dim())):
                if tensor.shape[axis] == lengths[0] and (axis == 1 or tensor.dim() > 2):
                    axes[key][axis] = "length"
    return axes


def _replaced(given: Any, axes: dict[str, dict[int, str]], binding: Binding, path: str = "") -> Any:
    if isinstance(given, Tensor):
        for axis, symbol in axes[path].items():
            if symbol in binding and given.shape[axis] != binding[symbol]:
                places = torch.arange(binding[symbol], device=given.device) % given.shape[axis]
                given = given.index_select(axis, places)
        return given
    if isinstance(given, Mapping):
        return {key: _replaced(part, axes, binding, f"{path}.{key}") for key, part in given.items()}
    if isinstance(given, (tuple, list)):
        return type(given)(_replaced(part, axes, binding, f"{path}.{i}") for i, part in enumerate(given))
    return given
