"""Tracers side by side: ours, torch.export, torchview and the ONNX exporter, each called in the same way.

A tracer is a function of a prepared model that does its imports and gives a function without arguments; that
one makes the graph and gives its number of nodes. Imports are so not part of what is timed. All get the same
module without weights and the same inputs on the meta device.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch

from madstar.zoo.inputs.choose import choose
from madstar.zoo.inputs.facts import Facts
from madstar.zoo.inputs.recipe import Recipe
from madstar.zoo.model import ZooModel
from madstar.zoo.source import load
from madstar.zoo.values import KnownValues

Prepared = tuple[ZooModel, Recipe]
Traces = Callable[[], int]


def prepare(address: str, shrunk: bool, seconds: float = 30.0) -> Prepared:
    """A model without weights and what to feed it, chosen on the same type made shallow."""
    small = load(address, shrunk=True)
    chosen = choose(small.module, small.config, seconds=seconds)
    if chosen.recipe is None:
        raise RuntimeError(f"no inputs: {chosen.trial.error[:150]}")
    return (small if shrunk else load(address)), chosen.recipe


def inputs_of(model: ZooModel, recipe: Recipe, batch: int = 2) -> dict[str, Any]:
    """forward's arguments by name, those of whole numbers with values on the CPU."""
    return recipe.build(Facts.of(model.module, model.config), batch, recipe.least)


def _bare(model: ZooModel, recipe: Recipe) -> dict[str, Any]:
    """The same on the meta device, as the others take them."""

    def move(given: Any) -> Any:
        return given.to("meta") if isinstance(given, torch.Tensor) else given

    return torch.utils._pytree.tree_map(move, inputs_of(model, recipe))


def madstar(model: ZooModel, recipe: Recipe) -> Traces:
    """Traced at several sizes, batch and length symbolic, folded: what `madstar trace` makes."""
    from madstar.graph.statistics import statistics
    from madstar.zoo.tracing import trace_model

    statistics.__name__  # noqa: B018  imported before anything is timed

    def go() -> int:
        return int(trace_model(model, recipe).graph.facts["function_nodes"])

    return go


def madstar_fixed(model: ZooModel, recipe: Recipe) -> Traces:
    """Traced at one size, folded: shapes are numbers, as in what torch.export makes by default."""
    from madstar.graph.trace import trace

    def go() -> int:
        known = KnownValues(model.module)
        inputs = known.known(inputs_of(model, recipe))
        with torch.no_grad(), warnings.catch_warnings(), known:
            warnings.simplefilter("ignore")
            graph = trace(model.module, inputs, symbols=(), guess=False)
        return int(graph.facts["function_nodes"])

    return go


def torch_export(model: ZooModel, recipe: Recipe) -> Traces:
    """torch.export.export(strict=False), shapes fixed."""
    import torch._dynamo
    import torch.export

    inputs = _bare(model, recipe)

    def go() -> int:
        with torch.no_grad():
            program = torch.export.export(model.module, (), inputs, strict=False)
        return len(program.graph.nodes)

    return go


def torchview(model: ZooModel, recipe: Recipe) -> Traces:
    """torchview.draw_graph at all depths; drawing itself left out."""
    import torchview as package

    inputs = _bare(model, recipe)

    def go() -> int:
        made = package.draw_graph(
            model.module, input_data=inputs, device="meta", depth=1000, expand_nested=True, save_graph=False
        )
        return len(made.edge_list)

    return go


def onnx_exporter(model: ZooModel, recipe: Recipe) -> Traces:
    """torch.onnx.export(dynamo=True, optimize=False); nothing is written to disk."""
    import onnxscript
    import torch.onnx

    onnxscript.__name__  # noqa: B018  imported before anything is timed
    inputs = _bare(model, recipe)

    def go() -> int:
        with torch.no_grad():
            program = torch.onnx.export(
                model.module, (), kwargs=inputs, dynamo=True, optimize=False, verbose=False
            )
        return len(list(program.model.graph))

    return go


TRACERS: dict[str, Callable[[ZooModel, Recipe], Traces]] = {
    "madstar": madstar,
    "madstar, one size": madstar_fixed,
    "torch.export": torch_export,
    "torchview": torchview,
    "ONNX exporter": onnx_exporter,
}
