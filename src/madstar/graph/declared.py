"""Inputs as people declare them: "tokens:int64[batch,length]" says name, dtype and shape of one.

A size is a number, a symbol, or an expression of symbols ("2*length+1"). Text is read by the project's own
parser and never evaluated.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from madstar.errors import GraphError
from madstar.graph.dims import canonical, evaluate, symbols
from madstar.graph.model import Shape
from madstar.plugins import nearest

DTYPES = (
    *("float32", "float16", "bfloat16", "float64", "complex64", "complex128"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)
_FORM = re.compile(r"\s*([A-Za-z_]\w*)\s*:\s*(\w+)\s*\[([^\[\]]*)\]\s*")
_EXAMPLE = '"tokens:int64[batch,length]"'
_KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True)
class Declared:
    """An input of a forward: the argument's name, its dtype ("int64"), its shape with symbols."""

    name: str
    dtype: str
    shape: Shape

    @classmethod
    def parse(cls, text: str) -> Declared:
        """Read "tokens:int64[batch,length]". Raises GraphError for anything else."""
        form = _FORM.fullmatch(text)
        if form is None:
            raise GraphError(f"input {text!r:.80}: write NAME:DTYPE[SIZES], such as {_EXAMPLE}")
        name, dtype, sizes = form.groups()
        if dtype not in DTYPES:
            raise GraphError(
                f"input {name!r}: no dtype {dtype!r}{nearest(dtype, DTYPES)}; there are {', '.join(DTYPES)}"
            )
        try:
            shape = tuple(
                canonical(int(size) if size.strip().isdecimal() else size.strip())
                for size in (sizes.split(",") if sizes.strip() else ())
            )
        except GraphError as error:
            raise GraphError(f"input {name!r}: {error}") from None
        if any(isinstance(size, int) and size < 1 for size in shape):
            raise GraphError(f"input {name!r}: a size below 1 in [{sizes}]")
        return cls(name, dtype, shape)

    def make(self, sizes: dict[str, int], device: torch.device) -> Tensor:
        """A tensor of this shape at given sizes: zeros of integers, which every table has, else ones."""
        shape = [evaluate(size, sizes) for size in self.shape]
        dtype = getattr(torch, self.dtype)
        whole = not dtype.is_floating_point and not dtype.is_complex and dtype is not torch.bool
        try:
            return (torch.zeros if whole else torch.ones)(shape, dtype=dtype, device=device)
        except RuntimeError as error:
            said = " ".join(str(error).split())[:120]
            raise GraphError(f"input {self.name!r}: no tensor of shape {shape}: {said}") from None


def example_inputs(
    declared: Sequence[Declared], module: nn.Module
) -> tuple[Callable[..., Any], tuple[str, ...]]:
    """What `madstar.trace` takes: a maker of a module's inputs, and the symbols in order of appearance.

    The inputs are made where the module's parameters are. Raises GraphError where the declarations are not
    what its forward takes.
    """
    named = fits(declared, module)
    found = [symbol for each in declared for size in each.shape for symbol in sorted(symbols(size))]
    tensors = [*module.parameters(), *module.buffers()]
    device = tensors[0].device if tensors else torch.device("meta")

    def make(**sizes: int) -> Any:
        made = {each.name: each.make(sizes, device) for each in declared}
        return made if named else tuple(made.values())

    return make, tuple(dict.fromkeys(found))


def fits(declared: Sequence[Declared], module: nn.Module) -> bool:
    """Whether inputs are given by name, else in order. Raises GraphError where forward lacks or wants one."""
    label = type(module).__name__
    accepted = inspect.signature(module.forward).parameters
    needed = [
        name
        for name, parameter in accepted.items()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if not declared and needed:
        raise GraphError(
            f"{label}.forward takes {', '.join(needed)}; declare each with --input, such as "
            f'--input "{needed[0]}:int64[batch,length]"'
        )
    given = [each.name for each in declared]
    twice = [name for name in given if given.count(name) > 1]
    if twice:
        raise GraphError(f"input {twice[0]!r} is declared twice")
    kinds = {parameter.kind for parameter in accepted.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds or inspect.Parameter.POSITIONAL_ONLY in kinds:
        return False
    by_name = [name for name, parameter in accepted.items() if parameter.kind in _KEYWORDS]
    for name in given:
        if name not in by_name and inspect.Parameter.VAR_KEYWORD not in kinds:
            raise GraphError(
                f"{label}.forward has no argument {name!r}{nearest(name, by_name)}; "
                f"it takes {', '.join(by_name) or 'none'}"
            )
    missing = [name for name in needed if name not in given]
    if missing:
        raise GraphError(f"{label}.forward also takes {', '.join(missing)}: declare it with --input")
    return True
