"""What a model's error says of its inputs: how many placeholders, how wide, how long they should be.

Each function reads one kind of message and gives the recipe that it asks for, None if it says nothing.
"""

from __future__ import annotations

import re
from dataclasses import replace

from torch import Tensor

from madstar.zoo.inputs.facts import Inputs
from madstar.zoo.inputs.recipe import Recipe

_TOLD = r"tokens:?\s*(\d+)\D+?features:?\s*(\d+)"


def corrected(error: str, recipe: Recipe, inputs: Inputs) -> Recipe | None:
    """Return the recipe that the error asks for, None if it asks for none."""
    return recounted(error, recipe) or widened(error, recipe, inputs) or lengthened(error, recipe)


def features_told(error: str) -> int:
    """How many features the error speaks of, 0 if of none."""
    told = re.search(_TOLD, error)
    return int(told[2]) if told is not None else 0


def widened(error: str, recipe: Recipe, inputs: Inputs) -> Recipe | None:
    """Where a product says how wide its input must be, return a recipe with an input of that width."""
    told = re.search(r"reduction dim, but got \[\d+, (\d+)\] X \[(\d+), \d+\]", error)
    if told is None:
        return None
    built, wanted = int(told[1]), int(told[2])
    if any(width == wanted for _, _, width in recipe.widths):
        return None
    for name, given in inputs.items():
        if isinstance(given, Tensor) and given.is_floating_point() and given.shape[-1] == built:
            return replace(recipe, widths=(*recipe.widths, (name, built, wanted)))
    return None


def lengthened(error: str, recipe: Recipe) -> Recipe | None:
    """Where sound is added to text position by position, return a recipe with a text as long as the sound."""
    told = re.search(r"length (\d+) at -2!.* broadcastable to \[\d+, (\d+), \d+\]", error)
    if told is None or int(told[2]) != recipe.least or not recipe.least < int(told[1]) < 5000:
        return None
    return replace(recipe, least=int(told[1]))


def recounted(error: str, recipe: Recipe) -> Recipe | None:
    """Where a model says how many features it has for how many tokens, return a recipe with that many."""
    told = re.search(_TOLD, error)
    if told is None:
        return None
    tokens, features = int(told[1]), int(told[2])
    for place, part in enumerate(recipe.slots):
        if part.count == tokens and features != tokens and 0 < features < 20000:
            slots = list(recipe.slots)
            slots[place] = replace(part, count=features)
            return replace(recipe, slots=tuple(slots))
    return None
