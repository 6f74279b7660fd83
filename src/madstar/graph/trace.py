"""`trace`: any torch module becomes a graph, without weights and without an execution on data."""

from __future__ import annotations

import gc
import inspect
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from madstar.errors import GraphError, in_one_line
from madstar.graph import buffers, folding
from madstar.graph.assembling import Assembler
from madstar.graph.examples import Examples
from madstar.graph.model import Graph
from madstar.graph.recorder import Recorder
from madstar.graph.recording import ForwardError, Origin, Recording
from madstar.graph.restoring import restored
from madstar.graph.structures import leaves
from madstar.graph.symbols import Sizes
from madstar.graph.vocabulary import known
from madstar.graph.watching import watching

Inputs = Mapping[str, Any] | Sequence[Any] | Tensor


def trace(
    module: nn.Module,
    example_inputs: Inputs | Callable[..., Inputs],
    *,
    name: str | None = None,
    symbols: Sequence[str] | Mapping[str, Sequence[int]] = ("batch", "length"),
    fold: bool = True,
    guess: bool = True,
) -> Graph:
    """The computation of a module as a graph; runs its forward a few times, on meta or with weights.

    `example_inputs` are the arguments of forward, by name (a mapping) or in order (a tuple, one tensor); or a
    function that makes them for given sizes, `lambda batch, length: {...}`. Given tensors are resized: the
    first dimension is the batch; the length is the second dimension of tensors of integers, and of tensors of
    numbers with three dimensions. `symbols` are the names of sizes that shall stay symbolic, or a mapping of
    each to the sizes to trace at (two or more; the first is the one recorded). A symbol at whose other sizes
    the module fails is dropped, and `facts["symbols_dropped"]` has what the module said.

    A loop whose number of turns depends on a size is unrolled as at the first size; such a graph computes the
    module at that size only, though shapes are expressions, and `facts["unrolled_over"]` names the symbol.

    Where forward asks for the values of tensors that have none, a documented guess (`madstar.graph.guessing`)
    is taken and recorded in `graph.guesses`; with guess=False it is an error. `fold` makes runs of equal
    blocks one call.

    Raises ForwardError (a GraphError) where forward fails, with the block in which it failed; and GraphError
    where the tracer itself does, at whatever size.
    """
    begun = time.perf_counter()
    name = name or type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        raise GraphError(
            f"{name} is a TorchScript module, which hides its computation; trace the Python module"
        )
    with _no_collection():
        return _traced(module, Examples(module, example_inputs, symbols), name, fold, guess, begun)


def _traced(module: nn.Module, examples: Examples, name: str, fold: bool, guess: bool, begun: float) -> Graph:
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        sizes, dropped = _runs(module, examples, name, guess)
    finally:
        for part in training:
            part.training = True
    first = sizes.first
    assembler = Assembler(module, first, sizes)
    root = assembler.assemble()
    traced = {symbol: tuple(binding[symbol] for binding in sizes.bindings) for symbol in sizes.bindings[0]}
    graph = Graph(
        name=name,
        root=root,
        definitions=assembler.definitions,
        input_names=tuple(path for path, _ in first.inputs),
        output_names=tuple(path or "output" for path, _ in first.outputs),
        symbols=traced,
        tied=_tied(module),
        guesses=tuple(first.guesses),
        facts=_facts(first, sizes, assembler, dropped, begun) | buffers.recorded(module),
    )
    return folding.fold(graph) if fold else graph


@contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing recorded is garbage before the end; looking for some doubles the time of large models."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _runs(module: nn.Module, examples: Examples, name: str, guess: bool) -> tuple[Sizes, dict[str, str]]:
    """The recordings at the sizes of the symbols; those at which the model fails are dropped, last first."""
    symbols = list(examples.symbols)
    dropped: dict[str, str] = {}
    base = record(module, examples.at(examples.base()), name, guess)
    while symbols:
        said = ""
        for bindings in examples.bindings(symbols):
            try:
                others = [record(module, examples.at(binding), name, guess) for binding in bindings[1:]]
            except ForwardError as error:
                said = said or str(error)
                continue
            return Sizes([base, *others], [{s: binding[s] for s in symbols} for binding in bindings]), dropped
        dropped[symbols.pop()] = said
    return Sizes([base], [{}]), dropped


def record(
    module: nn.Module, inputs: tuple[tuple[Any, ...], dict[str, Any]], name: str, guess: bool = True
) -> Recording:
    """One run of a module, recorded."""
    args, kwargs = inputs
    recorder = Recorder(module, guess)
    recording = recorder.recording
    named = list(zip(_positional(module), args, strict=False)) + list(kwargs.items())
    for argument, given in named:
        for path, tensor in leaves(given):
            if id(tensor) not in recorder.current:
                full = f"{argument}.{path}" if path else argument
                value = recorder.name(tensor, Origin("input", len(recording.inputs)))
                recording.inputs.append((full, value))
    try:
        with restored(module), watching(recorder):
            result = module(*args, **kwargs)
    except Exception as error:
        raise _failure(recorder, name, error) from error
    if recorder.fault is not None:
        # The model caught it and went on, without what should have been recorded.
        raise _failure(recorder, name, recorder.fault) from recorder.fault
    for path, tensor in leaves(result):
        recording.outputs.append((path, recorder.reference(tensor)))
    return recording


def _failure(recorder: Recorder, name: str, error: BaseException) -> GraphError:
    """Whose failure it is, where, and what was said, in a line."""
    cause = recorder.fault or error
    if isinstance(cause, GraphError):
        return cause
    said = in_one_line(cause, 220)
    where = recorder.failed_in or "the model's own forward"
    if recorder.fault is not None:
        return GraphError(f"the tracer itself fails in {where} of {name}, please report it: {said}")
    recording = recorder.recording
    tried = ", ".join(f"{path} {list(recording.values[v].shape)}" for path, v in recording.inputs)
    return ForwardError(f"{name} fails in {where}: {said} (inputs: {tried})")


def _positional(module: nn.Module) -> list[str]:
    names = []
    for parameter in inspect.signature(module.forward).parameters.values():
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}_{i}" for i in range(16)]
        else:
            names.append(parameter.name)
    return names


def _tied(module: nn.Module) -> tuple[tuple[str, ...], ...]:
    groups: dict[int, list[str]] = {}
    for tensors in (module.named_parameters, module.named_buffers):
        for path, tensor in tensors(remove_duplicate=False):
            groups.setdefault(id(tensor), []).append(path)
    return tuple(tuple(paths) for paths in groups.values() if len(paths) > 1)


def _facts(
    first: Recording, sizes: Sizes, assembler: Assembler, dropped: dict[str, str], begun: float
) -> dict[str, Any]:
    everything = len({id(tensor) for tensor in assembler.tensors.values()})
    trained = {id(assembler.tensors[path]) for path in assembler.trained}
    reached = {id(assembler.tensors[first.values[value].origin.names[0]]) for value in assembler.touched}
    missed = {id(t): path for path, t in reversed(assembler.tensors.items()) if id(t) in trained - reached}
    facts: dict[str, Any] = {
        "source": "madstar.trace",
        "torch": torch.__version__,
        "seconds": round(time.perf_counter() - begun, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "parameter_tensors": len(trained),
        "parameter_tensors_touched": len(trained & reached),
        "untouched": list(reversed(missed.values())),
        "tensors": everything,
        "tensors_touched": len(reached),
        "aten_nodes": first.steps,
        "function_nodes": len(assembler.alive),
        "opaque": _opaque(assembler),
    }
    facts["sizes_not_fitted"] = [list(sizes_) for sizes_ in sizes.unfitted][:20]
    if dropped:
        facts["symbols_dropped"] = dropped
    if sizes.unaligned:
        facts["records_that_differ_between_sizes"] = sizes.unaligned
        facts["unrolled_over"] = list(sizes.unrolled_over())
    if first.values_read:
        facts["values_read"] = [list(read) for read in dict.fromkeys(first.values_read)][:50]
    if first.lost_aliases:
        facts["aliases_not_followed"] = first.lost_aliases
    return facts


def _opaque(assembler: Assembler) -> dict[str, int]:
    counts: dict[str, int] = {}
    for index in assembler.alive:
        op = assembler.recording.records[index].op
        if not known(op):
            counts[op] = counts.get(op, 0) + 1
    return dict(sorted(counts.items()))
