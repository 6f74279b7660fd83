"""The way through a graph, from an input by way of a node to an output, in the words of its blocks."""

from __future__ import annotations

from collections import deque

from ..model import Call, Definition, Graph, Item
from ..paths import join
from ..walk import producers, users
from ..wiring import given, sources


def route(graph: Graph, cause: str) -> tuple[str, ...]:
    """The full paths of what values pass on a shortest way through the node or module `cause`; empty if there
    is no such."""
    return tuple(dict.fromkeys(_route(graph, graph.main, "", cause)))


def _route(graph: Graph, definition: Definition, base: str, cause: str) -> list[str]:
    item = next((i for i in definition.items if _holds(i, base, cause)), None)
    if item is None:
        return []
    before = [_name(each, base) for each in _back(definition, item)]
    after = [_name(each, base) for each in _forth(definition, item)]
    if isinstance(item, Call):
        path = next(p for p in item.paths if _under(join(base, p), cause))
        inside = _route(graph, graph.definitions[item.definition], join(base, path), cause)
        return [*before, *(inside or [cause]), *after]
    return [*before, cause, *after]


def _name(item: Item, base: str) -> str:
    if isinstance(item, Call):
        return join(base, item.paths[0])
    return join(base, item.path) if item.path else f"{base}:{item.name}"


def _holds(item: Item, base: str, cause: str) -> bool:
    if isinstance(item, Call):
        return any(_under(join(base, path), cause) for path in item.paths)
    return _name(item, base) == cause


def _under(path: str, cause: str) -> bool:
    return cause == path or cause.startswith((f"{path}.", f"{path}:"))


def _back(definition: Definition, item: Item) -> list[Item]:
    """The items on a shortest way from an input to this one."""
    made = producers(definition)
    inputs = {f"%{value.name}" for value in definition.inputs}
    queue: deque[tuple[Item, list[Item]]] = deque([(item, [])])
    seen = {item.name}
    while queue:
        at, way = queue.popleft()
        for source in sources(at):
            if source in inputs:
                return way
            if source in made and (maker := made[source][0]).name not in seen:
                seen.add(maker.name)
                queue.append((maker, [maker, *way]))
    return []


def _forth(definition: Definition, item: Item) -> list[Item]:
    """The items on a shortest way from this one to an output."""
    taken = users(definition)
    queue: deque[tuple[Item, list[Item]]] = deque([(item, [])])
    seen = {item.name}
    while queue:
        at, way = queue.popleft()
        refs = [f"%{value.name}" for value in given(at)]
        if any(ref in definition.outputs for ref in refs):
            return way
        for user in (user for ref in refs for user in taken.get(ref, ())):
            if user.name not in seen:
                seen.add(user.name)
                queue.append((user, [*way, user]))
    return []
