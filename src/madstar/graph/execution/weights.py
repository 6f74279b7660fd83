"""Where a built module's weights come from: a module, a state dict, files, or fresh ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from ...errors import GraphError
from ..buffers import computed, not_saved
from ..frozen import frozen
from ..model import Graph, Parameter
from ..weights import PREFIX
from .fresh import Fresh


class Source(Protocol):
    """Gives the values of weights and buffers by full path."""

    def take(self, path: str, parameter: Parameter) -> Tensor:
        """A tensor of its own, where and in the dtype that the module shall have it."""

    def is_parameter(self, path: str, parameter: Parameter) -> bool:
        """Whether it is a parameter, trained or frozen, and no buffer."""

    def is_kept(self, path: str) -> bool:
        """Whether a buffer is part of the state dict."""

    def finish(self) -> None:
        """Called when all was taken; raises GraphError where some were missing."""


def source(
    graph: Graph,
    wanted: Mapping[str, Parameter],
    weights: Any,
    generator: torch.Generator | None,
    device: torch.device | None,
    dtype: torch.dtype | None,
    beside: str | Path | None,
) -> Source:
    """The source that the arguments of `build` name. Raises GraphError where they contradict each other."""
    place = _Placing(device, dtype)
    if beside is not None:
        if weights is not None:
            raise GraphError("weights and beside: give one of them")
        if not graph.weights:
            raise GraphError(f"{graph.name} names no files of weights; give weights, or leave out beside")
        prefix = str(graph.facts.get(PREFIX, ""))
        return _Files([Path(beside) / name for name in graph.weights], graph, wanted, place, prefix)
    if weights is None:
        return Fresh(graph, wanted, generator, place.device or torch.device("cpu"), dtype)
    if generator is not None:
        raise GraphError("weights and generator: a generator is for fresh weights; give one of them")
    if isinstance(weights, nn.Module):
        return _OfModule(weights, graph, place)
    if isinstance(weights, Mapping):
        return _Given(weights, graph, wanted, place)
    files = [weights] if isinstance(weights, (str, Path)) else list(weights)
    return _Files([Path(file) for file in files], graph, wanted, place, None)


class _Placing:
    """Where weights go, and in which dtype."""

    def __init__(self, device: torch.device | None, dtype: torch.dtype | None) -> None:
        self.device, self.dtype = device, dtype

    def copy(self, path: str, parameter: Parameter, given: Tensor) -> Tensor:
        """A copy with the graph's dtype, or the one asked for."""
        if tuple(given.shape) != parameter.shape:
            raise GraphError(
                f"{path}: expected {list(parameter.shape)}, found {list(given.shape)} in the weights; "
                "give those of this model"
            )
        dtype = getattr(torch, parameter.dtype)
        if self.dtype is not None and dtype.is_floating_point:
            dtype = self.dtype
        if given.device.type == "meta" and (self.device is None or self.device.type != "meta"):
            raise GraphError(f'{path}: these weights have no values; build on device="meta", or give values')
        return given.detach().to(device=self.device or given.device, dtype=dtype, copy=True).contiguous()


class _Tensors:
    """From a mapping of names to tensors; what is missing is told at the end, all at once."""

    def __init__(self, graph: Graph, place: _Placing) -> None:
        self.graph, self.place = graph, place
        self.missing: list[str] = []
        self.groups = {path: paths for paths in graph.tied for path in paths}
        self.unsaved, self.frozen = not_saved(graph), frozen(graph)

    def find(self, path: str) -> Tensor | None:
        """The tensor of a path, None where there is none."""
        raise NotImplementedError

    def take(self, path: str, parameter: Parameter) -> Tensor:
        for name in (path, *self.groups.get(path, ())):
            given = self.find(name)
            if given is not None:
                return self.place.copy(path, parameter, given)
        if self.place.device is None or self.place.device.type != "meta":
            made = computed(self.graph, path, parameter)
            if made is not None:
                return self.place.copy(path, parameter, made)
            self.missing.append(path)
        return torch.empty(parameter.shape, dtype=getattr(torch, parameter.dtype), device="meta")

    def is_parameter(self, path: str, parameter: Parameter) -> bool:
        return parameter.trained or path in self.frozen

    def is_kept(self, path: str) -> bool:
        return path not in self.unsaved

    def finish(self) -> None:
        if not self.missing:
            return
        more = f" and {len(self.missing) - 4} more" if len(self.missing) > 4 else ""
        raise GraphError(
            f"{self.graph.name}: the weights lack {', '.join(self.missing[:4])}{more}; add them, or give the "
            "module instead of its state dict if they are buffers that it does not save"
        )


class _Given(_Tensors):
    def __init__(
        self, weights: Mapping[str, Tensor], graph: Graph, wanted: Mapping[str, Parameter], place: _Placing
    ) -> None:
        super().__init__(graph, place)
        self.weights = weights
        self.prefix = common_prefix(wanted, weights)

    def find(self, path: str) -> Tensor | None:
        return self.weights.get(self.prefix + path)

    def is_kept(self, path: str) -> bool:
        return self.prefix + path in self.weights


class _OfModule(_Tensors):
    def __init__(self, module: nn.Module, graph: Graph, place: _Placing) -> None:
        super().__init__(graph, place)
        self.parameters = dict(module.named_parameters(remove_duplicate=False))
        self.buffers = dict(module.named_buffers(remove_duplicate=False))
        self.saved = set(module.state_dict(keep_vars=True))

    def find(self, path: str) -> Tensor | None:
        return self.parameters.get(path, self.buffers.get(path))

    def is_parameter(self, path: str, parameter: Parameter) -> bool:
        return path in self.parameters

    def is_kept(self, path: str) -> bool:
        return path in self.saved


class _Files(_Tensors):
    def __init__(
        self,
        files: Sequence[Path],
        graph: Graph,
        wanted: Mapping[str, Parameter],
        place: _Placing,
        prefix: str | None,
    ) -> None:
        super().__init__(graph, place)
        self.opened: dict[str, Any] = {}
        for file in files:
            if not file.is_file():
                raise GraphError(f"weights {file}: there is no such file")
            try:
                opened = safe_open(file, framework="pt")
                self.opened |= dict.fromkeys(opened.keys(), opened)
            except (SafetensorError, OSError) as error:
                said = " ".join(str(error).split())[:120]
                raise GraphError(f"weights {file}: no safetensors file ({said})") from None
        self.prefix = common_prefix(wanted, self.opened) if prefix is None else prefix

    def find(self, path: str) -> Tensor | None:
        opened = self.opened.get(self.prefix + path)
        if opened is None:
            return None
        found: Tensor = opened.get_tensor(self.prefix + path)
        return found


def common_prefix(wanted: Mapping[str, Parameter], held: Iterable[str]) -> str:
    """What stands before the graph's paths in the names held, such as "model."; else ""."""
    names = set(held)
    paths = [path for path, parameter in wanted.items() if parameter.trained] or list(wanted)
    if not paths or any(path in names for path in paths):
        return ""
    first = next((name for name in names for path in paths[:50] if name.endswith(f".{path}")), None)
    if first is None:
        return ""
    path = max((path for path in paths if first.endswith(f".{path}")), key=len)
    return first[: -len(path)]
