"""What is known of the numbers in a graph's buffers: triangles, all the same, counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..buffers import said
from ..model import Definition, Graph, Parameter
from ..paths import join
from ..walk import blocks
from .pointwise import cut_triangle, number_of
from .reach import Linear, State, axis_index, plain, slots_of


class Tables:
    """The states of weights and buffers by definition; one used at several paths is known if all agree."""

    def __init__(self, graph: Graph) -> None:
        self._said: dict[tuple[str, str], Mapping[str, Any]] = {}
        facts = said(graph)
        for block, definition in blocks(graph) if facts else ():
            for parameter in definition.parameters:
                if not parameter.trained:
                    found = facts.get(join(block, parameter.path), {})
                    key = definition.name, parameter.path
                    if self._said.setdefault(key, found) != found:
                        self._said[key] = {}

    def state(self, definition: Definition, parameter: Parameter) -> State:
        """What is known of a parameter; it depends on no position."""
        state = plain(parameter.shape)
        if parameter.trained:
            return state
        found = self._said.get((definition.name, parameter.path), {})
        try:
            return _known(state, found, len(parameter.shape))
        except (TypeError, ValueError):  # facts come from files
            return state
        except LookupError:
            # Nothing is known; a square may be a mask.
            square = len(parameter.shape) > 1 and parameter.shape[-1] == parameter.shape[-2] != 1
            return replace(state, veiled=square)


def _known(state: State, found: Mapping[str, Any], rank: int) -> State:
    if "counts_from" in found:
        last = axis_index(state.axes, rank - 1)
        return replace(state, index=Linear(last.coefficients, int(found["counts_from"])))
    form, number = found["filled"]
    filled = replace(state, fill=number_of(float(number)))
    if form == "all" or rank < 2:
        return filled
    if not all(slots_of(state.axes)[rank - 2 :]):
        return state
    return cut_triangle(filled, rank, form == "lower", 0)
