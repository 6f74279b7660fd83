"""From an address to a graph: the model is built, inputs are chosen, its computation is recorded."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.utils._python_dispatch import _disable_current_modes

from madstar.errors import GraphError
from madstar.graph.model import Graph, Guess
from madstar.graph.trace import trace
from madstar.zoo.inputs.choose import Chosen, choose
from madstar.zoo.inputs.facts import Facts, Inputs, has_weights
from madstar.zoo.inputs.recipe import Recipe
from madstar.zoo.model import ZooModel
from madstar.zoo.reaching import ALTERNATING, reach, with_weights
from madstar.zoo.source import load
from madstar.zoo.timm_models import timm_input_size
from madstar.zoo.values import KnownValues


@dataclass(frozen=True)
class Traced:
    """A model's graph and how it came about.

    Args:
        graph: The computation; its facts name the source, the inputs and what was changed.
        model: The model; its module is still without weights.
        inputs: What it was fed, in words.
        share: Share of parameter tensors that an operation takes, 0 to 1.
        untouched: Those that none takes, by name.
    """

    graph: Graph
    model: ZooModel
    inputs: str
    share: float
    untouched: tuple[str, ...]


def trace_model(model: ZooModel, recipe: Recipe | None = None, *, seconds: float = 60.0) -> Traced:
    """Record what a model of the museum computes.

    Args:
        model: From `madstar.zoo.load`.
        recipe: What to feed it (transformers), such as one chosen for the same type made shallow; chosen by
            trial if None.
        seconds: Time for choosing.

    Raises:
        GraphError: no inputs were found that its forward takes, or tracing failed; the model's own error
            and the inputs that were tried.
    """
    begun = time.perf_counter()
    if model.name.startswith("timm:"):
        words, length = "image of its default_cfg", None
        make = _timm_inputs(model)
    else:
        facts = Facts.of(model.module, model.config)
        if recipe is None:
            chosen = choose(model.module, model.config, seconds=seconds)
            recipe = chosen.recipe
            if recipe is None:
                raise GraphError(_refused(model, chosen))
        words, length = str(recipe), recipe.least
        make = functools.partial(recipe.build, facts)
    graph, guesses = _recorded(model, make, length)
    counted = graph.facts["parameter_tensors"]
    untouched = tuple(graph.facts["untouched"])
    share = 1 - len(untouched) / counted if counted else 1.0
    facts_of_graph = {
        **graph.facts,
        **model.facts,
        "source": model.name,
        "size": model.size,
        "inputs": words,
        "changes": list(model.changes),
        "untouched": list(untouched[:50]),
        "seconds": round(time.perf_counter() - begun, 3),
    }
    graph = dataclasses.replace(graph, guesses=(*graph.guesses, *guesses), facts=facts_of_graph)
    return Traced(graph, model, words, share, untouched)


def trace_address(address: str, *, shrunk: bool = False, seconds: float = 60.0) -> Traced:
    """Build and trace the model that an address names.

    What to feed a deep model is chosen on the same type made shallow, which is faster and as good.

    Raises:
        GraphError: as for `load` and `trace_model`.
    """
    if not address.startswith("hf:"):
        return trace_model(load(address), seconds=seconds)
    reached = reach(address, seconds=seconds)
    if shrunk:
        if reached.chosen.recipe is None:
            raise GraphError(_refused(reached.model, reached.chosen))
        return trace_model(reached.model, reached.chosen.recipe)
    model = load(address)
    if reached.chosen.recipe is None:
        raise GraphError(_refused(model, reached.chosen))
    try:
        return trace_model(model, reached.chosen.recipe)
    except GraphError:
        filled = with_weights(address, model, shrunk=False)
        if filled is None:
            raise
        return trace_model(filled, reached.chosen.recipe)


def _recorded(
    model: ZooModel, make: Callable[[int, int], Inputs], length: int | None
) -> tuple[Graph, tuple[Guess, ...]]:
    """Trace with sizes made symbolic as far as the model takes them: batch and length, length alone, none."""
    batches, lengths = (2, 3, 5), (length or 0, (length or 0) + 4, (length or 0) + 15)
    plans: list[tuple[dict[str, tuple[int, ...]], Callable[..., Inputs]]] = [
        ({"batch": batches, "length": lengths}, lambda batch, length: make(batch, length)),
        ({"length": lengths}, lambda length: make(1, length)),
    ]
    if length is None:
        plans = [({"batch": batches}, lambda batch: make(batch, 0))]
    plans.append(({}, lambda: make(1, length or 0)))
    problem: GraphError | None = None
    for symbols, build in plans:
        try:
            if has_weights(model.module):
                return _with_weights(model, symbols, build)
            return _without_weights(model, symbols, build)
        except GraphError as error:
            problem = error
    assert problem is not None
    raise problem


def _without_weights(
    model: ZooModel, symbols: dict[str, tuple[int, ...]], build: Callable[..., Inputs]
) -> tuple[Graph, tuple[Guess, ...]]:
    """Trace above a record of known values, so that questions about ids, masks and grids have answers."""
    runs = _Runs(model)
    with torch.no_grad(), warnings.catch_warnings(), runs.known:
        warnings.simplefilter("ignore")
        graph = trace(model.module, runs.inputs(build), name=model.name, symbols=symbols, guess=False)
    return graph, tuple(Guess("", op, taken) for op, taken in dict.fromkeys(runs.guesses))


def _with_weights(
    model: ZooModel, symbols: dict[str, tuple[int, ...]], build: Callable[..., Inputs]
) -> tuple[Graph, tuple[Guess, ...]]:
    """Trace with random weights: what control flow asks for is as these weights make it."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = trace(model.module, build, name=model.name, symbols=symbols, guess=False)
    read = [Guess(path, op, "as random weights give it") for path, op in graph.facts.get("values_read", ())]
    return graph, (Guess("", "values", "as random weights and normal inputs give them"), *read)


class _Runs:
    """The runs of one trace over one record of known values; what the first run reached and guessed."""

    def __init__(self, model: ZooModel) -> None:
        self.known = KnownValues(model.module, alternating=ALTERNATING in model.changes)
        self._first_guesses: list[tuple[str, str]] | None = None
        self._begun = False

    @property
    def guesses(self) -> list[tuple[str, str]]:
        return self.known.guesses if self._first_guesses is None else self._first_guesses

    def inputs(self, build: Callable[..., Inputs]) -> Callable[..., Inputs]:
        """Make each run's inputs known, and tell runs apart."""

        @functools.wraps(build)
        def make(**sizes: int) -> Inputs:
            if self._begun and self._first_guesses is None:
                self._first_guesses = list(self.known.guesses)
            self._begun = True
            self.known.operations = 0
            with _disable_current_modes():
                inputs = build(**sizes)
            given: Inputs = self.known.known(inputs)
            return given

        return make


def _timm_inputs(model: ZooModel) -> Callable[[int, int], Inputs]:
    shape = timm_input_size(model)
    name = next(iter(inspect.signature(model.module.forward).parameters))
    return lambda batch, length: {name: torch.empty((batch, *shape), device="meta")}


def _refused(model: ZooModel, chosen: Chosen) -> str:
    tried = [f"{words or 'nothing'} ({error})" for words, error in chosen.tried[:3] if error]
    more = f", and {len(chosen.tried) - len(tried)} more" if len(chosen.tried) > len(tried) else ""
    return (
        f"{model.name}: no inputs were found that {type(model.module).__name__}.forward takes; "
        + (f"tried {'; '.join(tried)}{more}" if tried else chosen.trial.error)
    )[:600]
