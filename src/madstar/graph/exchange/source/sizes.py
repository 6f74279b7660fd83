"""How a block learns the sizes of its symbols: from the shapes of what it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ...dims import symbols
from ...model import Dim, Value
from .texts import Words


def told(inputs: Sequence[Value]) -> set[str]:
    """The symbols that stand alone somewhere in the shapes of a block's inputs."""
    return {dim for value in inputs for dim in value.shape if isinstance(dim, str) and symbols(dim) == {dim}}


def read(wanted: Iterable[str], inputs: Sequence[Value], names: Sequence[str], words: Words) -> list[str]:
    """Statements that take symbols' sizes from shapes in which they stand alone."""
    left = [symbol for symbol in wanted if symbol in told(inputs)]
    lines = []
    for value, name in zip(inputs, names, strict=True):
        axes = {str(dim): axis for axis, dim in reversed(list(enumerate(value.shape))) if dim in left}
        if not axes:
            continue
        left = [symbol for symbol in left if symbol not in axes]
        if len(axes) == 1:
            ((symbol, axis),) = axes.items()
            lines.append(f"{words.symbols[symbol]} = {name}.shape[{axis}]")
            continue
        parts = [
            words.symbols[str(dim)] if axes.get(str(dim)) == axis else "_"
            for axis, dim in enumerate(value.shape)
        ]
        last = max(axes.values())
        whole = last == len(parts) - 1
        more = "" if whole else f"[:{last + 1}]"
        lines.append(f"{', '.join(parts[: last + 1])} = {name}.shape{more}")
    return lines


def solved(
    wanted: Iterable[str],
    inputs: Sequence[Value],
    names: Sequence[str],
    words: Words,
    traced: Mapping[str, int],
) -> list[str]:
    """For the whole: symbols that only stand in expressions, and those that no input tells."""
    lines: list[str] = []
    known = told(inputs)
    needs: set[str] = set(wanted)
    open_: list[tuple[str, Dim]] = []
    for value, name in zip(inputs, names, strict=True):
        for axis, dim in enumerate(value.shape):
            if isinstance(dim, str) and dim not in known:
                open_.append((f"{name}.shape[{axis}]", dim))
    progress = True
    solved_here: dict[str, list[str]] = {}
    while progress:
        progress = False
        for place, dim in open_:
            missing = [symbol for symbol in symbols(dim) if symbol not in known]
            if len(missing) != 1 or missing[0] not in words.symbols:
                continue
            (symbol,) = missing
            name = words.symbols[symbol]
            test = f"{words.size(dim)} == {place}"
            solved_here[symbol] = [f"{name} = next({name} for {name} in range(1, 1 << 30) if {test})"]
            known.add(symbol)
            progress = True
            needs |= symbols(dim)
    for symbol, found in solved_here.items():
        if symbol in needs:
            lines += found
    for symbol in sorted(needs - known):
        lines.append(f"{words.symbols[symbol]} = {traced[symbol]}  # as in the graph: no input tells it")
    return lines
