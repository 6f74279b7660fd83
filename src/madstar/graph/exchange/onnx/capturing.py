"""A built graph as a program of torch.export, its symbols kept open.

A built module settles its sizes before it computes, as numbers; here they are settled as torch's symbolic
integers, taken from the inputs, so that every size that the graph states as an expression stays one.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ....errors import GraphError, in_one_line
from ...dims import evaluate, symbols
from ...execution.attributes import Moment
from ...execution.module import BuiltModule, Part
from ...execution.plans import Plans, Program, Unit, execute
from ...model import Dim, Graph, Value


class Capturing(Part):
    """A built module's parts with a forward in the graph's order of inputs and outputs, for any sizes."""

    graph: Graph
    _stated: list[tuple[str, Value]]
    _programs: dict[str, Program]
    _unit: Unit
    _casts: dict[str, str]

    def forward(self, *given: Any, via: Any = None) -> tuple[Tensor, ...]:
        """The graph's outputs for its inputs."""
        sizes: dict[str, Any] = {s: traced[0] for s, traced in self.graph.symbols.items()}
        sizes |= open_sizes([v.shape for _, v in self._stated], [tensor.shape for tensor in given], sizes)
        device = given[0].device if given else torch.device("cpu")
        plans = Plans(self.graph, self._programs, Moment(sizes, device, self._casts))
        return execute(self._unit, plans.plan(self.graph.root, {}), *given)


def open_sizes(
    stated: Sequence[Sequence[Dim]], given: Sequence[Sequence[Any]], traced: Container[str]
) -> dict[str, Any]:
    """The symbols' sizes from the shapes of inputs, each of which may be a symbolic integer.

    A symbol that stands alone is what is there; else it is solved for where it stands in an expression that
    is linear in it alone. What is in no input is left out.
    """
    pairs = [
        (dim, size)
        for shape, sizes in zip(stated, given, strict=True)
        for dim, size in zip(shape, sizes, strict=True)
    ]
    found: dict[str, Any] = {}
    for dim, size in pairs:
        if isinstance(dim, str) and dim in traced:
            found.setdefault(dim, size)
    for dim, size in pairs:
        line = _line(dim)
        if line is not None and line[0] not in found:
            symbol, slope, offset = line
            found[symbol] = (size - offset) // slope
    return found


def _line(dim: Dim) -> tuple[str, int, int] | None:
    """A size that is `slope * symbol + offset` as these three; None for any other."""
    if len(symbols(dim)) != 1:
        return None
    (symbol,) = symbols(dim)
    first, second, third = (evaluate(dim, {symbol: number}) for number in (1, 2, 3))
    slope = second - first
    if slope <= 0 or third - second != slope or "//" in str(dim):
        return None
    return symbol, slope, first - slope


@dataclass(frozen=True)
class Captured:
    """A program, the symbols of its inputs that stayed open in it, and those that have one size."""

    program: Any
    open: tuple[str, ...]
    fixed: dict[str, int]


def capturing(built: BuiltModule) -> Capturing:
    """The same weights and modules, under the same names, in a module of the original's class name."""
    main = built.graph.main
    name = main.kind if main.kind.isidentifier() else "Model"
    kind: Any = type(name, (Capturing,), {"__module__": main.module or "madstar"})
    twin: Capturing = kind.__new__(kind)
    twin.__dict__.update(built.__dict__)
    twin.__dict__["_casts"] = dict(built._cast())
    return twin


def capture(built: BuiltModule, inputs: Sequence[Tensor]) -> Captured:
    """The program of a built module for inputs of these shapes, with as many symbols open as torch keeps.

    Tried: all symbols open; then what torch decides; then none. Raises GraphError with what torch said where
    it cannot be exported at all.
    """
    module = capturing(built)
    stated = [value.shape for _, value in built._stated]
    unrolled = set(built.graph.facts.get("unrolled_over", ()))
    able = [s for s in built.graph.symbols if s not in unrolled]
    here = open_sizes(stated, [tensor.shape for tensor in inputs], built.graph.symbols)
    able = [symbol for symbol in able if int(here.get(symbol, 1)) > 1]
    last: Exception | None = None
    for way in _ways(able):
        dynamic = tuple(
            {axis: way(dim) for axis, dim in enumerate(shape) if symbols(dim) and symbols(dim) <= set(able)}
            for shape in stated
        )
        try:
            with torch.no_grad(), quiet():
                program = torch.export.export(
                    module,
                    tuple(inputs),
                    dynamic_shapes=(dynamic,),
                    strict=False,
                    prefer_deferred_runtime_asserts_over_guards=True,
                )
        except Exception as error:
            last = last or error
            continue
        _laid_out(program)
        kept = _kept(program, stated, able)
        return Captured(program, kept, {s: int(size) for s, size in here.items() if s not in kept})
    cause = _ours(last)
    said = str(cause) if cause is not None else in_one_line(last or RuntimeError("torch"), 240)
    raise GraphError(f"{built.graph.name}: torch.export cannot follow it: {said}") from None


_TURNED = (torch.ops.aten.transpose.int, torch.ops.aten.permute.default)
_SEEN_AS = (torch.ops.aten.view.default, torch.ops.aten.reshape.default)


def _laid_out(program: Any) -> None:
    """Lay out anew what is turned before it is seen in another shape.

    Attention that is decomposed for ONNX gives the same in another layout than attention computed at once,
    and of what is turned in that layout no view can be had.
    """
    clone, order = torch.ops.aten.clone.default, {"memory_format": torch.contiguous_format}
    for node in list(program.graph.nodes):
        if node.target in _SEEN_AS and node.args[0].target in _TURNED:
            with program.graph.inserting_before(node):
                copy = program.graph.call_function(clone, (node.args[0],), order)
            copy.meta = {**node.args[0].meta, "val": node.args[0].meta["val"].contiguous()}
            node.replace_input_with(node.args[0], copy)


def _ours(error: BaseException | None) -> GraphError | None:
    """The error of a node within one of torch's, which names the place."""
    for _ in range(8):
        if isinstance(error, GraphError):
            return error
        error = error.__cause__ or error.__context__ if error is not None else None
    return None


def _ways(able: Sequence[str]) -> Iterator[Any]:
    if able:
        made = {symbol: torch.export.Dim(symbol) for symbol in able}
        auto, fixed = torch.export.Dim.AUTO, torch.export.Dim.STATIC

        def named(dim: Dim) -> Any:
            line = _line(dim)
            if line is None:
                return auto
            symbol, slope, offset = line
            scaled: Any = made[symbol] if slope == 1 else slope * made[symbol]
            return scaled + offset if offset else scaled

        yield named
        yield lambda dim: auto
        yield lambda dim: fixed
    else:
        yield lambda dim: None


def _kept(program: Any, stated: Sequence[Sequence[Dim]], able: Sequence[str]) -> tuple[str, ...]:
    """The symbols that are open in the program: all sizes of inputs that they are in are."""
    fixed: set[str] = set()
    seen: set[str] = set()
    user = set(program.graph_signature.user_inputs)
    taken = [n.meta["val"] for n in program.graph.nodes if n.op == "placeholder" and n.name in user]
    for shape, tensor in zip(stated, taken, strict=True):
        for dim, size in zip(shape, tensor.shape, strict=True):
            seen |= symbols(dim)
            if isinstance(size, int):
                fixed |= symbols(dim)
    return tuple(symbol for symbol in able if symbol in seen and symbol not in fixed)


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's advice on what it is asked to export, which is not the caller's code."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
