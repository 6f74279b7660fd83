# ruff: noqa: E501
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

from madstar.errors import GraphError
from madstar.graph.assembling import Assembler
from madstar.graph.examples import Examples
from madstar.graph.model import Graph
from madstar.graph.recorder import Recorder, leaves, watching
from madstar.graph.recording import Origin, Recording
from madstar.graph.symbols import Sizes

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
    """The computation of a module as a graph; runs its forward a few times, on the meta device as well as with weights.

    `example_inputs` are the arguments of forward, by name (a mapping) or in order (a tuple, one tensor); or a
    function that makes them for given sizes, `lambda batch, length: {...}`. Given tensors are resized: the
    first dimension is the batch; the length is the second dimension of tensors of integers, and of tensors of
    numbers with three dimensions. `symbols` are the names of sizes that shall stay symbolic, or a mapping of
    each to the sizes to trace at (two or more; the first is the one recorded). A symbol at whose other sizes
    the module does not run is dropped, which `facts` says.

    Where forward asks for the values of tensors that have none, a documented guess (`madstar.graph.guessing`)
    is taken and recorded in `graph.guesses`; with guess=False it is an error. `fold` makes runs of equal
    blocks one call.

    Raises GraphError where forward fails, with the block in which it failed.
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
        facts=_facts(first, sizes, assembler, dropped, begun),
    )
    return _folded(graph) if fold else graph


@contextmanager
def _no_collection() -> Iterator[None]:
    """Nothing of a recording becomes garbage before its end; looking for some doubles the time of large models."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _runs(module: nn.Module, examples: Examples, name: str, guess: bool) -> tuple[Sizes, list[str]]:
    """The recordings at the sizes of the symbols; symbols that do not vary are dropped, the last one first."""
    symbols = list(examples.symbols)
    dropped: list[str] = []
    base = record(module, examples.at(examples.base()), name, guess)
    while True:
        if not symbols:
            return Sizes([base], [{}]), dropped
        for bindings in examples.bindings(symbols):
            try:
                runs = [
                    base,
                    *(record(module, examples.at(binding), name, guess) for binding in bindings[1:]),
                ]
                sizes = Sizes(runs, [{s: binding[s] for s in symbols} for binding in bindings])
            except GraphError:
                continue
            return sizes, dropped
        dropped.append(symbols.pop())


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
        with watching(recorder):
            result = module(*args, **kwargs)
    except GraphError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:200] or type(error).__name__
        where = recorder.path or "the model's own forward"
        tried = ", ".join(f"{path} {list(recording.values[v].shape)}" for path, v in recording.inputs)
        raise GraphError(
            f"{name} fails in {where}: {type(error).__name__}: {said} (inputs: {tried})"
        ) from error
    for path, tensor in leaves(result):
        recording.outputs.append((path, recorder.reference(tensor)))
    return recording


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
    first: Recording, sizes: Sizes, assembler: Assembler, dropped: list[str], begun: float
) -> dict[str, Any]:
    everything = len({id(tensor) for tensor in assembler.tensors.values()})
    trained = {id(assembler.tensors[path]) for path in assembler.trained}
    reached = {id(assembler.tensors[first.values[value].origin.names[0]]) for value in assembler.touched}
    facts: dict[str, Any] = {
        "source": "madstar.trace",
        "torch": torch.__version__,
        "seconds": round(time.perf_counter() - begun, 3),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "parameter_tensors": len(trained),
        "parameter_tensors_touched": len(trained & reached),
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
    if first.values_read:
        facts["values_read"] = [list(read) for read in dict.fromkeys(first.values_read)][:50]
    if first.lost_aliases:
        facts["aliases_not_followed"] = first.lost_aliases
    return facts


def _opaque(assembler: Assembler) -> dict[str, int]:
    from madstar.graph.vocabulary import known

    counts: dict[str, int] = {}
    for index in assembler.alive:
        op = assembler.recording.records[index].op
        if not known(op):
            counts[op] = counts.get(op, 0) + 1
    return dict(sorted(counts.items()))


def _folded(graph: Graph) -> Graph:
    try:
        from madstar.graph.folding import fold
    except ImportError:
        return graph
    return fold(graph)
