"""What a generator is trained on: blocks cut from graphs, and random genomes traced."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from madstar.graph.hashing import structural_hash
from madstar.graph.model import Graph
from madstar.graph.soundness import ordered_definitions

from .draft import MOST_ITEMS


def blocks_of(graph: Graph, least: int = 4, most: int = MOST_ITEMS) -> Iterator[Graph]:
    """Each block of a graph as a graph of its own, with the blocks that it calls.

    Those of between `least` and `most` items in all, a block that is called twice counted once.
    """
    for name in ordered_definitions(graph):
        definition = graph.definitions[name]
        if definition.varying or not definition.inputs or not definition.outputs:
            continue
        cut = dataclasses.replace(graph, root=name, tied=(), guesses=(), weights=())
        needed = ordered_definitions(cut)
        if least <= sum(len(graph.definitions[each].items) for each in needed) <= most:
            yield dataclasses.replace(
                cut,
                name=f"{graph.name}:{definition.kind}",
                definitions={each: graph.definitions[each] for each in reversed(needed)},
                input_names=tuple(value.name for value in definition.inputs),
                output_names=tuple(f"out{i}" for i in range(len(definition.outputs))),
            )


def distinct(graphs: Iterable[Graph]) -> list[Graph]:
    """The graphs without those of a structure that came before."""
    found: dict[str, Graph] = {}
    for graph in graphs:
        found.setdefault(structural_hash(graph), graph)
    return list(found.values())
