"""Values of tensors that a constructor computes, kept while a model is built on the meta device.

Strides, tables of codes, frequencies of rotary positions, sinusoids and triangular masks follow from the
configuration alone, yet on the meta device they have no values. `MadeValues` computes small tensors beside
it on the CPU, from the functions that make tensors of numbers to whatever is done with what they made.
Whoever builds a model within it calls `label`, and finds the values at the model's buffers and other
attributes, under the name `madstar.graph.buffers.MADE`: `made_in` reads them. What is drawn at random is not
known, nor what it is written into.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from madstar.graph.buffers import MADE

LARGEST = 1 << 22
"""Elements of the largest tensors whose values are kept: a mask of 2048 by 2048."""

_MAKERS = frozenset(
    (
        *("arange", "zeros", "ones", "full", "tensor", "as_tensor", "linspace", "logspace", "eye"),
        *("scalar_tensor", "tril_indices", "triu_indices"),
    )
)
_NOT_HELD = ("_parameters", "_modules")
_DRAWN = ("random", "normal", "uniform", "bernoulli", "dropout", "exponential", "multinomial", "rand")


class MadeValues(TorchFunctionMode):
    """Computes on the CPU, beside the meta device, what needs no weights."""

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[int, Tensor] = {}
        self._kept: list[Tensor] = []  # an id must not be given to another tensor
        self._unknown: set[int] = set()  # storages into which something unknown was written

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        made = func(*args, **kwargs)
        try:
            self._follow(func, made, args, kwargs)
        except Exception:  # a value less; what was asked for is made
            self._forget(args[:1])
        return made

    def label(self, module: nn.Module) -> None:
        """Put the values that are known at the module's tensors; equal ones, such as masks, are one."""
        different: dict[tuple[torch.Size, torch.dtype], list[Tensor]] = {}
        for tensor in _untrained(module):
            value = self.value(tensor)
            if value is not None and value.shape == tensor.shape and tensor.device.type == "meta":
                value = value.to(tensor.dtype)
                alike = different.setdefault((value.shape, value.dtype), [])
                same = next((other for other in alike if torch.equal(other, value)), None)
                if same is None:
                    alike.append(value)
                setattr(tensor, MADE, value if same is None else same)

    def value(self, tensor: Tensor) -> Tensor | None:
        """The value of a tensor on the meta device; None where it is not known."""
        if tensor.device.type != "meta":
            return tensor
        known = self._values.get(id(tensor))
        return None if known is None or _storage(tensor) in self._unknown else known

    def _follow(self, func: Any, made: Any, args: Any, kwargs: dict[str, Any]) -> None:
        name = getattr(func, "__name__", "")
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        writes = name == "__setitem__" or (name.endswith("_") and not name.endswith("__")) or "out" in kwargs
        if not given:
            if name in _MAKERS and isinstance(made, Tensor) and made.device.type == "meta":
                self._keep(made, func, args, {**kwargs, "device": "cpu"})
            return
        if all(tensor.device.type != "meta" for tensor in given):
            return
        known = all(self.value(tensor) is not None for tensor in given) and not any(
            word in name for word in _DRAWN
        )
        if writes:
            if not known:
                self._forget(args[:1])
                return
            with torch.no_grad():
                self._computed(func, args, kwargs)
            return
        if known and isinstance(made, Tensor) and made.device.type == "meta":
            self._keep(made, func, args, kwargs)
        elif known and isinstance(made, (tuple, list)):
            for part, value in zip(made, self._computed(func, args, kwargs), strict=True):
                if isinstance(part, Tensor):
                    self._note(part, value)

    def _keep(self, made: Tensor, func: Any, args: Any, kwargs: dict[str, Any]) -> None:
        if made.numel() <= LARGEST:
            self._note(made, self._computed(func, args, kwargs))

    def _note(self, made: Tensor, value: Any) -> None:
        if isinstance(value, Tensor) and value.shape == made.shape:
            self._values[id(made)] = value.detach()
            self._kept.append(made)

    def _computed(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        def on_cpu(leaf: Any) -> Any:
            if isinstance(leaf, Tensor):
                return self.value(leaf)
            return torch.device("cpu") if _is_meta(leaf) else leaf

        with torch._C.DisableTorchFunction():
            return func(*tree_map(on_cpu, args), **tree_map(on_cpu, kwargs))

    def _forget(self, written: Any) -> None:
        self._unknown |= {_storage(leaf) for leaf in tree_leaves(written) if isinstance(leaf, Tensor)}


def made_in(module: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """The tensors of a module whose values its constructor makes known, each with them."""
    for tensor in _untrained(module):
        value = getattr(tensor, MADE, None)
        if value is not None and value.shape == tensor.shape and tensor.device.type == "meta":
            yield tensor, value.to(tensor.dtype)


def _untrained(module: nn.Module) -> Iterator[Tensor]:
    """The buffers of a module, and its attributes that are tensors or hold some; each once."""
    found = {
        id(leaf): leaf
        for part in module.modules()
        for leaf in tree_leaves([value for name, value in vars(part).items() if name not in _NOT_HELD])
        if isinstance(leaf, Tensor)
    }
    yield from found.values()


def _is_meta(leaf: Any) -> bool:
    return leaf == "meta" if isinstance(leaf, str) else leaf == torch.device("meta")


def _storage(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
