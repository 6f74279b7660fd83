"""A node as an expression of torch: the signs of arithmetic, methods, functions, as a person writes them.

What `madstar.graph.execution` computes is what is written; where that tries several ways of calling a
function, these are tried here in the same order on the meta device, and the first that fits is written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812

from ....errors import GraphError
from ...execution.functions import SPREAD, functions_of, needed_by, overloads_of, parameters_of
from ...vocabulary import OPAQUE, OPERATIONS
from .creation import creation
from .said import Said, bracketed, owner
from .special import SPECIAL

_SIGNS = {
    "add": "+", "sub": "-", "mul": "*", "div": "/", "true_divide": "/", "floor_divide": "//", "pow": "**",
    "remainder": "%", "matmul": "@", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">=",
    "bitwise_and": "&", "bitwise_or": "|", "bitwise_xor": "^", "bitwise_left_shift": "<<",
    "bitwise_right_shift": ">>",
}  # fmt: skip

_AS_METHODS = frozenset(
    "transpose flatten unflatten squeeze unsqueeze contiguous clone detach chunk split masked_fill "  # noqa: SIM905
    "sum mean amax amin argmax argmin any all cumsum prod var std unbind view_as reshape_as expand_as "
    "repeat_interleave select narrow gather index_select masked_scatter scatter scatter_add abs sqrt rsqrt "
    "exp log sin cos clamp square logical_not logical_and logical_or item tril triu diagonal t movedim "
    "sigmoid tanh floor ceil round index_add index_fill index_copy max min norm diff roll sign nonzero "
    "topk sort".split()
)


def expression(said: Said) -> str:
    """What computes a node. Raises GraphError where nothing does."""
    special = SPECIAL.get(said.node.op)
    if special is not None and (made := special(said)) is not None:
        return made
    for way in (_infix, _method_of_size, creation):
        if (made := way(said)) is not None:
            return made
    return _general(said)


def _infix(said: Said) -> str | None:
    sign = _SIGNS.get(said.node.op)
    names = {*said.tensors, *said.attributes}
    second = "exponent" if said.node.op == "pow" else "other"
    if sign is None or names != {"input", second} or not said.tensors:
        return None
    for value in said.attributes.values():
        if isinstance(value, (tuple, type(None))):
            return None
    left, right = said.say("input"), said.say(second)
    return f"{bracketed(left, sign)} {sign} {bracketed(right, sign)}"


def _method_of_size(said: Said) -> str | None:
    """x.view(a, b)."""
    known = OPERATIONS.get(said.node.op)
    if known is None or not known.variadic or known.variadic not in said.attributes:
        return None
    if said.slots[:1] != ("input",) or len(said.slots) > 1:
        return None
    packed = said.attributes[known.variadic]
    rest = [f"{slot}={said.say(slot)}" for slot in said.attributes if slot != known.variadic]
    if isinstance(packed, tuple) and packed and not rest:
        parts = [said.words.say(known.variadic, part) for part in packed]
        inside = ", ".join(parts) if len(packed) > 1 or not isinstance(packed[0], tuple) else f"{parts[0]}"
    else:
        inside = ", ".join([said.say(known.variadic), *rest])
    return f"{owner(said.tensors['input'])}.{said.node.op}({inside})"


@dataclass(frozen=True)
class Way:
    """A way of calling: as text, and as it is tried, on tensors in the order of the heads."""

    text: Callable[[Mapping[str, str]], str]
    attempt: Callable[[Mapping[str, Any]], Any]


def _general(said: Said) -> str:
    given = _lists(said)
    ways = list(_ways(said.node.op, tuple(given), said))
    if not ways:
        raise GraphError(f"no function computes {said.node.op!r:.60}")
    if len(ways) == 1:
        return ways[0].text(given)
    trial = _trial(said)
    if trial is not None:
        for way in ways:
            try:
                way.attempt(trial)
            except (TypeError, AttributeError):
                continue
            except RuntimeError as error:
                if "aten::" in str(error) and "rgument" in str(error):
                    continue
            except Exception:  #  it was called; what it said then is of the trial
                pass
            return way.text(given)
    return ways[0].text(given)


def _lists(said: Said) -> dict[str, str]:
    """The tensors by slot; "tensors.0", "tensors.1" as one list, with numbers among them where there are."""
    numbered = said.node.op.startswith(OPAQUE)
    found: dict[str, Any] = {}
    fixed = {
        s: said.say(s) for s in said.attributes if "." in s and not (numbered and s.startswith("argument."))
    }
    for slot, text in (*fixed.items(), *said.tensors.items()):
        if "." not in slot or (numbered and slot.startswith("argument.")):
            found[slot] = text
            continue
        below = found
        steps = slot.split(".")
        for step in steps[:-1]:
            below = below.setdefault(step, {})
        below[steps[-1]] = text
    order = list(
        dict.fromkeys(
            slot.partition(".")[0] if slot not in found else slot for slot in (*said.tensors, *fixed)
        )
    )
    return {slot: _listed(found[slot]) for slot in order if slot in found}


def _listed(part: Any) -> str:
    if not isinstance(part, dict):
        return str(part)
    last = max(map(int, part))
    return f"[{', '.join(_listed(part[str(i)]) if str(i) in part else 'None' for i in range(last + 1))}]"


def _ways(op: str, slots: tuple[str, ...], said: Said) -> list[Way]:
    attributes = {s: v for s, v in said.attributes.items() if "." not in s or s.startswith("argument.")}
    texts = {slot: said.words.say(slot, value) for slot, value in attributes.items()}
    if op.startswith(OPAQUE) or next(functions_of(op), None) is None:
        return _by_schema(op.removeprefix(OPAQUE), slots, texts, said)
    known = OPERATIONS.get(op)
    order = known.slots if known else ()
    ways: list[Way] = []
    for function in functions_of(op):
        named = parameters_of(function)
        in_order = named[: len(slots)] == slots if named else order[: len(slots)] == slots
        if op in SPREAD:
            in_order = True
        if in_order and (not named or set(texts) <= set(named)):
            absent = sorted((needed_by(function) - {*slots, *texts}) if named else ())
            ways.append(_ordered(op, function, slots, {**dict.fromkeys(absent, "None"), **texts}, said))
        if not named or {*slots, *texts} <= set(named):
            absent = sorted(needed_by(function) - {*slots, *texts}) if named else []
            if not _is_method(function):
                ways.append(_keyword(op, function, slots, {**dict.fromkeys(absent, "None"), **texts}, said))
    listed = [slot for slot in order if slot in slots or slot in texts]
    if known and {*slots, *texts} <= {*order, "argument"}:
        last = max((order.index(slot) for slot in listed), default=-1)
        for function in functions_of(op):
            ways.append(_position(op, function, order[: last + 1], texts, said))
            ways.append(_position(op, function, tuple(listed), texts, said))
    return ways


def _is_method(function: Any) -> bool:
    return getattr(torch.Tensor, getattr(function, "__name__", ""), None) is function


def _name(op: str, function: Any) -> str:
    space, _, rest = op.partition("_")
    if op == "pad_sequence":
        return "torch.nn.utils.rnn.pad_sequence"
    if space in ("linalg", "fft", "special") and getattr(getattr(torch, space), rest, None) is function:
        return f"torch.{space}.{rest}"
    if getattr(F, op, None) is function:
        return f"F.{op}"
    if getattr(torch, op, None) is function:
        return f"torch.{op}"
    return f"torch.Tensor.{op}"


def _ordered(op: str, function: Any, slots: tuple[str, ...], attributes: dict[str, str], said: Said) -> Way:
    def text(given: Mapping[str, str]) -> str:
        values = [given[slot] for slot in slots]
        named = [f"{slot}={each}" for slot, each in attributes.items()]
        name = _name(op, function)
        if op in SPREAD and len(values) == 1 and values[0].startswith("["):
            values = [values[0][1:-1]]
        method = (op in _AS_METHODS or name.startswith("torch.Tensor.")) and hasattr(torch.Tensor, op)
        if method and values and not values[0].startswith("["):
            positional = _positional(op, attributes)
            return f"{owner(values[0])}.{op}({', '.join([*values[1:], *positional])})"
        return f"{name}({', '.join([*values, *named])})"

    def attempt(trial: Mapping[str, Any]) -> Any:
        values = [trial[slot] for slot in slots]
        if op in SPREAD and len(values) == 1 and isinstance(values[0], list):
            values = values[0]
        return function(*values, **{slot: trial.get(slot) for slot in attributes})

    return Way(text, attempt)


_POSITIONAL = {
    "transpose": ("dim0", "dim1"), "unsqueeze": ("dim",), "squeeze": ("dim",), "softmax": ("dim",),
    "flatten": ("start_dim", "end_dim"), "movedim": ("source", "destination"),
    "unflatten": ("dim", "sizes"), "chunk": ("chunks",), "split": ("split_size_or_sections",),
}  # fmt: skip


def _positional(op: str, attributes: Mapping[str, str]) -> list[str]:
    """Attributes that are said without their names, as far as all before them are given."""
    order = _POSITIONAL.get(op, ())
    first = []
    for slot in order:
        if slot not in attributes:
            break
        first.append(slot)
    return [attributes[s] for s in first] + [f"{s}={t}" for s, t in attributes.items() if s not in first]


def _keyword(op: str, function: Any, slots: tuple[str, ...], attributes: dict[str, str], said: Said) -> Way:
    def text(given: Mapping[str, str]) -> str:
        named = [f"{slot}={given[slot]}" for slot in slots] + [f"{s}={t}" for s, t in attributes.items()]
        if slots and slots[0] == "input" and function not in (torch.where,):
            named[0] = given["input"]
        return f"{_name(op, function)}({', '.join(named)})"

    def attempt(trial: Mapping[str, Any]) -> Any:
        return function(**{slot: trial.get(slot) for slot in (*slots, *attributes)})

    return Way(text, attempt)


def _position(op: str, function: Any, order: tuple[str, ...], attributes: dict[str, str], said: Said) -> Way:
    def text(given: Mapping[str, str]) -> str:
        values = [given.get(slot, attributes.get(slot, "None")) for slot in order]
        name = _name(op, function)
        more = [attributes["argument"]] if "argument" in attributes else []
        spread = [f"*{more[0]}"] if more else []
        if name.startswith("torch.Tensor.") and values:
            return f"{owner(values[0])}.{op}({', '.join([*values[1:], *spread])})"
        return f"{name}({', '.join([*values, *spread])})"

    def attempt(trial: Mapping[str, Any]) -> Any:
        return function(*(trial.get(slot) for slot in order), *(trial.get("argument") or ()))

    return Way(text, attempt)


def _by_schema(name: str, slots: tuple[str, ...], attributes: Mapping[str, str], said: Said) -> list[Way]:
    ways = []
    for overload in overloads_of(name):
        names = [argument.name for argument in overload._schema.arguments]
        renamed = {"input": names[0]} if names and names[0] in ("self", "x", "a") else {}
        renamed |= {f"argument.{number}": each for number, each in enumerate(names)}
        needed = {a.name for a in overload._schema.arguments if not a.has_default_value()}
        there = [renamed.get(slot, slot) for slot in (*slots, *attributes)]
        if not needed <= set(there) <= set(names):
            continue
        ways.append(_schema_way(overload, slots, attributes, renamed, names))
    return ways


def _schema_way(
    overload: Any,
    slots: tuple[str, ...],
    attributes: Mapping[str, str],
    renamed: Mapping[str, str],
    names: list[str],
) -> Way:
    packet, kind = overload._schema.name.partition("::")[2], overload._schema.overload_name or "default"

    def text(given: Mapping[str, str]) -> str:
        said = {renamed.get(slot, slot): given[slot] for slot in slots}
        said |= {renamed.get(slot, slot): each for slot, each in attributes.items()}
        first = [said.pop("self")] if "self" in said else []
        return (
            f"torch.ops.aten.{packet}.{kind}({', '.join([*first, *(f'{k}={v}' for k, v in said.items())])})"
        )

    def attempt(trial: Mapping[str, Any]) -> Any:
        said = {renamed.get(slot, slot): trial.get(slot) for slot in (*slots, *attributes)}
        first = [said.pop("self")] if "self" in said else []
        return overload(*first, **said)

    return Way(text, attempt)


def _trial(said: Said) -> dict[str, Any] | None:
    """Tensors of the meta device and numbers, as the node has them at the sizes traced."""
    from ...execution.attributes import Moment, spoken

    sizes = said.words.example
    moment = Moment(sizes, torch.device("meta"))
    found: dict[str, Any] = {}
    try:
        for argument in said.node.arguments:
            value = said.types[argument.source]
            shape = [spoken("size", dim, moment) for dim in value.shape]
            tensor = torch.empty(shape, dtype=moment.dtype(value.dtype), device="meta")
            head, _, rest = argument.slot.partition(".")
            if rest and not said.node.op.startswith(OPAQUE):
                found.setdefault(head, []).append(tensor)
            else:
                found[argument.slot] = tensor
        for slot, value in said.attributes.items():
            found[slot] = spoken(slot, said.words.settled(value), moment)
    except (GraphError, RuntimeError, TypeError, AttributeError):
        return None
    return found


__all__ = ["Said", "expression"]
