"""A corpus: entries of all sources, each graph once, with fingerprints, families and labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .entries import SOURCES, Entry
from .families import families
from .fingerprints import Fingerprint, fingerprint
from .labels import domain, role

REAL = ("transformers", "timm", "madstar", "own")
"""Sources of models that people made; the others are generated."""


@dataclass(frozen=True)
class Item:
    """An entry with what the corpus says of it.

    `family` and `strict` are keys of the first members of its families: by blocks with their attributes, and
    by blocks of equal operations and wiring. `aliases` are keys of entries with the same graph.
    """

    entry: Entry
    print: Fingerprint
    family: str = ""
    strict: str = ""
    aliases: tuple[str, ...] = ()
    domain: str = ""
    role: str = ""


def looked_at(entry: Entry) -> Item:
    """The entry with its fingerprint and labels. This is the slow part: the graph is read."""
    graph = entry.graph
    facts: dict[str, Any] = dict(entry.facts)
    if entry.source == "edit":
        return Item(entry, fingerprint(graph))  # an edit of a model is no evidence of what a model is for
    return Item(entry, fingerprint(graph), domain=domain(graph, facts), role=role(graph))


def settled(items: Iterable[Item]) -> list[Item]:
    """Each graph once, in order of source and key, with families.

    Of entries with one graph the first stays: models before what is generated. An entry is of the family of
    those it was made from.
    """
    order = {source: number for number, source in enumerate(SOURCES)}
    kept: dict[str, Item] = {}
    aliases: dict[str, list[str]] = {}
    for item in sorted(items, key=lambda item: (order[item.entry.source], item.entry.key)):
        first = kept.setdefault(item.entry.hash, item)
        if first is not item and item.entry.key != first.entry.key:
            aliases.setdefault(item.entry.hash, []).append(item.entry.key)
    found = list(kept.values())
    number = {key: i for i, item in enumerate(found) for key in _names(item, aliases)}
    links = [
        (i, number[parent])
        for i, item in enumerate(found)
        for parent in item.entry.parents
        if parent in number
    ]
    words = [item.print.words for item in found]
    usual = families([item.print.blocks for item in found], words, links)
    strict = families([item.print.bare for item in found], words, links)
    return [
        replace(
            item,
            family=found[usual[i]].entry.key,
            strict=found[strict[i]].entry.key,
            aliases=tuple(aliases.get(item.entry.hash, ())),
        )
        for i, item in enumerate(found)
    ]


def _names(item: Item, aliases: dict[str, list[str]]) -> list[str]:
    return [item.entry.key, *aliases.get(item.entry.hash, ())]
