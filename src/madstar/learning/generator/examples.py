"""Graphs made into examples: the decisions that make each, and what is seen beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from madstar.errors import GraphError
from madstar.graph.hashing import structural_hash
from madstar.graph.inference import Inference
from madstar.graph.model import Graph

from .allowed import may
from .decisions import GRADES, Decision, encode
from .draft import MOST_ITEMS, Limits
from .network import Sights
from .relative import Inexpressible
from .seen import Seen, seen
from .space import Kind, Space
from .state import State


@dataclass(frozen=True)
class Example:
    """The decisions that make a graph by number, what is seen beside each, the hash of what they make.

    That is not the graph's own where weights were left out or are no longer shared.
    """

    numbers: tuple[int, ...]
    groups: tuple[tuple[str, int, int], ...]
    sights: Sights
    hashed: str


@dataclass(frozen=True)
class Examples:
    """What graphs became: examples of those that can be made, which these are, and how many were left out."""

    space: Space
    examples: tuple[Example, ...]
    kept: tuple[int, ...]
    inexpressible: int
    rare: int
    long: int
    unfit: int


def examples_of(
    graphs: Sequence[Graph],
    domains: Sequence[str],
    context: int,
    least: int = 2,
    known: Space | None = None,
    grades: Sequence[str] | None = None,
) -> Examples:
    """Examples, and the space of their decisions, or those of a space that is known.

    Raises GraphError where no graph can be made.

    Graphs that the checks would refuse (dead values, more blocks than allowed, nothing that trains) are left
    out: what is learned is what fits.
    """
    sequences: dict[int, list[Decision]] = {}
    long = 0
    said = [GRADES[0]] * len(graphs) if grades is None else grades
    for number, (graph, domain, grade) in enumerate(zip(graphs, domains, said, strict=True)):
        try:
            sequence = encode(graph, domain, grade)
        except Inexpressible:
            continue
        if len(sequence) > context:
            long += 1
        else:
            sequences[number] = sequence
    space = known or Space.of(list(sequences.values()), least if len(sequences) > 50 else 1)
    found: dict[int, Example] = {}
    kinds: dict[int, list[set[Kind]]] = {}
    rare = 0
    for number, sequence in sequences.items():
        numbers = [space.number(decision) for decision in sequence]
        if not all(numbers):
            rare += 1
        elif (example := _replayed(space, numbers, graphs[number], kinds)) is not None:
            found[number] = example
    if known is None:
        space = replace(space, kinds={node: tuple(map(frozenset, each)) for node, each in kinds.items()})
    if not found:
        raise GraphError(
            f"none of {len(graphs)} graphs can be made by decisions; give blocks of up to {MOST_ITEMS} nodes "
            "(madstar.learning.generator.blocks_of)"
        )
    inexpressible = len(graphs) - len(sequences) - long
    unfit = len(sequences) - len(found) - rare
    return Examples(space, tuple(found.values()), tuple(found), inexpressible, rare, long, unfit)


def _replayed(
    space: Space, numbers: list[int], graph: Graph, kinds: dict[int, list[set[Kind]]]
) -> Example | None:
    """The example, if nothing of it would be refused.

    Adds to `kinds` the rank and dtype of what each operation takes.
    """
    state = State(space, Limits(), Inference(graph.symbols))
    row: list[Seen] = []
    taken: list[tuple[int, int, Kind]] = []
    for number in numbers:
        after = state.after(number) if may(state, number) else None
        if after is None:
            return None
        if space.groups[number] == "set":
            operands = enumerate(state.operands())
            taken += [(state.node, place, (len(t.shape), t.dtype)) for place, t in operands]
        state = after
        row.append(seen(state))
    if not state.done:
        return None
    for node, place, kind in taken:
        places = kinds.setdefault(node, [])
        places += [set() for _ in range(place + 1 - len(places))]
        places[place].add(kind)
    ways = tuple((each.group, each.node, each.chosen) for each in row)
    return Example(tuple(numbers), ways, Sights.of(row), structural_hash(state.graph("known")))
