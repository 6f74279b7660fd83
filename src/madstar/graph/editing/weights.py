"""Weights carried over an edit: the state dict of the original to that of the edited graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ...errors import EditError
from ..model import Graph, Parameter
from ..walk import parameters, representatives
from .applying import Edited, Step
from .recipes import Recipe

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def transfer(
    weights: Mapping[str, Tensor], edited: Edited, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """The values of the edited graph's weights and buffers, by full path, from those of its original.

    What keeps its path and shape keeps its value; what a rewrite makes of others is made so; what is new is
    drawn as its initialisation says, with `generator`. Values are copied. Raises EditError where the weights
    lack a parameter of the original.
    """
    known = _with_tied(weights, edited.original)
    for path, parameter in parameters(edited.original).items():
        found = known.get(path)
        if found is None or tuple(found.shape) != parameter.shape:
            said = "nothing" if found is None else list(found.shape)
            raise EditError(
                f"{path}: expected weights {list(parameter.shape)}, found {said}; give the original's"
            )
    for step in edited.steps:
        known = _step(known, step, generator)
    return {path: value.clone() for path, value in known.items()}


def _with_tied(weights: Mapping[str, Tensor], graph: Graph) -> dict[str, Tensor]:
    known = dict(weights)
    for group in graph.tied:
        value = next((known[path] for path in group if path in known), None)
        if value is not None:
            known |= {path: known.get(path, value) for path in group}
    return known


def _step(known: Mapping[str, Tensor], step: Step, generator: torch.Generator | None) -> dict[str, Tensor]:
    import torch

    from ..execution.fresh import Fresh

    wanted = parameters(step.after)
    found: dict[str, Tensor] = {}
    missing: dict[str, Parameter] = {}

    def before(path: str) -> Tensor:
        """The value that a weight had; of one that is new too, a copy within a copy, what it is made of."""
        if path in known:
            return known[path]
        recipe = step.recipes[path]
        return _made(recipe, wanted[path], [before(each) for each in recipe.sources])

    for path, parameter in wanted.items():
        recipe, value = step.recipes.get(path), known.get(path)
        if recipe is not None:
            found[path] = _made(recipe, parameter, [before(each) for each in recipe.sources])
        elif value is not None and tuple(value.shape) == parameter.shape:
            found[path] = value
        else:
            missing[path] = parameter
    if missing:
        fresh = Fresh(step.after, wanted, generator, torch.device("cpu"), None)
        found |= {path: fresh.take(path, parameter) for path, parameter in missing.items()}
        fresh.finish()
    same = representatives(step.after)
    return {path: found[same.get(path, path)] for path in wanted}


def _made(recipe: Recipe, parameter: Parameter, sources: list[Tensor]) -> Tensor:
    import torch

    dtype = getattr(torch, parameter.dtype)
    if recipe.how == "zeros":
        return torch.zeros(parameter.shape, dtype=dtype)
    (source,) = sources
    if recipe.how == "copy":
        return source
    if recipe.how == "mean_rows":
        dim, size, *rows = recipe.numbers
        return _means(source, dim, torch.tensor(rows).reshape(-1, size)).reshape(parameter.shape)
    if recipe.how == "widened":
        return _widened(source, parameter.shape, *recipe.numbers)
    raise EditError(f"no recipe {recipe.how!r}")


def _means(source: Tensor, dim: int, rows: Tensor) -> Tensor:
    """Means of rows along a dimension; a row of its own is copied."""
    import torch

    many = (rows >= 0).sum(1)
    given = source.movedim(dim, 0)
    made = given[rows[:, 0]].clone()
    for count in many.unique().tolist():
        if count > 1:
            place = torch.nonzero(many == count).flatten()
            made[place] = given[rows[place, :count]].mean(1)
    return made.movedim(0, dim)


def _widened(source: Tensor, shape: tuple[int, ...], dim: int, parts: int) -> Tensor:
    """More rows along a dimension, which are copies; more columns along the other, which are zeros."""
    import torch

    old, new = source.shape[dim] // parts, shape[dim] // parts
    rows = torch.cat([part * old + torch.arange(new) % old for part in range(parts)])
    made = torch.zeros(shape, dtype=source.dtype)
    corner = tuple(slice(None) if n == dim else slice(size) for n, size in enumerate(source.shape))
    made[corner] = source.index_select(dim, rows)
    return made
