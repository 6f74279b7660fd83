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

_AT_ONCE, _AT_MOST = 12, 80
"""Combinations of candidates that are tried: of everything, before less is tried, and of one plan."""

_TURNS = 3
"""Candidates that a feature function takes and forward does not, before the kind is given up."""

Runner = Callable[[nn.Module, Inputs, str], Trial]
"""Runs a method of a module ("forward" or another) on inputs and says what it reached."""


@dataclass
class Chosen:
    """What choosing found: the recipe (None if nothing ran), its trial, and what was tried."""

    recipe: Recipe | None
    trial: Trial
    tried: list[tuple[str, str]] = field(default_factory=list)


class _Search:
    def __init__(self, facts: Facts, run: Runner, seconds: float, batch: int) -> None:
        self.facts, self.run, self.batch = facts, run, batch
        self.begun, self.seconds = time.thread_time(), seconds
        self.best = Chosen(None, Trial(frozenset(), -1, error="no inputs fit its forward's arguments"))
        self.slots: dict[str, Slot] = {}
        self.widths: tuple[tuple[str, int, int], ...] = ()
        self.options = candidates(facts, MODALITIES)

    @property
    def over(self) -> bool:
        return time.thread_time() > self.begun + self.seconds

    def attempt(self, choices: Sequence[Choice], least: int = 16) -> Trial | None:
        """Run one recipe; keep it if it is the best. None if it ran no further than its error."""
        slots = tuple(self.slots[c.builder] for c in choices if c.builder in self.slots)
        recipe = Recipe(tuple(choices), slots, least, self.widths)
        for _ in range(4):
            inputs = recipe.build(self.facts, self.batch)
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


def choose(
    module: nn.Module, config: Any, run: Runner = attempt, seconds: float = 60.0, batch: int = 1
) -> Chosen:
    """Find what to feed a model.

    Args:
        module: The model on the meta device.
        config: Its configuration.
        run: How to try.
        seconds: No new trial is begun after this time, in seconds of the processor.
        batch: Samples in what is tried.
    """
    search = _Search(Facts.of(module, config), run, seconds, batch)
    _begin(search)
    _mark_places(search)
    if search.best.recipe is not None:
        _extend(search)
    return search.best


def _begin(search: _Search) -> None:
    """Find a combination that runs, with as many kinds as may be.

    What a feature function takes is not always what forward then takes (rows of one sample or of all): where
    a kind is left out, its next candidate that the function takes has its turn.
    """
    offered = dict(search.options)
    settled = _settle_features(search)
    first = dict(search.options), dict(search.slots)
    for turn in range(_TURNS):
        for choices in _bases(search):
            if search.over or search.attempt(choices):
                break
        for kind in _left_out(search, settled):
            recipe, options = search.best.recipe, search.options[kind]
            if recipe is not None and options and not search.over:  # beside what runs, without the others
                search.attempt([*recipe.choices, options[0]])
        left = _left_out(search, settled)
        if not left or search.over or turn == _TURNS - 1:
            break
        for kind in left:
            given = search.options[kind]
            after = offered[kind].index(given[-1]) + 1 if given else len(offered[kind])
            search.options[kind] = offered[kind][after:]
            search.slots.pop(kind, None)
        if not set(_settle_features(search, left)) & set(left):
            break
    for kind in _left_out(search, settled):
        search.options[kind] = first[0][kind]
        search.slots |= {kind: first[1][kind]} if kind in first[1] else {}


def _left_out(search: _Search, settled: list[str]) -> list[str]:
    """The settled kinds that are not among what runs best, unless that leaves nothing to reach."""
    if search.best.recipe is None:
        return settled
    fed = {choice.builder for choice in search.best.recipe.choices}
    return [kind for kind in settled if kind not in fed and search.best.trial.share < 1]


def _settle_features(search: _Search, kinds: Sequence[str] = ("image", "video", "audio")) -> list[str]:
    """Let each kind's own feature function pick the candidate and say how many tokens it stands for.

    Returns:
        The kinds for which one was found.
    """
    settled: list[str] = []
    for kind in kinds:
        part = search.facts.featured(kind)
        if part is None or kind not in search.options:
            continue
        for choice in search.options[kind]:
            if time.thread_time() > search.begun + search.seconds / 2:
                return settled  # the rest is for forward itself
            if _settled(search, kind, part, choice):
                settled.append(kind)
                break
    return settled


def _settled(search: _Search, kind: str, part: nn.Module, choice: Choice) -> bool:
    """Try one candidate on its feature function; whether it is taken, or says how many tokens it wants."""
    facts, name = search.facts, f"get_{kind}_features"
    method = getattr(part, name)
    beside = _demanded(search, method)
    recipe = Recipe((choice,), widths=search.widths)
    inputs = accepted(method, beside | recipe.build(facts))
    if not inputs:
        return False
    trial = search.run(part, inputs, name)
    wider = widened(trial.error, recipe, inputs)
    if wider is not None:
        again = search.run(part, accepted(method, beside | wider.build(facts)), name)
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
    found = slot(facts, kind, max(count, 1))  # where they cannot be counted, forward says how many it has
    if found is not None:
        search.slots[kind] = found
    return True


def _mark_places(search: _Search) -> None:
    """Where a kind has no feature function and little was reached, let one token stand for it."""
    if search.best.trial.share == 1 and not search.best.trial.error:
        return
    kinds = [k for k in ("image", "video", "audio") if k in search.options and k not in search.slots]
    kinds = [k for k in kinds if search.facts.featured(k) is None]
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
        limit = _AT_ONCE if plan == everything and len(plan) > 1 else _AT_MOST
        yield from itertools.islice(_product([options[name] for name in plan]), limit)
    if len(everything) > 1:
        further = _product([options[name] for name in everything])
        yield from itertools.islice(further, _AT_ONCE, _AT_MOST)


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
    _lengthen(search)
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


def _lengthen(search: _Search) -> None:
    """Try longer sounds: some parts, such as caches that are compressed when full, serve long ones alone."""
    recipe = search.best.recipe
    present = [c for c in recipe.choices if c.builder == "audio"] if recipe is not None else []
    if recipe is None or len(present) != 1 or search.best.trial.share == 1:
        return
    fed = Recipe(tuple(present), widths=recipe.widths).build(search.facts)
    others = [choice for choice in search.options["audio"] if choice not in present]
    longer = {}
    for choice in others:
        other = Recipe((choice,), widths=recipe.widths).build(search.facts)
        if _grows(fed, other):
            longer[choice] = sum(tensor.numel() for tensor in other.values())
    for choice in sorted(longer, key=lambda choice: -longer[choice])[:2]:
        if not search.over:
            search.attempt([choice if c in present else c for c in recipe.choices], recipe.least)


def _grows(fed: Inputs, other: Inputs) -> bool:
    """Whether inputs are the same but for one size of each tensor, which is larger."""
    if fed.keys() != other.keys():
        return False
    for name, one in fed.items():
        two = other[name]
        if one.dtype != two.dtype or one.dim() != two.dim():
            return False
        pairs = [(a, b) for a, b in zip(one.shape, two.shape, strict=True) if a != b]
        if len(pairs) > 1 or any(a > b for a, b in pairs):
            return False
    return any(tuple(one.shape) != tuple(other[name].shape) for name, one in fed.items())
