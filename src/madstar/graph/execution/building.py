"""`build`: from a graph and weights to a module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from ...errors import GraphError
from ..model import Call, Graph, Node, Parameter
from ..paths import SEQUENCE, SEQUENCE_MODULE, join
from ..soundness import check_sound
from ..walk import blocks, parameters
from .kernels import computable
from .module import BuiltModule, Part
from .plans import Program, Unit, label
from .weights import Source, source

Weights = Mapping[str, Tensor] | nn.Module | str | Path | Sequence[str | Path]


def build(
    graph: Graph,
    weights: Weights | None = None,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
    *,
    beside: str | Path | None = None,
) -> BuiltModule:
    """A module that computes what the graph says, for inputs of any sizes that fit; it runs and trains.

    Args:
        graph: Any sound graph.
        weights: A state dict, a module, or safetensors files; what they hold beyond the graph is left alone.
            Values are copied. Fresh weights if None.
        generator: For fresh weights, in the order of the parameters (`madstar.graph.execution.fresh`).
        device: Where the weights shall be; where they are given, or the CPU. On "meta" no values are needed.
        dtype: Into which weights of floating point are converted; what the graph states in the dtype of its
            weights is then computed in this.
        beside: The folder of the graph's file: take the weights from the files that the graph names.

    The module's names are the graph's: submodules nest as the blocks do, `state_dict()` has the original's
    keys, tied weights are one tensor. It is in evaluation, as the graph was recorded.

    Raises GraphError for weights that are missing or of another shape, and for a node that cannot be
    computed, with its place.
    """
    check_sound(graph)
    check_computable(graph)
    kinds = _kinds(graph)
    module = _class(BuiltModule, *kinds[""])(graph)
    wanted = parameters(graph)
    if device is not None:
        device = torch.device(device)
    values = source(graph, wanted, weights, generator, device, dtype, beside)
    parts = _Parts(module, kinds)
    _register(module, graph, parts, wanted, values)
    module._unit = _units(graph, module, parts)
    parts.close()
    return module.eval()


def check_computable(graph: Graph) -> None:
    """Raise GraphError, naming all operations that have no function, and the first node of each."""
    missing: dict[str, str] = {}
    for definition in graph.definitions.values():
        for item in definition.items:
            if isinstance(item, Node) and not computable(item):
                missing.setdefault(item.op, label(definition, item))
    if missing:
        first = next(iter(missing.values()))
        more = f"; also {', '.join(list(missing)[1:4])}" if len(missing) > 1 else ""
        raise GraphError(f"{first}: there is no function that computes it{more}")


def _kinds(graph: Graph) -> dict[str, tuple[str, str]]:
    """The class of each module by path: of its block, else that which its weights name."""
    found: dict[str, tuple[str, str]] = {}
    for base, definition in blocks(graph):
        for parameter in definition.parameters:
            owner = join(base, parameter.path).rpartition(".")[0]
            where, _, _ = parameter.initialisation.rpartition(".")
            if "." in where:
                module, _, kind = where.rpartition(".")
                found.setdefault(owner, (kind, module))
    for base, definition in blocks(graph):
        if not _is_sequence(definition.kind, definition.module) and "|" not in base:
            found[base] = (definition.kind, definition.module)
    return found


def _is_sequence(kind: str, module: str) -> bool:
    return kind == SEQUENCE and module == SEQUENCE_MODULE


_Base = TypeVar("_Base", bound=Part)
_CLASSES: dict[tuple[type, str, str], Any] = {}


def _class(base: type[_Base], kind: str, module: str) -> type[_Base]:
    """A class of the original's name, so that the module prints, and is traced, as the original."""
    key = (base, kind, module)
    if key not in _CLASSES:
        name = kind if kind.isidentifier() else "Part"
        _CLASSES[key] = type(
            name, (base,), {"__module__": module or Part.__module__, "__doc__": base.__doc__}
        )
    found: type[_Base] = _CLASSES[key]
    return found


class _Parts:
    """The modules by path, made when first asked for."""

    def __init__(self, root: BuiltModule, kinds: Mapping[str, tuple[str, str]]) -> None:
        self.kinds = kinds
        self.found: dict[str, nn.Module] = {"": root}
        self.wanted: dict[str, None] = {}

    def at(self, path: str) -> nn.Module | None:
        """The module at a path; None where something that is none has its name."""
        found = self.found.get(path)
        if found is not None:
            return found
        above, _, name = path.rpartition(".")
        parent = self.at(above)
        if parent is None or not name or name in parent._parameters or name in parent._buffers:
            return None
        kind, module = self.kinds.get(path, ("Part", ""))
        made = _class(Part, kind, module)()
        if not hasattr(parent, name):
            parent.add_module(name, made)
        else:  # the name of a method, such as "type", or "forward"
            parent._modules[name] = made
        self.found[path] = made
        return made

    def close(self) -> None:
        """Numbered modules are put in order; those that compute nothing themselves become lists."""
        for path, part in list(self.found.items()):
            names = list(part._modules)
            if not names or not all(name.isdigit() for name in names):
                continue
            ordered = {name: part._modules[name] for name in sorted(names, key=int)}
            part._modules.clear()
            part._modules.update(ordered)
            plain = path and path not in self.kinds and not part._parameters and not part._buffers
            if plain and list(ordered) == [str(i) for i in range(len(ordered))]:
                above, _, name = path.rpartition(".")
                listed = nn.ModuleList(list(part.children()))
                self.found[above]._modules[name] = self.found[path] = listed


def _register(
    module: BuiltModule,
    graph: Graph,
    parts: _Parts,
    wanted: Mapping[str, Parameter],
    values: Source,
) -> None:
    group = {path: paths for paths in graph.tied for path in paths}
    made: dict[str, Tensor] = {}
    for path, parameter in wanted.items():
        tensor = made.get(path)
        if tensor is None:
            tensor = values.take(path, parameter)
            if values.is_parameter(path, parameter):
                tensor = nn.Parameter(tensor, requires_grad=parameter.trained)
            made |= dict.fromkeys((path, *group.get(path, ())), tensor)
        owner, _, name = path.rpartition(".")
        part = parts.at(owner)
        if part is None:
            raise GraphError(f"{path}: the weight and what holds it have one name")
        if isinstance(tensor, nn.Parameter):
            part._parameters[name] = tensor
        else:
            part._buffers[name] = tensor
            if not values.is_kept(path):
                part._non_persistent_buffers_set.add(name)
        if module._reference is None and tensor.is_floating_point() and parameter.trained:
            kept = part._parameters if isinstance(tensor, nn.Parameter) else part._buffers
            module._reference = (kept, name, parameter.dtype)
    values.finish()


def _units(graph: Graph, module: BuiltModule, parts: _Parts) -> Unit:
    """The uses of the blocks, each (block, path) once."""
    made: dict[tuple[str, str], Unit] = {}

    def holder(path: str) -> tuple[dict[str, Any], str]:
        owner, _, name = path.rpartition(".")
        part = parts.found[owner]
        return (part._parameters if name in part._parameters else part._buffers), name

    def unit(name: str, base: str, part: nn.Module | None, around: nn.Module) -> Unit:
        found = made.get((name, base))
        if found is not None:
            return found
        program: Program = module._programs[name]
        found = made[name, base] = Unit(program, base, part, part or around)
        found.weights = [holder(join(base, path)) for path in program.weights]
        for number, item in enumerate(program.definition.items):
            if isinstance(item, Node):
                if item.path and (leaf := parts.at(join(base, item.path))) is not None and leaf is not part:
                    found.leaves[number] = leaf
                continue
            found.children[number] = _children(item, base, found.around)
        return found

    def _children(call: Call, base: str, around: nn.Module) -> list[Unit]:
        below = graph.definitions[call.definition]
        sequence = _is_sequence(below.kind, below.module)
        units = []
        for path in call.paths:
            full = join(base, path)
            own = None if sequence or not path or "|" in full else parts.at(full)
            units.append(unit(call.definition, full, own, around))
        return units

    return unit(graph.root, "", None, module)
