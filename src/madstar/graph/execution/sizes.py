"""Which sizes the symbols have, from the shapes of what is given; whether these are as stated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from ...errors import GraphError
from ..dims import evaluate, symbols
from ..model import Dim, Shape, Value

_Equation = tuple[str, int, Dim, int]  # input, dimension, what is stated, what is there


def bound_sizes(
    stated: Sequence[tuple[str, Shape]],
    shapes: Sequence[Sequence[int]],
    traced: Mapping[str, Sequence[int]],
) -> dict[str, int]:
    """The size of every symbol of the graph, such that the stated shapes are the given ones.

    `stated` are the inputs' names and shapes, `traced` the symbols with the sizes at which they were traced:
    a symbol that no input has is taken at the first of these. Raises GraphError where a number of dimensions
    or a fixed size differs, or where two inputs ask for two sizes of one symbol.
    """
    equations: list[_Equation] = []
    for (name, wanted), given in zip(stated, shapes, strict=True):
        if len(wanted) != len(given):
            raise GraphError(
                f"input {name!r}: expected {len(wanted)} dimensions {_text(wanted)}, found {list(given)}"
            )
        equations += [
            (name, axis, dim, int(size)) for axis, (dim, size) in enumerate(zip(wanted, given, strict=True))
        ]
    sizes: dict[str, int] = {}
    setters: dict[str, _Equation] = {}
    for equation in equations:
        name, axis, dim, size = equation
        if isinstance(dim, int):
            if dim != size:
                raise GraphError(f"input {name!r}: expected {dim} in dimension {axis}, found {size}")
        elif dim in traced:
            if sizes.setdefault(dim, size) != size:
                raise GraphError(_contradiction(dim, setters.get(dim), sizes[dim], equation))
            setters.setdefault(dim, equation)
    _solve([e for e in equations if isinstance(e[2], str) and e[2] not in traced], sizes, setters)
    for symbol, found in traced.items():
        sizes.setdefault(symbol, found[0])
    for name, axis, dim, size in equations:
        if (there := evaluate(dim, sizes)) != size:
            by = ", ".join(
                f"{s} = {sizes[s]}" + (f" by input {setters[s][0]!r}" if s in setters else "")
                for s in sorted(symbols(dim))
            )
            raise GraphError(
                f"input {name!r}: expected {dim} = {there} in dimension {axis} ({by}), found {size}"
            )
    return sizes


def _solve(open_: list[_Equation], sizes: dict[str, int], setters: dict[str, _Equation]) -> None:
    """Find the symbols that only stand in expressions, one after the other."""
    progress = True
    while open_ and progress:
        progress = False
        for equation in list(open_):
            name, axis, dim, size = equation
            missing = [symbol for symbol in symbols(dim) if symbol not in sizes]
            if len(missing) > 1:
                continue
            open_.remove(equation)
            if missing:
                found = _root(dim, missing[0], size, sizes)
                if found is None:
                    raise GraphError(
                        f"input {name!r}: no {missing[0]!r} makes {dim} in dimension {axis} be {size}"
                    )
                sizes[missing[0]] = found
                setters[missing[0]] = equation
                progress = True


def _root(dim: Dim, symbol: str, size: int, sizes: Mapping[str, int]) -> int | None:
    """The smallest number at which an expression, taken to grow with its symbol, has this size."""

    def at(number: int) -> int:
        return evaluate(dim, {**sizes, symbol: number})

    low, high = 1, 1
    while at(high) < size and high < 1 << 40:
        high *= 2
    while low < high:
        middle = (low + high) // 2
        if at(middle) < size:
            low = middle + 1
        else:
            high = middle
    if at(low) == size:
        return low
    return next((number for number in range(1, 4096) if at(number) == size), None)


def _contradiction(symbol: str, before: _Equation | None, size: int, now: _Equation) -> str:
    first = f"input {before[0]!r} has it in dimension {before[1]}" if before else "it is given"
    return (
        f"{symbol} is {size} ({first}) and {now[3]} (input {now[0]!r}, dimension {now[1]}); make them equal"
    )


def _text(shape: Shape) -> str:
    return "[" + ",".join(map(str, shape)) + "]"


def check_dtypes(
    stated: Sequence[tuple[str, Value]], given: Sequence[Tensor], cast: Mapping[str, str]
) -> None:
    """Raise GraphError for an input of another dtype; `cast` are those that the module was converted to."""
    for (name, value), tensor in zip(stated, given, strict=True):
        wanted = cast.get(value.dtype, value.dtype)
        found = str(tensor.dtype).removeprefix("torch.")
        if found != wanted:
            raise GraphError(f"input {name!r}: expected {wanted}, found {found}; convert it with .to()")
