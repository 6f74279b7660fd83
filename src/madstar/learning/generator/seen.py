"""What a model sees beside the decisions: the types that inference found, what is idle, what is asked for.

All of it is small whole numbers, which index tables of embeddings. A type is said by its rank, its dtype and
its last axes, each as what it is of the width and as itself. A value that a pointer may point to is a
`Candidate`: where it was made and by what, how far back, whether anything took it, and how its type goes
together with those of the operands chosen before. So is a block that may be called. Nothing here says
whether a decision will be refused.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from madstar.graph.inference.promotion import is_floating
from madstar.graph.inference.types import Type
from madstar.graph.model import Dim

from .allowed import callability
from .decisions import GRADES, STREAMS
from .relative import FRACTIONS
from .space import GROUPS
from .state import State

Numbers = tuple[int, ...]
AXES = 4
_DTYPES = ("float32", "float16", "bfloat16", "float64", "int64", "int32", "bool", "complex64")
_RELATIVE = 48
_ITSELF = 256
TYPE = (8, 10, *(_RELATIVE,) * (AXES + 2), *(_ITSELF,) * AXES)
"""How many numbers each part of a type's code has; 0 is for what there is not."""
NO_TYPE = (0,) * len(TYPE)
PAIR = (9, 17, 8, 6)
NO_PAIR = (0,) * len(PAIR)
BESIDE = (
    len(GROUPS), 9, 9, 16, 10, 60, 10, 10, 10, 10, 2, 5, 5, 26, 4, 5, 5, 16, 16, 4, 4, *PAIR, *PAIR, *PAIR,
)  # fmt: skip
ROLES = 8
"""Types seen beside a decision: the last value, two idle ones, three operands, what is wanted, sizes said."""
MAKERS = 5
CANDIDATE = (3, 64, 2, 2, 2, 2, 4, *PAIR, *PAIR)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What may be chosen: its decision, where its value was made and by what, its type, numbers of it.

    For a block where it was done, and the type of what it takes first.
    """

    number: int
    place: int
    maker: int
    type: Numbers
    numbers: Numbers


@dataclass(frozen=True, slots=True)
class Seen:
    """What is seen when the next decision is drawn: its group first, then numbers, types, makers, candidates.

    `node` and `chosen` are the operation and attributes under way.
    """

    group: str
    node: int
    chosen: int
    beside: Numbers
    types: tuple[Numbers, ...]
    makers: Numbers
    candidates: tuple[Candidate, ...] = ()


def seen(state: State) -> Seen:
    """What a model sees of a state."""
    draft, width = state.draft, state.width
    values = draft.values
    operands = state.operand_places()
    idle = sorted(draft.idle, reverse=True)
    others = [place for place in idle if place != len(values) - 1]
    wanted = state.wanted()
    pick = [
        len(values) - 1 if values else None,
        others[0] if others else None,
        others[-1] if others else None,
        *(operands[i] if i < len(operands) else None for i in range(3)),
    ]
    types = tuple(NO_TYPE if place is None else type_code(values[place][1], width) for place in pick)
    makers = tuple(0 if place is None else draft.makers[place] for place in (*pick[:2], *pick[3:]))
    last = None if pick[0] is None else values[pick[0]][1]
    group = state.group
    blocks = [callability(state, back) for back in range(1, 5)] if group in ("item", "which") else []
    alike = [type_ == last for _, type_ in values] if group == "item" else []
    return Seen(
        group,
        state.node if state.pending else 0,
        state.space.number(state.pending[-1]) if group == "weights" else 0,
        (
            GROUPS.index(group),
            min(len(operands), 8),
            min(state.pointers_left(), 8),
            min(len(idle), 15),
            min(sum(place < len(draft.inputs) for place in idle), 9),
            min(len(draft.items), 59),
            min(len(draft.inputs), 9),
            min(len(state.blocks), 9),
            min(state.uncalled(), 9),
            min(state.uncalled(), 9) if state.whole else 0,  # what it must still call
            int(state.whole),
            1 + (*STREAMS, "other").index(state.form) if state.form else 0,
            1 + GRADES.index(state.grade) if state.grade else 0,
            state.size_left(),
            (bool(values) and len(values) - 1 in draft.reached) + 2 * any(p in draft.reached for p in idle),
            min(sum(is_floating(values[place][1].dtype) for place in idle), 4),
            min(len(draft.outputs), 4),
            sum(fits << bit for bit, (fits, _) in enumerate(blocks)),
            sum(called << bit for bit, (_, called) in enumerate(blocks)),
            min(alike.count(True), 3),
            min(sum(alike[place] for place in draft.idle), 3) if alike else 0,
            *_pair(values, operands[0] if operands else None, operands[1] if len(operands) > 1 else None),
            *_pair(values, pick[0], pick[1]),
            *(NO_PAIR if last is None or wanted is None else pair_code(last, wanted)),
        ),
        (
            *types,
            NO_TYPE if wanted is None else type_code(wanted, width),
            type_code(Type(state.sizes[3::-1], "float32"), width) if state.sizes else NO_TYPE,
        ),
        makers,
        _candidates(state, operands, wanted),
    )


def _pair(values: tuple[tuple[str, Type], ...], one: int | None, two: int | None) -> Numbers:
    return NO_PAIR if one is None or two is None else pair_code(values[one][1], values[two][1])


def _candidates(state: State, operands: list[int], wanted: Type | None) -> tuple[Candidate, ...]:
    if state.group == "pointer":
        return _values(state, operands, wanted)
    return _blocks(state) if state.group == "which" else ()


def _blocks(state: State) -> tuple[Candidate, ...]:
    values = state.draft.values
    last = values[-1][1] if values else None
    found = []
    for back in range(1, len(state.blocks) + 1):
        made = state.blocks[-back]
        if not (number := state.space.number(("which", back))):
            continue
        takes = Type(made.definition.inputs[0].shape, made.definition.inputs[0].dtype)
        fits, called = callability(state, back)
        numbers = (
            2,
            min(back, 63),
            int(not called),
            0,
            int(made.trains),
            0,
            1 + fits,
            *(NO_PAIR if last is None else pair_code(takes, last)),
            *pair_code(takes, made.outputs[0]),
        )
        found.append(Candidate(number, made.place, state.node, type_code(takes, state.width), numbers))
    return tuple(found)


def _values(state: State, operands: list[int], wanted: Type | None) -> tuple[Candidate, ...]:
    draft, width, space = state.draft, state.width, state.space
    inputs, many = len(draft.inputs), len(draft.values)
    first = draft.values[operands[0]][1] if operands else wanted
    second = draft.values[operands[-1]][1] if len(operands) > 1 else None
    found = []
    for place, (_, type_) in enumerate(draft.values):
        own = place < inputs
        number = space.number(("from", place) if own else ("back", many - place))
        if not number:
            continue
        numbers = (
            0,
            min(place if own else 16 + min(many - place, 47), 63),
            int(place in draft.idle),
            int(place in operands),
            int(place in draft.reached),
            int(own),
            0 if wanted is None else 1 + (type_ == wanted),
            *(NO_PAIR if first is None else pair_code(type_, first)),
            *(NO_PAIR if second is None else pair_code(type_, second)),
        )
        found.append(
            Candidate(number, draft.places[place], draft.makers[place], type_code(type_, width), numbers)
        )
    if state.closing:
        done = space.number(("done",))
        numbers = (1, 0, 0, 0, 0, 0, 0, *NO_PAIR, *NO_PAIR)
        found.append(Candidate(done, state.length - 1, done, NO_TYPE, numbers))
    return tuple(found)


@lru_cache(maxsize=1 << 16)
def type_code(type_: Type, width: int) -> Numbers:
    """A type in numbers, each below that of `TYPE`."""
    shape, dtype = type_.shape, type_.dtype
    axes = [shape[-axis] if axis <= len(shape) else None for axis in range(1, AXES + 1)]
    products = [shape[-2:], shape[-3:-1]]
    return (
        1 + min(len(shape), 6),
        1 + (_DTYPES.index(dtype) if dtype in _DTYPES else len(_DTYPES)),
        *(0 if size is None else _of_width(size, width) for size in axes),
        *(
            _of_width(prod(pair), width) if len(pair) == 2 and all(isinstance(s, int) for s in pair) else 0
            for pair in products
        ),
        *(0 if size is None else _itself(size) for size in axes),
    )


def _of_width(size: Dim, width: int) -> int:
    """What a size is: a symbol, a fraction of the width, a small number, a power of two nearby."""
    if isinstance(size, str):
        return {"batch": 1, "length": 2}.get(size, 3 + zlib.crc32(size.encode()) % 4)
    if size <= 1:
        return 7 + max(0, size)
    for number, (above, below) in enumerate(FRACTIONS):
        if size * below == width * above:
            return 9 + number
    return 20 + size if size <= 8 else 29 + min(size.bit_length(), 18)


def _itself(size: Dim) -> int:
    if isinstance(size, str):
        return 252 + zlib.crc32(size.encode()) % 4
    return 1 + max(0, size) % 251


@lru_cache(maxsize=1 << 17)
def pair_code(one: Type, two: Type) -> Numbers:
    """How two types go together, each number below that of `PAIR`."""
    a, b = one.shape, two.shape
    spread = all(x == y or x == 1 or y == 1 for x, y in zip(a[::-1], b[::-1], strict=False))
    crossed = 0
    for bit, (i, j) in enumerate(((-1, -1), (-2, -2), (-1, -2), (-2, -1))):
        crossed |= (len(a) >= -i and len(b) >= -j and a[i] == b[j]) << bit
    differ = sum(x != y for x, y in zip(a, b, strict=False))
    return (
        1 + (a == b) + 2 * (one.dtype == two.dtype) + 4 * spread,
        1 + crossed,
        4 + max(-3, min(3, len(a) - len(b))),
        5 if len(a) != len(b) else 1 + min(differ, 3),
    )


__all__ = ["BESIDE", "CANDIDATE", "MAKERS", "PAIR", "ROLES", "TYPE", "Candidate", "Seen", "seen"]
