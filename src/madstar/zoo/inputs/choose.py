"""Chooses by trial what to feed a model: the candidates that reach most of its parameter tensors.

In order: for each kind of input with a `get_..._features` of its own, the first candidate that this function
takes; then everything together with the text; if the model refuses that, less. What runs is then extended,
one argument after the other, as long as that reaches parameters that nothing reached before.
"""

from __future__ import annotations

import inspect
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from madstar.zoo.inputs.corrections import corrected, features_told, widened
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
        self.begun, self.seconds = time.monotonic(), seconds
        self.best = Chosen(None, Trial(frozenset(), -1, error="no inputs fit its forward's arguments"))
        self.slots: dict[str, Slot] = {}
        self.widths: tuple[tuple[str, int, int], ...] = ()
        self.options = candidates(facts, MODALITIES)

    @property
    def over(self) -> bool:
        return time.monotonic() > self.begun + self.seconds

    def attempt(self, choices: Sequence[Choice], least: int = 16) -> Trial | None:
        """Run one recipe; keep it if it is the best. None if it ran no further than its error."""
        slots = tuple(self.slots[c.builder] for c in choices if c.builder in self.slots)
        recipe = Recipe(tuple(choices), slots, least, self.widths)
        for _ in range(4):
            inputs = recipe.build(self.facts)
            trial = self.run(self.facts.module, inputs, "forward")
            better = corrected(trial.error, recipe, inputs)
            if better is None:
                break
            recipe = better
        self.best.tried.append((str(recipe), trial.error))
        if trial.error:
            if self.best.recipe is None and (
                self.best.trial.total < 0 or len(trial.touched) > len(self.best.trial.touched)
            ):
                self.best.trial = trial  # the one that got furthest says most
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
    _mark_places(search)
    if search.best.recipe is not None:
        _extend(search)
    return search.best


def _settle_features(search: _Search) -> None:
    """Let each kind's own feature function pick the candidate and say how many tokens it stands for."""
    for kind in ("image", "video", "audio"):
        method = getattr(search.facts.module, f"get_{kind}_features", None)
        if method is None or kind not in search.options:
            continue
        for choice in search.options[kind]:
            if time.monotonic() > search.begun + search.seconds / 2:
                return  # the rest is for forward itself
            if _settled(search, kind, method, choice):
                break


def _settled(search: _Search, kind: str, method: Any, choice: Choice) -> bool:
    """Try one candidate on its feature function; whether it is taken, or says how many tokens it wants."""
    facts, beside, name = search.facts, _demanded(search, method), f"get_{kind}_features"
    recipe = Recipe((choice,), widths=search.widths)
    inputs = accepted(method, beside | recipe.build(facts))
    if not inputs:
        return False
    trial = search.run(facts.module, inputs, name)
    wider = widened(trial.error, recipe, inputs)
    if wider is not None:
        again = search.run(facts.module, accepted(method, beside | wider.build(facts)), name)
        if not again.error:
            trial, search.widths = again, wider.widths
    if not trial.error:
        count = rows(trial.output, facts.number("hidden_size", "d_model", place="text", default=0))
    else:
        search.best.tried.append((f"{kind}: {choice.label}", trial.error))
        count = features_told(trial.error) if beside else 0  # it looked for them among the ids
        if not count:
            return False
    search.options[kind] = [choice] if trial.error else _alike(search, kind, method, choice)
    found = slot(facts, kind, count)
    if found is not None:
        search.slots[kind] = found
    return True


def _mark_places(search: _Search) -> None:
    """Where a kind has no feature function and little was reached, let one token stand for it."""
    if search.best.trial.share == 1 and not search.best.trial.error:
        return
    kinds = [k for k in ("image", "video", "audio") if k in search.options and k not in search.slots]
    kinds = [k for k in kinds if not hasattr(search.facts.module, f"get_{k}_features")]
    found = {kind: slot(search.facts, kind, 1) for kind in kinds}
    search.slots |= {kind: part for kind, part in found.items() if part is not None}
    if not any(found.values()):
        return
    for choices in itertools.islice(_bases(search), 24):
        trial = None if search.over else search.attempt(choices)
        if trial is not None and trial.share == 1:
            break


def _demanded(search: _Search, method: Any) -> Inputs:
    """The text, if a feature function demands its ids."""
    parameter = inspect.signature(method).parameters.get("input_ids")
    if parameter is None or parameter.default is not parameter.empty or "text" not in search.options:
        return {}
    return Recipe((search.options["text"][0],)).build(search.facts)


def _alike(search: _Search, kind: str, method: Any, found: Choice) -> list[Choice]:
    """Return the candidate that a feature function takes, and those that only differ in what it does not."""

    def seen(choice: Choice) -> dict[str, Any]:
        inputs = accepted(method, Recipe((choice,)).build(search.facts))
        return {key: getattr(value, "shape", value) for key, value in inputs.items()}

    wanted = seen(found)
    later = search.options[kind][search.options[kind].index(found) + 1 :]
    return [found, *[choice for choice in later if seen(choice) == wanted][:3]]


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
