"""What a node's attributes are in torch's terms, at given sizes: numbers for symbols, dtypes, subscripts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from ...errors import GraphError
from ..dims import evaluate, symbols
from ..model import Attribute, Varying

_WORDS = frozenset(
    "equation rounding_mode mode indexing reduction padding_mode approximate norm reduce side compute_mode "  # noqa: SIM905
    "pad_mode driver UPLO padding_side autocast".split()
)
_NUMBERS = {"inf": float("inf"), "-inf": float("-inf"), "nan": float("nan")}


@dataclass(frozen=True)
class Moment:
    """Under what a graph is computed: the symbols' sizes, where, and in which dtype what is stated stands.

    `cast` has an entry for the dtype of the weights where the module was converted since the graph was made.
    """

    sizes: Mapping[str, int]
    device: torch.device
    cast: Mapping[str, str] = field(default_factory=dict)

    def dtype(self, name: str) -> torch.dtype:
        """The dtype of a name."""
        found = getattr(torch, self.cast.get(name, name), None)
        if not isinstance(found, torch.dtype):
            raise GraphError(f"no dtype {name!r}")
        return found


def settled(value: Attribute, settings: Mapping[str, Attribute]) -> Attribute:
    """The attribute with what a definition leaves open filled in. Raises GraphError where it is not given."""
    if isinstance(value, Varying):
        if value.name not in settings:
            raise GraphError(f"{value.name!r} is left open, and the call does not set it")
        return settings[value.name]
    if isinstance(value, tuple):
        return tuple([settled(part, settings) for part in value])
    return value


def spoken(slot: str, value: Attribute, moment: Moment) -> Any:
    """An attribute as torch takes it."""
    if isinstance(value, tuple):
        if len(value) == 3 and value[0] == "complex":
            return complex(*(spoken(slot, part, moment) for part in value[1:]))
        return tuple([spoken(slot, part, moment) for part in value])
    if not isinstance(value, str):
        return value
    if slot in _WORDS:
        return value
    if slot in ("dtype", "out_dtype"):
        return moment.dtype(value)
    if value in _NUMBERS:
        return _NUMBERS[value]
    if value.startswith("<"):
        raise GraphError(f"{slot}: {value} was not recorded; there is no way to compute it again")
    if value.isidentifier() and value not in moment.sizes:
        if slot in ("size", "shape") and isinstance(getattr(torch, value, None), torch.dtype):
            return moment.dtype(value)
        return value
    if symbols(value) <= set(moment.sizes):
        return evaluate(value, moment.sizes)
    raise GraphError(f"{slot}: {value!r} has a symbol that the graph does not")


def subscript(index: Attribute, moment: Moment) -> list[Any]:
    """The parts of an index; `Taken(k)` stands for the argument "index.k"."""
    parts: list[Any] = []
    for part in index if isinstance(index, tuple) else (index,):
        if part == "...":
            parts.append(Ellipsis)
        elif isinstance(part, tuple) and part[:1] == ("slice",):
            parts.append(slice(*(spoken("index", each, moment) for each in part[1:])))
        elif isinstance(part, tuple) and part[:1] == ("tensor",):
            parts.append(Taken(part[1]))
        else:
            value = spoken("index", part, moment)
            parts.append(list(value) if isinstance(value, tuple) else value)
    return parts


@dataclass(frozen=True)
class Taken:
    """The place of a tensor in an index."""

    number: int
