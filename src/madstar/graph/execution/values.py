"""`run`: a graph on an example, with what each node gives: its statistics, or the values themselves.

A value that is not a number, or is infinite, is traced to where it begins: the first node that gives one and
takes none. An infinity that the node states itself, such as the -inf of a mask, is none that begins.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ...errors import GraphError
from ..model import Graph, Node
from .building import Weights, build
from .outputs import arranged
from .plans import place

KEEP = ("statistics", "values")


@dataclass(frozen=True)
class Measured:
    """What one node gave once, for each of its outputs.

    `place` is the full path of the module that the node is, or its block's with its name behind a colon;
    `turn` the numbers of the turns, the outermost first, of runs all of whose turns have one path. `mean`,
    `std` (of the population), `least` and `most` are of the finite elements and None where there are none;
    `zeros` is the share of zeros. `begins` is "nan" or "inf" where that begins. `value` is kept on demand.
    """

    place: str
    op: str
    output: str
    dtype: str
    shape: tuple[int, ...]
    turn: tuple[int, ...] = ()
    mean: float | None = None
    std: float | None = None
    least: float | None = None
    most: float | None = None
    zeros: float | None = None
    nan: int = 0
    inf: int = 0
    begins: str = ""
    value: Tensor | None = None

    @property
    def name(self) -> str:
        """The place with its turns: "cell:add[3]"."""
        return self.place + "".join(f"[{turn}]" for turn in self.turn)


@dataclass(frozen=True)
class Values:
    """All that was measured, in the order of computation: inputs, weights that are not finite, nodes."""

    measured: tuple[Measured, ...]
    outputs: Any
    sizes: Mapping[str, int]

    @property
    def faults(self) -> tuple[Measured, ...]:
        """Where something begins that is not a number or infinite, the first first."""
        return tuple(each for each in self.measured if each.begins)

    def at(self, place: str) -> tuple[Measured, ...]:
        """What was given at a place, once for each output and turn. Raises GraphError where there is none."""
        found = tuple(each for each in self.measured if place in (each.place, each.name))
        if not found:
            raise GraphError(f"nothing was computed at {place!r}; places are such as {self._some()}")
        return found

    def _some(self) -> str:
        return ", ".join(list(dict.fromkeys(each.place for each in self.measured))[-3:])


def run(
    graph: Graph,
    inputs: Mapping[str, Any] | Sequence[Any] | Tensor,
    weights: Weights | None = None,
    *,
    keep: str = "statistics",
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
) -> Values:
    """Compute a graph once, without gradients, and measure every value.

    Args:
        graph: Any sound graph.
        inputs: By name, in order, or the only one.
        weights: As for `build`; fresh ones, drawn from the generator, if None.
        keep: "statistics", which holds no value longer than the computation needs it; or "values".
        generator: For fresh weights.
        device: Where to compute; inputs are moved there.

    Raises:
        GraphError: as `build`, and its module, do; another word for `keep`.
    """
    if keep not in KEEP:
        raise GraphError(f"keep is {keep!r}; give {' or '.join(KEEP)}")
    module = build(graph, weights, generator, device)
    values, named = _given(inputs)
    given = module.bound(values, named)
    if device is not None:
        given = [tensor.to(device) for tensor in given]
    watch = _Watch(keep == "values")
    for name, tensor in zip(graph.input_names, given, strict=True):
        watch.measure(name, "input", name, tensor, ())
    watch.weights(module)
    plans = module.plans(given, watch)
    with torch.no_grad():
        made = module.computed(given, plans)
    return Values(tuple(watch.measured), arranged(graph.output_names, made), dict(plans.moment.sizes))


def _given(inputs: Any) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    if isinstance(inputs, Mapping):
        return (), inputs
    return (tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)), {}


class _State(NamedTuple):
    """Whether a tensor has NaN, infinities, and whether these come from where something began."""

    nan: bool
    inf: bool
    spoilt: bool


class _Watch:
    """Measures what each node gives as soon as it is there."""

    def __init__(self, keep: bool) -> None:
        self.keep = keep
        self.measured: list[Measured] = []
        self.turns: list[int] = []
        self._states: dict[int, tuple[weakref.ref[Tensor], _State]] = {}

    def turn(self, number: int) -> None:
        """A turn of a run begins; the last has ended at -1."""
        if number != 0:
            self.turns.pop()
        if number >= 0:
            self.turns.append(number)

    def node(self, block: str, node: Node, taken: list[Any], given: list[Any]) -> None:
        """Measure a node's outputs."""
        before = [self._state(tensor) for tensor in taken]
        stated = _states_infinity(node)
        where = place(block, node)
        for value, tensor in zip(node.outputs, given, strict=True):
            self.measure(where, node.op, value.name, tensor, tuple(self.turns), before, stated)

    def weights(self, module: nn.Module) -> None:
        """Those weights that are not finite."""
        for tensors in (module.named_parameters(), module.named_buffers()):
            for name, tensor in tensors:
                state = self._state(tensor)
                if state.nan or state.inf:
                    self.measure(name, "weight", name, tensor, ())

    def measure(
        self,
        where: str,
        op: str,
        output: str,
        tensor: Tensor,
        turn: tuple[int, ...],
        before: Sequence[_State] = (),
        stated: bool = False,
    ) -> None:
        """Add a tensor's statistics."""
        found = statistics_of(tensor)
        nan, inf = found["nan"] > 0, found["inf"] > 0
        spoilt = any(state.spoilt for state in before)
        begins = ""
        if nan and not spoilt and not any(state.nan for state in before):
            begins = "nan"
        elif inf and not nan and not stated and not any(state.nan or state.inf for state in before):
            begins = "inf"
        self._remember(tensor, _State(nan, inf, (nan or inf) and (spoilt or bool(begins))))
        dtype = str(tensor.dtype).removeprefix("torch.")
        kept = tensor.detach() if self.keep else None
        self.measured.append(
            Measured(where, op, output, dtype, tuple(tensor.shape), turn, **found, begins=begins, value=kept)
        )

    def _state(self, tensor: Tensor) -> _State:
        """What is known of a tensor, for as long as it lives."""
        known = self._states.get(id(tensor))
        if known is not None and known[0]() is tensor:
            return known[1]
        found = statistics_of(tensor, brief=True)
        state = _State(found["nan"] > 0, found["inf"] > 0, False)
        self._remember(tensor, state)
        return state

    def _remember(self, tensor: Tensor, state: _State) -> None:
        key = id(tensor)
        self._states[key] = weakref.ref(tensor, lambda _: self._states.pop(key, None)), state


def statistics_of(tensor: Tensor, brief: bool = False) -> dict[str, Any]:
    """Mean, deviation, least, most, share of zeros, counts of NaN and infinities; `brief` only the counts."""
    if tensor.device.type == "meta":
        return {"nan": 0, "inf": 0}
    real = torch.view_as_real(tensor.detach().resolve_conj()) if tensor.is_complex() else tensor.detach()
    if not real.is_floating_point():
        real = real.double()
        nan = inf = 0
    else:
        nan, inf = int(real.isnan().sum()), int(real.isinf().sum())
    if brief:
        return {"nan": nan, "inf": inf}
    finite = real[real.isfinite()] if nan or inf else real
    found: dict[str, Any] = {"nan": nan, "inf": inf}
    if real.numel():
        found["zeros"] = float((real == 0).double().mean())
    if finite.numel():
        wide = (
            finite.double() if finite.numel() <= 1 << 20 or finite.dtype is torch.float64 else finite.float()
        )
        mean = float(wide.mean())
        found |= {"mean": mean, "least": float(wide.min()), "most": float(wide.max())}
        found["std"] = math.sqrt(max(float((wide - mean).square().mean()), 0.0))
    return found


def _states_infinity(node: Node) -> bool:
    return node.op in ("constant", "tensor") or any(_infinite(value) for _, value in node.attributes)


def _infinite(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(_infinite(part) for part in value)
    return value in ("inf", "-inf") or (isinstance(value, float) and math.isinf(value))
