"""Composite operations that were the turns of one call, put together where they still are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ...model import Attribute
from .wired import Endpoint


@dataclass(frozen=True)
class Turn:
    """A composite operation: its block, path, what fills its inputs, what is set, what is said of it."""

    name: str
    block: str
    path: str
    taken: tuple[Endpoint, ...]
    outputs: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Attribute]
    hint: Mapping[str, Any]


@dataclass(frozen=True)
class Run:
    """Turns that are one call, and by positions what is carried, each turn's own, and needed of all turns."""

    turns: tuple[Turn, ...]
    carried: tuple[tuple[int, int], ...] = ()
    own: tuple[int, ...] = ()
    gathered: tuple[int, ...] = ()


def joined_turns(turns: list[Turn], at: int, used: Mapping[Endpoint, set[str]]) -> Run:
    """The run that begins at a turn, of one turn alone where it does not go on as it was said to."""
    first = turns[at]
    alone = Run((first,))
    said = first.hint.get("turn")
    if not isinstance(said, list) or len(said) != 2 or said[0] != 0 or type(said[1]) is not int:
        return alone
    count = said[1]
    run = tuple(turns[at : at + count])
    if count < 2 or len(run) < count:
        return alone
    name = first.hint.get("call")
    for number, turn in enumerate(run):
        fits = turn.block == first.block and len(turn.taken) == len(first.taken)
        same = turn.hint.get("call") == name and turn.hint.get("turn") == [number, count]
        if not fits or not same or list(turn.settings) != list(first.settings):
            return alone
    found = _differences(run)
    return found if found is not None and _holds(found, used) else alone


def _differences(run: tuple[Turn, ...]) -> Run | None:
    """What is carried and each turn's own, as the first turn says, if the links say so too."""
    first = run[0]
    carried = _positions(first.hint.get("carried"), len(first.outputs), len(first.taken))
    own = tuple(p for p in _numbers(first.hint.get("own")) if p < len(first.taken))
    gathered = tuple(
        pair[0]
        for pair in first.hint.get("gathered") or ()
        if isinstance(pair, list) and pair and type(pair[0]) is int and 0 <= pair[0] < len(first.outputs)
    )
    if len(set(gathered)) < len(gathered) or sorted(own) != list(own) or len(set(own)) < len(own):
        return None
    entries = {entry: output for output, entry in carried}
    if len(entries) < len(carried) or set(entries) & set(own) or list(gathered) != sorted(gathered):
        return None
    for before, turn in pairwise(run):
        for place, end in enumerate(turn.taken):
            if place in entries:
                if end != (before.name, before.outputs[entries[place]]["name"]):
                    return None
            elif place not in own and end != first.taken[place]:
                return None
    inside = {turn.name for turn in run}
    if any(turn.taken[place][0] in inside for turn in run for place in own):
        return None
    if not (carried or own or gathered or first.settings):
        return None
    return Run(run, carried, own, gathered)


def _holds(run: Run, used: Mapping[Endpoint, set[str]]) -> bool:
    """Whether what earlier turns give is needed only where a run can give it."""
    for turn, after in pairwise(run.turns):
        for place, variable in enumerate(turn.outputs):
            if place in run.gathered:
                continue
            if not used.get((turn.name, variable["name"]), set()) <= {after.name}:
                return False
            if used.get((turn.name, variable["name"])) and place not in {output for output, _ in run.carried}:
                return False
    return True


def _positions(given: Any, outputs: int, inputs: int) -> tuple[tuple[int, int], ...]:
    if not isinstance(given, list):
        return ()
    return tuple(
        (pair[0], pair[1])
        for pair in given
        if isinstance(pair, list)
        and len(pair) == 2
        and all(type(part) is int for part in pair)
        and 0 <= pair[0] < outputs
        and 0 <= pair[1] < inputs
    )


def _numbers(given: Any) -> list[int]:
    return [each for each in given if type(each) is int and each >= 0] if isinstance(given, list) else []
