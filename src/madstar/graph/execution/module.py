"""A graph as a module: submodules nested as its blocks are, weights under their own names."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import GraphError
from ...plugins import nearest
from ..model import Graph
from ..structures import leaves
from .attributes import Moment
from .outputs import arranged
from .plans import Plans, Program, Unit, Watch, execute
from .sizes import bound_sizes, check_dtypes

_KEPT = 8
"""Moments of which the plans are kept."""


class Part(nn.Module):
    """A module of a built graph: a block, or a node that is a module of its own.

    It holds weights and modules; what it computes belongs to the graph, and is given to forward as `via`.
    """

    def forward(self, *values: Any, via: Callable[..., Any] | None = None) -> Any:
        """What `via` gives for the values: what the block takes in the graph's order, or a node's tensors."""
        if via is None:
            raise GraphError(f"{type(self).__name__} is a part of a graph; call the whole")
        made = via(*values)
        return made[0] if isinstance(made, tuple) and len(made) == 1 else made


class BuiltModule(Part):
    """A graph's computation with weights; made by `build`.

    Takes what the graph takes, by name or in order, as tensors or as the structures of tensors that the
    original took. Gives the original's structure of outputs as plain values: a tensor, a tuple, or an
    `Outputs`, a dictionary whose entries are attributes too.

    What was recorded in evaluation stays so (dropout that did nothing is not in the graph), but for
    batch_norm, dropout and recurrent layers that are in the graph: in training, these train.
    """

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph
        self._programs = {name: Program(definition) for name, definition in graph.definitions.items()}
        self._stated = list(zip(graph.input_names, graph.main.inputs, strict=True))
        self._moments: dict[Any, Plans] = {}
        self._unit: Unit | None = None
        self._reference: tuple[dict[str, Any], str, str] | None = None

    def forward(self, *values: Any, via: Callable[..., Any] | None = None, **named: Any) -> Any:
        """The graph's outputs.

        Raises GraphError for an input that is missing or unknown, of another dtype, number of dimensions or
        fixed size than the graph states, for inputs that contradict each other in a size, and where torch
        fails, naming the node.
        """
        given = self.bound(values, named)
        plans = self.plans(given)
        return arranged(self.graph.output_names, self.computed(given, plans))

    def __deepcopy__(self, memo: dict[int, Any]) -> BuiltModule:
        memo[id(self.graph)] = self.graph
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin

    def computed(self, given: list[Tensor], plans: Plans) -> tuple[Tensor, ...]:
        """The outputs in the graph's order."""
        assert self._unit is not None
        return execute(self._unit, plans.plan(self.graph.root, {}), *given)

    def bound(self, values: tuple[Any, ...], named: Mapping[str, Any]) -> list[Tensor]:
        """The inputs in the graph's order."""
        heads = list(dict.fromkeys(name.partition(".")[0] for name, _ in self._stated))
        if len(values) > len(heads):
            raise GraphError(f"{self.graph.name} takes {len(heads)} inputs, {len(values)} were given")
        found: dict[str, Tensor] = {}
        for head, part in (*zip(heads, values, strict=False), *named.items()):
            if part is None:
                continue
            tensors = leaves(part)
            if not tensors:
                raise GraphError(
                    f"{self.graph.name}: {head} is no tensor; what is none is fixed in the graph"
                )
            for path, tensor in tensors:
                name = f"{head}.{path}" if path else head
                if name in found:
                    raise GraphError(f"{self.graph.name}: input {name!r} is given twice")
                found[name] = tensor
        wanted = [name for name, _ in self._stated]
        for name in found:
            if name not in wanted:
                raise GraphError(
                    f"{self.graph.name} has no input {name!r}{nearest(name, wanted)}; it takes "
                    f"{', '.join(wanted[:8]) or 'none'}"
                )
        missing = [name for name in wanted if name not in found]
        if missing:
            raise GraphError(f"{self.graph.name} also takes {', '.join(missing[:8])}; give all inputs")
        return [found[name] for name in wanted]

    def plans(self, given: list[Tensor], watch: Watch | None = None) -> Plans:
        """The plans for inputs of these shapes; kept for the next time unless someone watches."""
        cast = self._cast()
        check_dtypes(self._stated, given, cast)
        shapes = tuple([tuple(tensor.shape) for tensor in given])
        device = given[0].device if given else self._device()
        key = (shapes, device, tuple(cast.items()))
        found = self._moments.get(key) if watch is None else None
        if found is None:
            stated = [(name, value.shape) for name, value in self._stated]
            sizes = bound_sizes(stated, shapes, self.graph.symbols)
            self._check_unrolled(sizes)
            found = Plans(self.graph, self._programs, Moment(sizes, device, cast), watch)
            if watch is None:
                while len(self._moments) >= _KEPT:
                    self._moments.pop(next(iter(self._moments)))
                self._moments[key] = found
        return found

    def _check_unrolled(self, sizes: Mapping[str, int]) -> None:
        """A loop over a size was written out as often as at the first size traced."""
        found = list(self.graph.facts.get("unrolled_over", ()))
        if len(found) > 1 and "batch" in found:
            found.remove("batch")  # which of them it is was not known, and loops over samples are rare
        for symbol in found:
            traced = self.graph.symbols.get(symbol, (0,))[0]
            if sizes.get(symbol, traced) != traced:
                raise GraphError(
                    f"{self.graph.name}: {symbol} is {sizes[symbol]}, and a loop over it is written out for "
                    f"{traced}; give inputs of that size, or trace the model at this one"
                )

    def _cast(self) -> Mapping[str, str]:
        """The dtype that the weights were converted to, if they were."""
        if self._reference is None:
            return {}
        tensors, name, stated = self._reference
        now = str(tensors[name].dtype).removeprefix("torch.")
        return {} if now == stated else {stated: now}

    def _device(self) -> torch.device:
        tensor = next((t for tensors in (self.parameters(), self.buffers()) for t in tensors), None)
        return torch.device("cpu") if tensor is None else tensor.device
