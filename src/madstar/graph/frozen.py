"""Weights that are frozen: not trained, but no buffers either.

A parameter of a graph that is not trained may be a buffer, or a weight that an edit has frozen. The fact
`frozen` lists the latter by full path, so that a module built from the graph has them as parameters, a fresh
one draws them, and they can be trained again.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from .model import Graph

FACT = "frozen"


def frozen(graph: Graph) -> frozenset[str]:
    """The full paths of what the graph says is frozen; facts come from files, and may say anything."""
    said = graph.facts.get(FACT)
    return (
        frozenset(path for path in said if isinstance(path, str)) if isinstance(said, list) else frozenset()
    )


def marked(graph: Graph, more: Collection[str] = (), fewer: Collection[str] = ()) -> Graph:
    """The graph with more, or fewer, paths said to be frozen."""
    paths = (frozen(graph) | set(more)) - set(fewer)
    facts = {key: value for key, value in graph.facts.items() if key != FACT}
    return replace(graph, facts={**facts, FACT: sorted(paths)} if paths else facts)


def copied(graph: Graph, sources: Mapping[str, str]) -> Graph:
    """The graph in which copies of frozen weights, by path with the path copied, are frozen too."""
    known = frozen(graph)
    more = [path for path, source in sources.items() if source in known]
    return marked(graph, more) if more else graph
