"""An operation of the vocabulary as a function of torch, called with its slots as they are said.

The vocabulary is a closed list, so a graph can name no other function. What it calls "opaque" is called only
where ATen has an operation of that name that takes and gives tensors and numbers, and no text: a file cannot
make torch read or write one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from ...errors import GraphError
from ..vocabulary import OPAQUE, OPERATIONS

Kernel = Callable[..., Any]

_SPACES = {"linalg": torch.linalg, "fft": torch.fft, "special": torch.special}
# Taken as arguments one after the other, not as a list.
SPREAD = frozenset(
    "meshgrid broadcast_tensors atleast_1d atleast_2d block_diag cartesian_prod chain_matmul einsum".split()  # noqa: SIM905
)
_MISSING = object()


def kernel(op: str, slots: Sequence[str], attributes: Mapping[str, Any]) -> Kernel:
    """The function of an operation on its tensors in the order of `slots`; attributes are set.

    Raises GraphError for an operation that torch has no function for.
    """
    if any("." in slot and not _numbered(op, slot) for slot in (*slots, *attributes)):
        return _grouped(op, tuple(slots), dict(attributes))
    return _fitting(op, tuple(slots), dict(attributes))


def _numbered(op: str, slot: str) -> bool:
    """Whether a slot is the number of an argument whose name was not known, "argument.2"."""
    return op.startswith(OPAQUE) and slot.startswith("argument.")


def _grouped(op: str, slots: tuple[str, ...], attributes: dict[str, Any]) -> Kernel:
    """Slots "tensors.0", "tensors.1" put together to the lists that they are parts of."""
    fixed = {slot: attributes.pop(slot) for slot in list(attributes) if "." in slot}
    heads = list(dict.fromkeys(slot.partition(".")[0] for slot in (*slots, *fixed)))
    function = _fitting(op, tuple(heads), attributes)

    def gathered(*tensors: Any) -> Any:
        found: dict[str, Any] = {}
        for slot, tensor in (*fixed.items(), *zip(slots, tensors, strict=True)):
            _place(found, slot.split("."), tensor)
        lists = [_listed(found[head]) for head in heads]
        if op in SPREAD and len(lists) == 1:
            return function(*lists[0])
        return function(*lists)

    return gathered


def _place(found: dict[str, Any], way: list[str], tensor: Any) -> None:
    for step in way[:-1]:
        found = found.setdefault(step, {})
    found[way[-1]] = tensor


def _listed(part: Any) -> Any:
    """Numbered parts as a list, with None where there was none."""
    if not isinstance(part, dict):
        return part
    last = max(map(int, part))
    return [_listed(part[str(i)]) if str(i) in part else None for i in range(last + 1)]


def _fitting(op: str, slots: tuple[str, ...], attributes: dict[str, Any]) -> Kernel:
    """The first way of calling that torch accepts, looked for when first called."""
    ways = list(_ways(op, slots, attributes))
    if not ways:
        raise GraphError(f"no function computes {op!r}")
    if len(ways) == 1:
        return ways[0]
    return Fitting(ways)


class Fitting:
    """Tries ways of calling until one is taken; `chosen` is that one from then on."""

    __slots__ = ("chosen", "ways")

    def __init__(self, ways: list[Kernel]) -> None:
        self.ways = ways
        self.chosen: Kernel | None = None

    def __call__(self, *tensors: Any) -> Any:
        """What the chosen way gives, or the first that takes the tensors. Raises TypeError if none does."""
        if self.chosen is not None:
            return self.chosen(*tensors)
        first: TypeError | None = None
        for way in self.ways:
            try:
                made = way(*tensors)
            except TypeError as error:
                first = first or error
                continue
            except RuntimeError as error:
                if "aten::" not in str(error) or "rgument" not in str(error):
                    raise
                first = first or TypeError(str(error))  # ATen says so that arguments do not fit
                continue
            if made is NotImplemented:
                continue
            self.chosen = way
            return made
        assert first is not None
        raise first


def _ways(op: str, slots: tuple[str, ...], attributes: dict[str, Any]) -> Iterator[Kernel]:
    if op.startswith(OPAQUE) or next(functions_of(op), None) is None:
        for overload in overloads_of(op.removeprefix(OPAQUE)):
            way = _by_schema(overload, slots, attributes)
            if way is not None:
                yield way
        return
    known = OPERATIONS.get(op)
    order = known.slots if known else ()
    for function in functions_of(op):
        named = parameters_of(function)
        in_order = named[: len(slots)] == slots if named else order[: len(slots)] == slots
        if op in SPREAD:
            in_order = True
        if in_order and (not named or set(attributes) <= set(named)):
            yield _filled(function, named, slots, attributes)
        if not named or {*slots, *attributes} <= set(named):
            yield _by_keyword(function, slots, attributes)
    listed = [slot for slot in order if slot in slots or slot in attributes]
    if known and {*slots, *attributes} <= {*order, *_rest(slots, attributes)}:
        last = max((order.index(slot) for slot in listed), default=-1)
        for function in functions_of(op):
            yield _by_position(function, slots, attributes, order[: last + 1])
            yield _by_position(function, slots, attributes, tuple(listed))


def _rest(slots: Sequence[str], attributes: Mapping[str, Any]) -> list[str]:
    return [slot for slot in (*slots, *attributes) if slot == "argument"]


def functions_of(op: str) -> Iterator[Kernel]:
    """What torch has under a name of the vocabulary, the most general first."""
    if op == "pad_sequence":
        yield torch.nn.utils.rnn.pad_sequence
    if op not in OPERATIONS:
        return
    space, _, rest = op.partition("_")
    if space in _SPACES and hasattr(_SPACES[space], rest):
        yield getattr(_SPACES[space], rest)
        return
    found: list[Any] = []
    for owner in (F, torch, torch.Tensor):
        function = getattr(owner, op, None)
        if callable(function) and function not in found:
            found.append(function)
            yield function


def overloads_of(name: str) -> Iterator[Any]:
    """Overloads of ATen that compute: tensors and numbers in, tensors out, nothing written, no text.

    A name may have been recorded bare of a first underscore or of "special_".
    """
    if not name.isidentifier():
        return
    for spelled in (name, f"_{name}", f"special_{name}"):
        packet = getattr(torch.ops.aten, spelled, None)
        if packet is not None and hasattr(packet, "overloads"):
            for overload in (getattr(packet, each) for each in packet.overloads()):
                if _computes(overload._schema):
                    yield overload


def _computes(schema: Any) -> bool:
    given = [str(part.type) for part in schema.returns]
    taken = [str(part.type) for part in schema.arguments]
    tensors = bool(given) and all("Tensor" in kind for kind in given)
    return tensors and not schema.is_mutable and not any("str" in kind for kind in taken)


def _by_schema(overload: Any, slots: tuple[str, ...], attributes: dict[str, Any]) -> Kernel | None:
    """An overload called by its schema; None where it has not all the slots, or needs more."""
    names = [argument.name for argument in overload._schema.arguments]
    renamed = {"input": names[0]} if names and names[0] in ("self", "x", "a") else {}
    renamed |= {f"argument.{number}": name for number, name in enumerate(names)}
    said = [renamed.get(slot, slot) for slot in (*slots, *attributes)]
    needed = {a.name for a in overload._schema.arguments if not a.has_default_value()}
    if not needed <= set(said) <= set(names):
        return None
    fixed = dict(zip(said[len(slots) :], attributes.values(), strict=True))

    def called(*tensors: Tensor) -> Any:
        given = {**fixed, **dict(zip(said, tensors, strict=False))}
        first = [given.pop(names[0])] if names[0] == "self" else []
        return overload(*first, **given)

    return called


def runnable(op: str) -> bool:
    """Whether there is a function for an operation."""
    if op.startswith(OPAQUE) or (op in OPERATIONS and next(functions_of(op), None) is None):
        return next(overloads_of(op.removeprefix(OPAQUE)), None) is not None
    return next(functions_of(op), None) is not None


_SIGNATURES: dict[Any, tuple[str, ...]] = {}


def parameters_of(function: Any) -> tuple[str, ...]:
    """The names that a function of Python takes in order; none for one of C."""
    if function not in _SIGNATURES:
        names: tuple[str, ...] = ()
        if inspect.isfunction(function):
            parameters = inspect.signature(function).parameters.values()
            if not any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
                names = tuple(p.name for p in parameters)
        _SIGNATURES[function] = names
    return _SIGNATURES[function]


def needed_by(function: Any) -> set[str]:
    """The names without which a function of Python cannot be called."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.default is p.empty}


def _filled(
    function: Kernel, named: tuple[str, ...], slots: tuple[str, ...], attributes: dict[str, Any]
) -> Kernel:
    """Tensors in order, attributes by name, None for what must be given and was not."""
    if named:
        absent = needed_by(function) - {*slots, *attributes}
        attributes = {**dict.fromkeys(absent), **attributes}
    return partial(function, **attributes) if attributes else function


def _by_keyword(function: Kernel, slots: tuple[str, ...], attributes: dict[str, Any]) -> Kernel:
    if inspect.isfunction(function):
        absent = needed_by(function) - {*slots, *attributes} if parameters_of(function) else set()
        attributes = {**dict.fromkeys(absent), **attributes}

    def called(*tensors: Tensor) -> Any:
        return function(**dict(zip(slots, tensors, strict=True)), **attributes)

    return called


def _by_position(
    function: Kernel, slots: tuple[str, ...], attributes: dict[str, Any], order: tuple[str, ...]
) -> Kernel:
    def called(*tensors: Tensor) -> Any:
        given = {**attributes, **dict(zip(slots, tensors, strict=True))}
        more = given.pop("argument", ())
        return function(*(given.get(slot) for slot in order), *more)

    return called
