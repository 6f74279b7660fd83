"""Whether a call fits its definition: counts, positions, what each turn takes, what is set and gathered."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

from ..errors import GraphError
from .model import Call, Definition, Shape, Varying

MAX_CALLS = 1_000_000
"""Uses of a definition by one call."""
MAX_ATTRIBUTE_NESTING = 20

Type = tuple[Shape, str]
"""Shape and dtype of what a reference stands for."""


def check_own(call: Call, where: str) -> None:
    """Raise GraphError unless `own` has positions of arguments, ascending, with a reference for each turn."""
    places = [place for place, _ in call.own]
    if any(not 0 <= place < len(call.arguments) for place in places) or not _ascending(places):
        raise GraphError(f"{where}: `own` must name inputs by position, each once, in order")
    for place, refs in call.own:
        if not refs or len(refs) != call.count or refs[0] != call.arguments[place]:
            raise GraphError(
                f"{where}: `own` gives {len(refs)} references for input {place}; give one for each of the "
                f"{call.count} turns, the first as among the arguments"
            )


def check_call(call: Call, definition: Definition, known: Mapping[str, Type], where: str) -> None:
    """Raise GraphError unless the call fits the definition; `known` are the types of what it may take."""
    if not 1 <= call.count <= MAX_CALLS:
        raise GraphError(f"{where}: a call has between 1 and {MAX_CALLS:,} paths, not {call.count}")
    wanted, given = len(definition.inputs), len(call.arguments)
    if wanted != given:
        raise GraphError(f"{where}: {definition.name!r} takes {wanted} inputs, {given} are given")
    if len(call.outputs) != len(definition.outputs):
        raise GraphError(
            f"{where}: {definition.name!r} gives {len(definition.outputs)} outputs, "
            f"{len(call.outputs)} are named"
        )
    fed = [position for _, position in call.carried]
    inside = all(0 <= o < len(call.outputs) and 0 <= i < wanted for o, i in call.carried)
    if not inside or len(set(fed)) < len(fed) or (call.count == 1 and call.carried):
        raise GraphError(f"{where}: `carried` must be pairs (output, input) of a run, each input once")
    if call.count > 1 and not (call.carried or call.own or call.settings or call.gathered):
        raise GraphError(f"{where}: a run of {call.count} calls that carries nothing computes one thing over")
    _check_turns(call, known, where)
    _check_settings(call, definition, where)


def _check_turns(call: Call, known: Mapping[str, Type], where: str) -> None:
    if call.count == 1 and (call.own or call.gathered):
        raise GraphError(f"{where}: `own` and `gathered` are of runs, and this is one call")
    both = {place for _, place in call.carried} & {place for place, _ in call.own}
    if both:
        raise GraphError(f"{where}: input {min(both)} is carried and each turn's own; it can be one of these")
    for place, refs in call.own:
        if odd := next((ref for ref in refs if known[ref] != known[refs[0]]), None):
            raise GraphError(
                f"{where}: input {place} is {refs[0]!r} first and {odd!r} then, of another shape or dtype"
            )
    places = [place for place, _ in call.gathered]
    if any(not 0 <= place < len(call.outputs) for place in places) or not _ascending(places):
        raise GraphError(f"{where}: `gathered` must name outputs by position, each once, in order")
    for place, names in call.gathered:
        if len(names) != call.count - 1:
            raise GraphError(
                f"{where}: `gathered` gives {len(names)} names for output {place}; give one for each of the "
                f"{call.count} turns but the last"
            )


def _check_settings(call: Call, definition: Definition, where: str) -> None:
    names = [name for name, _ in call.settings]
    if sorted(names) != sorted(definition.varying):
        wanted = ", ".join(definition.varying) or "nothing"
        raise GraphError(
            f"{where}: {definition.name!r:.80} leaves {wanted:.80} open; `settings` must set that"
        )
    for name, values in call.settings:
        if len(values) != call.count:
            raise GraphError(
                f"{where}: `settings` gives {len(values)} values for {name!r:.80}; give one for each of the "
                f"{call.count} turns"
            )
        if not all(is_attribute(value) for value in values):
            raise GraphError(f"{where}: setting {name!r:.80} is no plain data (numbers, text, tuples)")


def is_attribute(value: Any, depth: int = MAX_ATTRIBUTE_NESTING) -> bool:
    """Whether a value can be an attribute: plain data, nested at most 20 deep."""
    if isinstance(value, tuple):
        return depth > 0 and all(is_attribute(part, depth - 1) for part in value)
    return value is None or isinstance(value, (bool, int, float, str, Varying))


def _ascending(places: list[int]) -> bool:
    return all(left < right for left, right in pairwise(places))
