"""Folding: what is computed many times is written once.

Four things are done to each block, from the innermost out:

1. Calls of one definition that follow each other, each taking what the one before gives and otherwise the
   same as all others, become one call with many paths.
2. Groups of several items that repeat in the same way (A B A B A B) become a definition of the kind
   "Sequence", called in a run.
3. Loops that tracing has unrolled, whose turns differ in numbers (an index, a dilation), in an input of their
   own, or of which more than the last outputs are needed, become such runs as well; calls that differ so
   become one call. Groups whose turns depend on each other in no such way are called each time.
4. Blocks that are equal become one definition. They are equal if class, parameters and paths agree with all
   of the structure, so that every weight keeps its full path.

What is alike in all turns goes before what differs, and short groups before long ones, so that loops within
loops are found from the innermost out. `unfolding.unfold` writes it all out again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from .block_table import BlockTable
from .loops import LEAST_TURNS, best_loop
from .model import Call, Definition, Graph, Item
from .repeats import MAX_PERIOD, Layout, Repeat
from .soundness import ordered_definitions
from .varying import differs
from .wiring import given, sources
from .wrapping import Settings, Wrapper, joined, settings_of

_MAX_ROUNDS = 60
_MOST_TIMES = 4
_Labels = dict[int, tuple[str, str]]


def fold(graph: Graph) -> Graph:
    """The same computation with equal blocks defined once and repetitions as runs.

    The names of definitions may change, paths of parameters do not. Linear in the number of nodes but for
    the search for repeated groups, which is made by comparing arrays. Raises GraphError for a graph whose
    blocks contain themselves.
    """
    table = BlockTable(frozenset(graph.symbols))
    renamed: dict[str, str] = {}
    for name in ordered_definitions(graph):
        definition = graph.definitions[name]
        items = tuple(
            replace(item, definition=renamed[item.definition]) if isinstance(item, Call) else item
            for item in definition.items
        )
        renamed[name] = table.add(_roll(replace(definition, items=items), table))
    folded = replace(graph, root=renamed[graph.root], definitions=table.definitions)
    used = reversed(ordered_definitions(folded))
    return replace(folded, definitions={name: table.definitions[name] for name in used})


def _roll(definition: Definition, table: BlockTable) -> Definition:
    """The block with its repetitions folded, those of one call first, then ever longer groups."""
    # By identity of items, which live as long as the block does; so all are kept here.
    labels: _Labels = {}
    kept: list[Item] = list(definition.items)
    for _ in range(_MAX_ROUNDS):
        shorter = _merged(definition, labels, table)
        if shorter is None:
            shorter = _with_repeat(definition, labels, table)
        if shorter is None:
            break
        kept += shorter.items
        definition = shorter
    return definition


def _merged(definition: Definition, labels: _Labels, table: BlockTable) -> Definition | None:
    """Neighbouring calls of one definition joined to runs, None if there are none."""
    items = definition.items
    if not any(_alike(a, b) for a, b in pairwise(items)):
        return None
    layout = Layout(definition, table, labels)
    merged: list[Item] = []
    at = end = 0
    while at < len(items):
        end = max(end, at + 1)
        while end < len(items) and _alike(items[at], items[end]):
            end += 1
        found = layout.runs(1, at, end) if end - at > 1 else None
        first = items[at]
        if found is None or found.start != at or not isinstance(first, Call):
            merged.append(first)
            at += 1
            continue
        run = [item for item in items[at : at + found.count] if isinstance(item, Call)]
        carried = tuple(sorted((output, argument) for (_, argument), (_, output) in found.carried.items()))
        same = all(
            source == first.arguments[i]
            for call in run
            for i, source in enumerate(call.arguments)
            if i not in {argument for _, argument in carried}
        )
        if not same or any(call.count > 1 and tuple(sorted(call.carried)) != carried for call in run):
            merged.append(first)
            at += 1
            continue
        paths = tuple(path for call in run for path in call.paths)
        merged.append(replace(first, paths=paths, outputs=run[-1].outputs, carried=carried))
        at += found.count
    return replace(definition, items=tuple(merged)) if len(merged) < len(items) else None


def _alike(a: Item, b: Item) -> bool:
    if not isinstance(a, Call) or not isinstance(b, Call) or a.definition != b.definition:
        return False
    return not differs(a) and not differs(b)


class _Search(NamedTuple):
    """A way to find groups: what finds the best of a region, by which labels, of how many turns at least."""

    best: Callable[[int, int, int], Repeat | None]
    labels: Any
    least: int
    loops: bool = False


def _with_repeat(definition: Definition, labels: _Labels, table: BlockTable) -> Definition | None:
    """The block with its shortest repeated groups folded, runs before others; None if there are none."""
    layout = Layout(definition, table, labels)
    searches = (
        _Search(layout.runs, layout.labels, 2),
        _Search(partial(best_loop, layout), layout.forms, LEAST_TURNS, loops=True),
        _Search(layout.groups, layout.labels, 3),
    )
    for search in searches:
        if found := _shortest(definition, layout, search, table):
            return _replaced(definition, found, table)
    return None


def _shortest(
    definition: Definition, layout: Layout, search: _Search, table: BlockTable
) -> list[tuple[Repeat, Settings]]:
    """The groups of the smallest size that are worth a name, none overlapping, and what differs in each."""
    tried: list[tuple[int, int, int]] = []
    for period in range(1, min(MAX_PERIOD, len(definition.items) // 2) + 1):
        found: list[tuple[Repeat, Settings]] = []
        free = 0
        for begin, end in layout.regions(period, search.least, search.labels):
            # What repeats after 5 items does so after 10; where 5 gave nothing, 10 will not. Of turns that
            # differ it may, where each takes from that two or three before.
            if end <= free or any(
                not period % p
                and b <= begin
                and end <= e
                and not (search.loops and period <= _MOST_TIMES * p)
                for p, b, e in tried
            ):
                continue
            repeat = search.best(period, max(begin, free), end)
            settings = None
            if repeat is not None and _worth(definition, repeat, search.loops):
                groups = [definition.items[repeat.group(turn)] for turn in range(repeat.count)]
                settings = settings_of(groups, table, definition.varying)
            if repeat is None or settings is None:
                tried.append((period, begin, end))
            else:
                found.append((repeat, settings))
                free = repeat.start + repeat.period * repeat.count
        if found:
            return found
    return []


def _worth(definition: Definition, repeat: Repeat, loop: bool) -> bool:
    group = definition.items[repeat.group(0)]
    first = group[0]
    if not repeat.run:
        if repeat.period < 3:
            return False  # too short to be named
        # Calls of one block side by side are as short as they can be; pairs of pairs would be no clearer.
        return repeat.saved >= 6 and not all(_alike(first, item) for item in group)
    calls = any(isinstance(item, Call) for item in group)
    if repeat.period == 1 and isinstance(first, Call) and not (loop and _joins(definition, repeat)):
        return False  # that is no group; `_merged` has joined what can be joined
    if loop and not repeat.carried:
        # Three of a kind side by side, such as query, key and value, are better seen each.
        side_by_side = repeat.period > 1 and all(_alike(first, item) for item in group)
        if repeat.count < 4 or side_by_side or (not calls and repeat.saved < 6):
            return False
    if loop and repeat.period == 1 and not calls:
        return repeat.count >= 8
    return (repeat.count - 1) * repeat.period >= (3 if calls else 6) and (calls or repeat.count >= 3)


def _joins(definition: Definition, repeat: Repeat) -> bool:
    """Whether the items of a repeat are single calls, that one call with many paths can stand for."""
    items = definition.items[repeat.start : repeat.start + repeat.count]
    return repeat.period == 1 and all(isinstance(item, Call) and item.count == 1 for item in items)


def _replaced(definition: Definition, found: list[tuple[Repeat, Settings]], table: BlockTable) -> Definition:
    types = {f"%{v.name}": v for v in definition.inputs}
    types |= {f"%{v.name}": v for item in definition.items for v in given(item)}
    items: list[Item] = []
    at = 0
    moved: set[str] = set()
    names = {item.name for item in definition.items}
    for repeat, settings in found:
        items += definition.items[at : repeat.start]
        if _joins(definition, repeat):
            items.append(joined(definition, repeat, settings, table))
        else:
            wrapper = Wrapper(definition, repeat, types)
            block = table.add(wrapper.definition(table, settings))
            moved |= wrapper.weights
            items += wrapper.calls(block, names, settings)
        at = repeat.start + repeat.period * repeat.count
    items += definition.items[at:]
    used = {source for item in items for source in sources(item)} | set(definition.outputs)
    kept = tuple(p for p in definition.parameters if f"@{p.path}" not in moved or f"@{p.path}" in used)
    return replace(definition, items=tuple(items), parameters=kept)
