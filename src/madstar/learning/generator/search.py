"""One graph drawn from a model of decisions: what does not fit is not taken, dead ends are left again.

A choice is drawn among those that may come next. If it is refused it is struck out and another one drawn:
the same as drawing among those that fit alone. Where none is left, the decision before is undone and struck
out. After too many of these the graph is begun anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from .allowed import options
from .decisions import Decision
from .seen import Seen, seen
from .state import State


class Scorer(Protocol):
    """A model of decisions on its way through one graph."""

    length: int
    most: int

    def put(self, number: int, seen: Seen) -> Tensor:
        """Logits of what comes after this decision."""

    def cut(self, length: int) -> None:
        """Undo all but the first decisions."""


@dataclass
class Tally:
    """What drawing cost: decisions taken, refused, undone; how often a graph was begun; graphs given up.

    `leaking` are those that were whole and not causal where that was asked for, `apart` those that were and
    brought no tokens together where that was.
    """

    taken: int = 0
    refused: int = 0
    undone: int = 0
    begun: int = 0
    lost: int = 0
    leaking: int = 0
    apart: int = 0

    @property
    def rejection_rate(self) -> float:
        """The share of drawn decisions that were refused or undone."""
        wasted = self.refused + self.undone
        return wasted / max(1, self.taken + self.refused)


@dataclass
class _Choice:
    """A place where something is chosen: the state before, and the weights of what is left to choose."""

    state: State
    options: list[int]
    weights: list[float]
    length: int
    tries: int = 0


@dataclass(frozen=True)
class Settings:
    """How patient a search is: decisions undone before it begins anew, and how often it begins.

    After `tries` dead ends within one item the operation is struck out.
    """

    temperature: float = 1.0
    tries: int = 4
    undone: int = 24
    begun: int = 24


def draw(
    scorer: Scorer,
    start: State,
    prefix: Sequence[Decision],
    generator: torch.Generator,
    settings: Settings,
    tally: Tally,
    fixed: dict[str, set[int]] | None = None,
) -> State | None:
    """A state that is done, from one to which `prefix` is applied first; None where none was found.

    `fixed` gives groups of which only some decisions are wanted. Without checks (`Limits.checked`) the first
    choice that is refused is the end.
    """
    for _ in range(settings.begun if start.limits.checked else 1):
        tally.begun += 1
        found = _once(scorer, start, prefix, generator, settings, tally, fixed or {})
        if found is not None:
            return found
    tally.lost += 1
    return None


def _once(
    scorer: Scorer,
    state: State,
    prefix: Sequence[Decision],
    generator: torch.Generator,
    settings: Settings,
    tally: Tally,
    fixed: dict[str, set[int]],
) -> State | None:
    scorer.cut(0)
    logits: Tensor | None = None
    limits = state.limits
    state = replace(state, limits=replace(limits, checked=False))  # what is given is taken as it is
    for decision in prefix:
        number = state.space.number(decision)
        after = state.decided(decision, number)
        if after is None or scorer.length >= scorer.most:
            return None
        logits = scorer.put(number, seen(after))
        state = after
    assert logits is not None
    state = replace(state, limits=limits)
    stack: list[_Choice] = []
    choice = _choice(state, logits, scorer.length, settings, fixed)
    undone = 0
    while True:
        if not choice.options:  # a dead end: back to the choice before
            hopeless = choice.state.group == "block"  # it would end as something unwanted
            if not stack or not state.limits.checked or hopeless or undone >= settings.undone:
                return None
            undone += 1
            tally.undone += 1
            choice = _before(stack, settings)
            scorer.cut(choice.length)
            continue
        place = _drawn(choice.weights, generator)
        number = choice.options.pop(place)
        choice.weights.pop(place)
        after = choice.state.after(number)
        if after is None:
            tally.refused += 1
            if not state.limits.checked:
                return None
            continue
        tally.taken += 1
        if after.done:
            return after
        if scorer.length >= scorer.most:
            choice.options.clear()
            continue
        logits = scorer.put(number, seen(after))
        stack.append(choice)
        choice = _choice(after, logits, scorer.length, settings, fixed)


def _before(stack: list[_Choice], settings: Settings) -> _Choice:
    """The choice to return to from a dead end: the last, or that of the item's operation."""
    place = next((i for i in range(len(stack) - 1, -1, -1) if stack[i].state.group == "item"), len(stack) - 1)
    stack[place].tries += 1
    if stack[place].tries % settings.tries == 0:
        del stack[place + 1 :]
    return stack.pop()


def _choice(
    state: State, logits: Tensor, length: int, settings: Settings, fixed: dict[str, set[int]]
) -> _Choice:
    wanted = fixed.get(state.group)
    able = [number for number in options(state) if wanted is None or number in wanted]
    if not able:
        return _Choice(state, [], [], length)
    weights = torch.softmax(logits[able].double() / settings.temperature, 0)
    return _Choice(state, able, weights.tolist(), length)


def _drawn(weights: list[float], generator: torch.Generator) -> int:
    total = sum(weights)
    at = float(torch.rand((), generator=generator)) * total
    for place, weight in enumerate(weights):
        at -= weight
        if at < 0:
            return place
    return len(weights) - 1
