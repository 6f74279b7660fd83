"""Inputs for a graph that has no other: drawn with a seed, of the shapes and dtypes that it states."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...errors import GraphError
from ...plugins import nearest
from ..dims import evaluate, symbols
from ..model import Call, Graph, Node

_SAME_NUMBERS = frozenset(
    "view reshape contiguous clone detach unsqueeze squeeze flatten expand to getitem "  # noqa: SIM905
    "transpose permute".split()
)
_LARGEST = 1 << 32


def drawn_inputs(
    graph: Graph, sizes: Mapping[str, int] | None = None, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """A tensor for each input, by name.

    Numbers are normal; integers are drawn below the number of rows of the smallest table that they look up,
    and are zeros where they look up none; masks (by name) and truths are all ones. `sizes` are those of
    symbols, others are as first traced.

    Raises GraphError for a size of an unknown symbol, one below 1, and more than 4 billion elements.
    """
    generator = generator or torch.Generator().manual_seed(0)
    known = {symbol: traced[0] for symbol, traced in graph.symbols.items()}
    for symbol, size in (sizes or {}).items():
        if symbol not in known:
            raise GraphError(
                f"{graph.name} has no size {symbol!r}{nearest(symbol, known)}; "
                f"it has {', '.join(known) or 'none that is open'}"
            )
        if size < 1:
            raise GraphError(f"{symbol} is {size}: give 1 or more")
        known[symbol] = size
    tables = _tables(graph)
    found = {}
    for name, value in zip(graph.input_names, graph.main.inputs, strict=True):
        missing = {symbol for dim in value.shape for symbol in symbols(dim)} - set(known)
        if missing:
            raise GraphError(
                f"input {name!r} has the size {sorted(missing)[0]!r}, which is no symbol of the graph"
            )
        shape = [evaluate(dim, known) for dim in value.shape]
        if torch.Size(shape).numel() > _LARGEST:
            raise GraphError(f"input {name!r} would have the shape {shape}: give smaller sizes")
        dtype = getattr(torch, value.dtype)
        if "mask" in name or dtype is torch.bool:
            found[name] = torch.ones(shape, dtype=dtype)
        elif dtype.is_complex or dtype.is_floating_point:
            kind = dtype if dtype.is_complex else torch.float32
            found[name] = torch.randn(shape, generator=generator, dtype=kind).to(dtype)
        else:
            rows = tables.get(f"%{value.name}", 1)
            found[name] = torch.randint(0, rows, shape, generator=generator, dtype=dtype)
    return found


def _tables(graph: Graph) -> dict[str, int]:
    """For inputs of the whole the rows of the smallest table that they look up, directly or rearranged."""
    found: dict[str, int] = {}

    def follow(name: str, origins: dict[str, str]) -> None:
        definition = graph.definitions[name]
        rows = {f"@{p.path}": p.shape[0] for p in definition.parameters if p.shape}
        for item in definition.items:
            if isinstance(item, Call):
                below = graph.definitions[item.definition]
                passed = {
                    f"%{value.name}": origins[source]
                    for value, source in zip(below.inputs, item.arguments, strict=True)
                    if source in origins
                }
                if passed:
                    follow(item.definition, passed)
                continue
            given = {argument.slot: argument.source for argument in item.arguments}
            origin = origins.get(given.get("input", ""))
            if origin is None:
                continue
            if item.op == "embedding" and given.get("weight") in rows:
                found[origin] = min(found.get(origin, _LARGEST), rows[given["weight"]])
            elif item.op in _SAME_NUMBERS and isinstance(item, Node):
                origins = {**origins, **{f"%{value.name}": origin for value in item.outputs}}

    follow(graph.root, {f"%{value.name}": f"%{value.name}" for value in graph.main.inputs})
    return found
