"""Chooses by trial what to feed a model: the candidates that reach most of its parameter tensors.

In order: for each kind of input with a `get_..._features` of its own, the first candidate that this function
takes; then everything together with the text; if the model refuses that, less. What runs is then extended,
one argument after the other, as long as that reaches parameters that nothing reached before.
"""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from madstar.zoo.inputs.facts import Facts, Inputs
from madstar.zoo.inputs.placeholders import Slot, accepted, rows, slot
from madstar.zoo.inputs.recipe import BESIDE, MODALITIES, Choice, Recipe, candidates
from madstar.zoo.inputs.trial import Trial, attempt

Runner = Callable[[nn.Module, Inputs, str], Trial]
"""Runs a method of a module ("forward" or another) on inputs and says what it reached."""


@dataclass
class Chosen:
    """What choosing found: the recipe (None if nothing ran), its trial, and what was tried."""

    recipe: Recipe | None
    trial: Trial
    tried: list[tuple[str, str]] = field(default_factory=list)


class _Search:
    def __init__(self, facts: Facts, run: Runner, seconds: float) -> None:
        self.facts, self.run = facts, run
        self.deadline = time.monotonic() + seconds
        self.best = Chosen(None, Trial(frozenset(), 1, error="no inputs fit its forward's arguments"))
        self.slots: dict[str, Slot] = {}
        self.options = candidates(facts, MODALITIES)

    @property
    def over(self) -> bool:
        return time.monotonic() > self.deadline

    def attempt(self, choices: Sequence[Choice], least: int = 16) -> Trial | None:
        """Run one recipe; keep it if it is the best. None if it ran no further than its error."""
        slots = tuple(self.slots[c.builder] for c in choices if c.builder in self.slots)
        recipe = Recipe(tuple(choices), slots, least)
        for _ in range(3):
            trial = self.run(self.facts.module, recipe.build(self.facts), "forward")
            corrected = _recounted(trial.error, recipe) if trial.error else None
            if corrected is None:
                break
            recipe = corrected
        self.best.tried.append((str(recipe), trial.error))
        if trial.error:
            if self.best.recipe is None:
                self.best.trial = trial
            return None
        if self.best.recipe is None or len(trial.touched) > len(self.best.trial.touched):
            self.best.recipe, self.best.trial = recipe, trial
        return trial


def choose(module: nn.Module, config: Any, run: Runner = attempt, seconds: float = 60.0) -> Chosen:
    """Find what to feed a model.

    Args:
        module: The model on the meta device.
        config: Its configuration.
        run: How to try.
        seconds: No new trial is begun after this time.
    """
    search = _Search(Facts.of(module, config), run, seconds)
    _settle_features(search)
    for choices in _bases(search):
        if search.over or search.attempt(choices):
            break
    if search.best.recipe is not None:
        _extend(search)
    return search.best


def _settle_features(search: _Search) -> None:
    """Let each kind's own feature function pick the candidate and say how many tokens it stands for."""
    facts = search.facts
    width = facts.number("hidden_size", "d_model", place="text", default=0)
    for kind in ("image", "video", "audio"):
        method = getattr(facts.module, f"get_{kind}_features", None)
        if method is None or kind not in search.options:
            continue
        for choice in search.options[kind]:
            if search.over:
                return
            inputs = accepted(method, Recipe((choice,)).build(facts))
            trial = search.run(facts.module, inputs, f"get_{kind}_features") if inputs else None
            if trial is None or trial.error:
                search.best.tried.append((f"{kind}: {choice.label}", trial.error if trial else ""))
                continue
            search.options[kind] = [choice]
            found = slot(facts, kind, rows(trial.output, width))
            if found is not None:
                search.slots[kind] = found
            break


def _bases(search: _Search) -> Iterator[list[Choice]]:
    """Give the combinations to try until one runs: everything, then what must be, then the rest."""
    options, facts = search.options, search.facts
    needed = [name for name, choices in options.items() if _needed(facts, choices)]
    everything = list(options)
    plans = [everything] if len(everything) > 1 else []
    if needed:
        plans.append(needed)
    plans += [["text", name] for name in everything if "text" in options and name != "text"]
    plans += [[name] for name in everything]
    plans += [[a, b] for a, b in itertools.combinations(everything, 2)]
    seen = set()
    for plan in plans:
        if tuple(plan) in seen:
            continue
        seen.add(tuple(plan))
        limit = 12 if plan == everything and len(plan) > 1 else 80
        yield from itertools.islice(_product([options[name] for name in plan]), limit)


def _product(lists: list[list[Choice]]) -> Iterator[list[Choice]]:
    """All combinations, those of early candidates first."""
    combined = itertools.product(*[list(enumerate(choices)) for choices in lists])
    for combination in sorted(combined, key=lambda c: sum(place for place, _ in c)):
        yield [choice for _, choice in combination]


def _needed(facts: Facts, choices: list[Choice]) -> bool:
    inputs = Recipe((choices[0],)).build(facts)
    return any(name == facts.main or facts.arguments.get(name, False) for name in inputs)


def _extend(search: _Search) -> None:
    """Add to what runs whatever reaches further parameters."""
    beside = candidates(search.facts, BESIDE)
    recipe = search.best.recipe
    if (
        recipe is not None
        and search.best.trial.share < 1
        and any(c.builder == "text" for c in recipe.choices)
    ):
        for length in (64, 300):
            if search.best.trial.share < 1 and not search.over:
                search.attempt(recipe.choices, length)
    for name, choices in {**search.options, **beside}.items():
        for choice in choices:
            recipe, trial = search.best.recipe, search.best.trial
            if recipe is None or trial.share >= 1 or search.over:
                return
            present = [c for c in recipe.choices if c.builder == name]
            if choice in present or (name in MODALITIES and present and name != "text" and len(choices) > 6):
                continue
            kept = [c for c in recipe.choices if c.builder != name] if name in MODALITIES else recipe.choices
            before = len(trial.touched)
            search.attempt([*kept, choice], recipe.least)
            if name in MODALITIES and len(search.best.trial.touched) > before:
                break


def _recounted(error: str, recipe: Recipe) -> Recipe | None:
    """Where a model says how many features it has for how many tokens, return a recipe with that many."""
    told = re.search(r"tokens:?\s*(\d+)\D+?features:?\s*(\d+)", error)
    if told is None:
        return None
    tokens, features = int(told[1]), int(told[2])
    for place, part in enumerate(recipe.slots):
        if part.count == tokens and features != tokens and 0 < features < 20000:
            slots = list(recipe.slots)
            slots[place] = replace(part, count=features)
            return replace(recipe, slots=tuple(slots))
    return None
