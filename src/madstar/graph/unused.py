"""What a graph computes or holds for nothing: dead values, unused parameters."""

from __future__ import annotations

from collections.abc import Iterator

from .model import Call, Definition, Graph, Item, Node
from .paths import join
from .soundness import ordered_definitions
from .walk import blocks, representatives
from .wiring import given, positions, sources


def dead_items(definition: Definition) -> Iterator[tuple[Item, int]]:
    """Items of which nothing is used, each with the number of other items that serve it alone.

    Items that are dead only because what takes them is dead come with that: they are counted, not listed.
    """
    used: dict[str, int] = {}
    for item in definition.items:
        for source in set(sources(item)):
            used[source] = used.get(source, 0) + 1
    for source in definition.outputs:
        used[source] = used.get(source, 0) + 1
    made = {f"%{value.name}": item for item in definition.items for value in given(item)}
    for end in [item for item in definition.items if _idle(item, used)]:
        served, left = 0, [end]
        while left:
            for source in set(sources(left.pop())):
                used[source] -= 1
                if (maker := made.get(source)) is not None and not used[source] and _idle(maker, used):
                    served += 1
                    left.append(maker)
        yield end, served


def _idle(item: Item, used: dict[str, int]) -> bool:
    return not any(used.get(f"%{value.name}") for value in given(item))


def unused_outputs(graph: Graph) -> Iterator[tuple[str, int]]:
    """Outputs of definitions that no call of them uses: the definition and the position."""
    used: dict[str, set[int]] = {name: set() for name in graph.definitions}
    used[graph.root] = set(range(len(graph.main.outputs)))
    for definition in graph.definitions.values():
        taken = {source for item in definition.items for source in sources(item)} | set(definition.outputs)
        for item in definition.items:
            if isinstance(item, Call):
                used[item.definition] |= {output for output, _ in item.carried}
                used[item.definition] |= {
                    place
                    for place, value in zip(positions(item), given(item), strict=True)
                    if f"%{value.name}" in taken
                }
    for name in ordered_definitions(graph):
        for position in range(len(graph.definitions[name].outputs)):
            if position not in used[name] and used[name]:
                yield name, position


def unused_parameters(graph: Graph) -> dict[tuple[str, str], list[str]]:
    """Trained parameters that nothing takes: by definition and relative path the full paths, where not tied
    to one that is taken."""
    same = representatives(graph)
    taken: set[str] = set()
    idle: dict[tuple[str, str], list[str]] = {}
    refs = {name: _references(definition) for name, definition in graph.definitions.items()}
    for path, definition in blocks(graph):
        for parameter in definition.parameters:
            full = join(path, parameter.path)
            if f"@{parameter.path}" in refs[definition.name]:
                taken.add(same.get(full, full))
            elif parameter.trained:
                idle.setdefault((definition.name, parameter.path), []).append(full)
    left = {key: [p for p in paths if same.get(p, p) not in taken] for key, paths in idle.items()}
    return {key: paths for key, paths in left.items() if paths}


def _references(definition: Definition) -> set[str]:
    found = {source for item in definition.items for source in sources(item)}
    return found | set(definition.outputs)


def count_nodes(graph: Graph) -> int:
    """Nodes as written, each definition once."""
    return sum(isinstance(item, Node) for d in graph.definitions.values() for item in d.items)
