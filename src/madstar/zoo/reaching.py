"""From an address to a model that runs and what to feed it, by the cheapest way that works.

1. On the meta device, made shallow if that was asked for.
2. At full depth, where the shallow model cannot run: some blocks are named by number in ways that shrinking
   does not see.
3. With random weights on the CPU, where control flow hangs on values that no guess gets right (how many
   frames a sound is stretched to, which tokens an expert gets). Only for models of a moderate size.
4. With comparisons of unknown numbers taken to hold for every other one, where the model does not run
   otherwise, or passes more of its parts by: guesses one by one can contradict each other.

What was done stands in the model's `changes`, so that a graph says how it came about.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass

from madstar.errors import GraphError
from madstar.zoo.inputs.choose import Chosen, choose
from madstar.zoo.inputs.facts import Facts
from madstar.zoo.inputs.trial import attempt
from madstar.zoo.model import ZooModel
from madstar.zoo.source import load

MOST_WEIGHTS = 800_000_000
"""Weights of the largest model that is filled with random ones: 3.2 GB."""
SEED = 0
ALTERNATING = "comparisons of unknown numbers taken to hold for every other one"
"""The change of a model of which that was assumed."""
LITTLE = 0.8
"""Where a shallow model takes less than this, inputs are chosen anew at full depth."""


@dataclass(frozen=True)
class Reached:
    """A model and the inputs chosen for it; `chosen.recipe` is None if nothing was found that it takes."""

    model: ZooModel
    chosen: Chosen


def reach(address: str, *, shrunk: bool = True, seconds: float = 60.0) -> Reached:
    """Build a model of transformers and choose its inputs.

    Args:
        address: As for `madstar.zoo.load`, of scheme "hf".
        shrunk: Make it shallow, if it then runs.
        seconds: Time for choosing, in each of the ways.

    Raises:
        GraphError: the model cannot be built.
    """
    model = load(address, shrunk=shrunk)
    reached = Reached(model, choose(model.module, model.config, seconds=seconds))
    recipe = reached.chosen.recipe
    if not has_forward(model) or (recipe is not None and reached.chosen.trial.share == 1):
        return reached
    if recipe is not None:
        if reached.chosen.trial.guesses:
            reached = _truer(address, reached, shrunk)
            reached = _alternated(address, reached, shrunk, seconds)
        return _deeper(address, reached, seconds) if shrunk and _as_built(reached.model) else reached
    if shrunk and any(" to " in change for change in model.changes):
        deep = load(address)
        deep = dataclasses.replace(deep, size="shrunk", changes=(*deep.changes, "at full depth"))
        chosen = choose(deep.module, deep.config, seconds=seconds)
        if chosen.recipe is not None:
            return Reached(deep, chosen)
    filled = with_weights(address, model, shrunk=shrunk)
    if filled is not None:
        chosen = choose(filled.module, filled.config, seconds=2 * seconds)
        if chosen.recipe is not None:
            return Reached(filled, chosen)
    return _alternated(address, reached, shrunk, seconds)


def _alternated(address: str, reached: Reached, shrunk: bool, seconds: float) -> Reached:
    """The model with comparisons that hold for every other number, if it then misses fewer parameters."""
    before = reached.chosen
    if not before.trial.guesses and not _filled(reached.model):
        return reached  # nothing was asked
    missed = before.trial.total - len(before.trial.touched) if before.recipe is not None else math.inf
    if not missed:
        return reached
    model = load(address, shrunk=shrunk)
    run = functools.partial(attempt, alternating=True)
    chosen = choose(model.module, model.config, run, seconds, batch=2)  # of one alone, nothing holds
    if chosen.recipe is None or chosen.trial.total - len(chosen.trial.touched) >= missed:
        return reached
    return Reached(dataclasses.replace(model, changes=(*model.changes, ALTERNATING)), chosen)


def _truer(address: str, reached: Reached, shrunk: bool) -> Reached:
    """The model with weights, if it then misses fewer of its parameters: guesses may have led past some."""
    recipe = reached.chosen.recipe
    filled = with_weights(address, reached.model, shrunk=shrunk) if recipe is not None else None
    if recipe is None or filled is None:
        return reached
    facts = Facts.of(filled.module, filled.config)
    best = reached
    for length in (recipe.least, 256):
        longer = dataclasses.replace(recipe, least=length)
        trial = attempt(filled.module, longer.build(facts))
        if not trial.error and len(trial.touched) > len(best.chosen.trial.touched):
            chosen = dataclasses.replace(reached.chosen, recipe=longer, trial=trial)
            best = Reached(filled, chosen)
        if best.chosen.trial.share == 1:
            break
    return best


def _deeper(address: str, reached: Reached, seconds: float) -> Reached:
    """The model at full depth, if inputs then miss fewer of its parameters."""
    recipe = reached.chosen.recipe
    deep = load(address)
    if recipe is None or not any(" to " in change for change in reached.model.changes):
        return reached
    if reached.chosen.trial.share < LITTLE:
        chosen = choose(deep.module, deep.config, seconds=seconds)
    else:
        trial = attempt(deep.module, recipe.build(Facts.of(deep.module, deep.config)))
        chosen = dataclasses.replace(reached.chosen, trial=trial)
    trial = chosen.trial
    shallow = reached.chosen.trial
    if trial.error or trial.total - len(trial.touched) >= shallow.total - len(shallow.touched):
        return reached
    deep = dataclasses.replace(deep, size="shrunk", changes=(*deep.changes, "at full depth"))
    return Reached(deep, chosen)


def _as_built(model: ZooModel) -> bool:
    return ALTERNATING not in model.changes and not _filled(model)


def _filled(model: ZooModel) -> bool:
    return any(change.startswith("random weights") for change in model.changes)


def with_weights(address: str, model: ZooModel, *, shrunk: bool) -> ZooModel | None:
    """Return the model with random weights on the CPU; None if it is too large or cannot be built so."""
    if sum(parameter.numel() for parameter in model.module.parameters()) > MOST_WEIGHTS:
        return None
    try:
        filled = load(address, shrunk=shrunk, weights=SEED)
    except GraphError:
        return None
    return dataclasses.replace(filled, changes=(*filled.changes, f"random weights of seed {SEED}"))


def has_forward(model: ZooModel) -> bool:
    """Whether the model's class defines what to compute; some only generate, step by step."""
    return bool(getattr(model.module.forward, "__name__", "") != "_forward_unimplemented")
