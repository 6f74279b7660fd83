"""Folding: what is computed many times is written once.

Three things are done to each block, from the innermost out:

1. Calls of one definition that follow each other, each taking what the one before gives, become one call
   with many paths. What else they take must be the same for all; where it differs they stay several calls.
2. Groups of several items that repeat in the same way (A B A B A B, or a loop that tracing has unrolled)
   become a definition of the kind "Sequence", called in a run; where their inputs differ in other ways than
   by what the group before gives, it is called each time.
3. Blocks that are equal become one definition. They are equal if class, parameters and paths agree with all
   of the structure, so that every weight keeps its full path.

`unfolding.unfold` writes it all out again.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import count as counting
from itertools import pairwise
from typing import Any

from .model import Argument, Call, Definition, Graph, Item, Node, Parameter, Value
from .paths import SEQUENCE, SEQUENCE_MODULE
from .repeats import MAX_PERIOD, Layout, Position, Repeat
from .soundness import ordered_definitions, sources

_MAX_ROUNDS = 60


def fold(graph: Graph) -> Graph:
    """The same computation with equal blocks defined once and repetitions as runs.

    The names of definitions may change, paths of parameters do not. Linear in the number of nodes but for
    the search for repeated groups, which is made by comparing arrays. Raises GraphError for a graph whose
    blocks contain themselves.
    """
    table = _Table()
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


class _Table:
    """Definitions by name, each structure once."""

    def __init__(self) -> None:
        self.definitions: dict[str, Definition] = {}
        self._names: dict[Any, str] = {}

    def add(self, definition: Definition) -> str:
        key = _key(definition)
        if key not in self._names:
            tries = (f"{definition.name}_{number}" for number in counting(2))
            name = definition.name
            while name in self.definitions:
                name = next(tries)
            self._names[key] = name
            self.definitions[name] = replace(definition, name=name)
        return self._names[key]


def _key(definition: Definition) -> str:
    """All of a block but the names of its values and items: by number, in the order listed."""
    numbers: dict[str, str] = {f"%{v.name}": str(i) for i, v in enumerate(definition.inputs)}
    numbers |= {f"@{p.path}": f"@{p.path}" for p in definition.parameters}
    record: list[Any] = [definition.kind, definition.module, definition.parameters]
    record.append([(value.shape, value.dtype) for value in definition.inputs])
    for item in definition.items:
        taken = [numbers[source] for source in sources(item)]
        given = [(value.shape, value.dtype) for value in item.outputs]
        if isinstance(item, Call):
            record.append((item.definition, item.paths, item.carried, taken, given))
        else:
            slots = [argument.slot for argument in item.arguments]
            record.append((item.op, slots, item.attributes, item.path, item.body, taken, given))
        for value in item.outputs:
            numbers[f"%{value.name}"] = str(len(numbers))
    record.append([numbers[source] for source in definition.outputs])
    return repr(record)


def _roll(definition: Definition, table: _Table) -> Definition:
    """The block with its repetitions folded, those of one call first, then ever longer groups."""
    # By identity of items, which live as long as the block does; so all are kept here.
    labels: dict[int, str] = {}
    kept: list[Item] = list(definition.items)
    for _ in range(_MAX_ROUNDS):
        shorter = _merged(definition, labels)
        if shorter is None:
            shorter = _with_repeat(definition, labels, table)
        if shorter is None:
            break
        kept += shorter.items
        definition = shorter
    return definition


def _merged(definition: Definition, labels: dict[int, str]) -> Definition | None:
    """Neighbouring calls of one definition joined to runs, None if there are none."""
    items = definition.items
    if not any(_alike(a, b) for a, b in pairwise(items)):
        return None
    layout = Layout(definition, labels)
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
    return isinstance(a, Call) and isinstance(b, Call) and a.definition == b.definition


def _with_repeat(definition: Definition, labels: dict[int, str], table: _Table) -> Definition | None:
    """The block with its shortest repeated groups folded, runs before others; None if there are none."""
    layout = Layout(definition, labels)
    longest = min(MAX_PERIOD, len(definition.items) // 2)
    for least, search in ((2, layout.runs), (3, layout.groups)):
        tried: list[tuple[int, int, int]] = []
        for period in range(1, longest + 1):
            found, free = [], 0
            for begin, end in layout.regions(period, least):
                # What repeats after 5 items does so after 10; where 5 gave nothing, 10 will not.
                if end <= free or any(not period % p and b <= begin and end <= e for p, b, e in tried):
                    continue
                short = least == 3 and period < 3  # too short a group to be named
                repeat = None if short else search(period, max(begin, free), end)
                if repeat is None or not _worth(definition, repeat):
                    tried.append((period, begin, end))
                else:
                    found.append(repeat)
                    free = repeat.start + repeat.period * repeat.count
            if found:
                return _replaced(definition, found, table)
    return None


def _worth(definition: Definition, repeat: Repeat) -> bool:
    group = definition.items[repeat.group(0)]
    if not repeat.carried:
        # Calls of one block side by side are as short as they can be; pairs of pairs would be no clearer.
        return repeat.saved >= 6 and not all(_alike(group[0], item) for item in group)
    if repeat.period == 1 and isinstance(group[0], Call):
        return False  # that is no group; `_merged` has joined what can be joined
    if any(isinstance(item, Call) for item in group):
        return (repeat.count - 1) * repeat.period >= 3
    return repeat.count >= 3 and (repeat.count - 1) * repeat.period >= 6


def _replaced(definition: Definition, repeats: list[Repeat], table: _Table) -> Definition:
    items: list[Item] = []
    at = 0
    moved: set[str] = set()
    names = {item.name for item in definition.items}
    for repeat in repeats:
        items += definition.items[at : repeat.start]
        wrapper = _Wrapper(definition, repeat)
        block = table.add(wrapper.definition)
        moved |= wrapper.weights
        items += wrapper.calls(block, names)
        at = repeat.start + repeat.period * repeat.count
    items += definition.items[at:]
    used = {source for item in items for source in sources(item)} | set(definition.outputs)
    kept = tuple(p for p in definition.parameters if f"@{p.path}" not in moved or f"@{p.path}" in used)
    return replace(definition, items=tuple(items), parameters=kept)


class _Wrapper:
    """A repeated group as a definition, and the calls of it that stand for the groups."""

    def __init__(self, outer: Definition, repeat: Repeat) -> None:
        self.repeat = repeat
        self.groups = [outer.items[repeat.group(t)] for t in range(repeat.count)]
        self.parameters = {f"@{p.path}": p for p in outer.parameters}
        self.types = {f"%{v.name}": v for v in outer.inputs}
        self.types |= {f"%{v.name}": v for item in outer.items for v in item.outputs}
        self.inputs: dict[Any, int] = {}  # by what is taken in each group
        self.feeds: dict[Position, int] = {}  # argument to input
        self.columns: dict[tuple[str, ...], str] = {}  # what a path is in each group, to what it is within
        self.weights: set[str] = set()
        weight_columns: dict[Position, tuple[str, ...]] = {}
        for j, item in enumerate(self.groups[0]):
            for a, _ in enumerate(sources(item)):
                taken = tuple(sources(group[j])[a] for group in self.groups)
                if (j, a) in repeat.within:
                    continue
                own = len(set(taken)) > 1 and all(source.startswith("@") for source in taken)
                if own and (j, a) not in repeat.carried:
                    weight_columns[j, a] = tuple(source[1:] for source in taken)
                    self.weights |= set(taken)
                else:
                    self.feeds[j, a] = self.inputs.setdefault(taken, len(self.inputs))
        self.paths = self._assign(weight_columns)
        self.definition = self._define(weight_columns)

    def _assign(self, weight_columns: dict[Position, tuple[str, ...]]) -> tuple[str, ...]:
        """Decide how paths are written within: by one common prefix, else by slots "$0", "$1"."""
        columns: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {}
        needs_rest: set[tuple[str, ...]] = set(weight_columns.values())
        for j, item in enumerate(self.groups[0]):
            if isinstance(item, Call):
                for turn in range(item.count):
                    whole = [group[j].paths[turn].split("|") for group in self.groups]  # type: ignore[union-attr]
                    for part in zip(*whole, strict=True):
                        columns[part] = _split(part)
            elif item.path:
                column = tuple(group[j].path for group in self.groups)  # type: ignore[union-attr]
                columns[column] = _split(column)
                needs_rest.add(column)
        for column in weight_columns.values():
            columns[column] = _split(column)
        prefixes = list(dict.fromkeys(prefix for prefix, _ in columns.values()))
        simple = len(prefixes) == 1 and all(columns[column][1] for column in needs_rest)
        if simple or not prefixes:
            self.columns = {column: rest for column, (_, rest) in columns.items()}
            return prefixes[0] if prefixes else ("",) * len(self.groups)
        for column, (prefix, rest) in columns.items():
            slot = f"${prefixes.index(prefix)}"
            self.columns[column] = f"{slot}.{rest}" if rest else slot
        return tuple("|".join(parts) for parts in zip(*prefixes, strict=True))

    def _define(self, weight_columns: dict[Position, tuple[str, ...]]) -> Definition:
        taken_names = {value.name for item in self.groups[0] for value in item.outputs}
        fresh = (name for number in counting() if (name := f"in{number}") not in taken_names)
        inputs = []
        for taken in self.inputs:
            like = self.types.get(taken[0]) or self.parameters[taken[0]]
            inputs.append(Value(next(fresh), tuple(like.shape), like.dtype))
        items = []
        parameters: dict[str, Parameter] = {}
        for j, item in enumerate(self.groups[0]):
            given = list(sources(item))
            for a, source in enumerate(given):
                if (j, a) in self.feeds:
                    given[a] = f"%{inputs[self.feeds[j, a]].name}"
                elif (j, a) in weight_columns:
                    path = self.columns[weight_columns[j, a]]
                    parameters[path] = replace(self.parameters[source], path=path)
                    given[a] = f"@{path}"
            items.append(self._within(j, item, given))
        outputs = tuple(f"%{self.groups[0][j].outputs[o].name}" for j, o in self.repeat.given)
        return Definition(
            name=SEQUENCE,
            kind=SEQUENCE,
            inputs=tuple(inputs),
            parameters=tuple(parameters.values()),
            items=tuple(items),
            outputs=outputs,
            module=SEQUENCE_MODULE,
        )

    def _within(self, j: int, item: Item, given: list[str]) -> Item:
        if isinstance(item, Node):
            arguments = tuple(
                Argument(a.slot, source) for a, source in zip(item.arguments, given, strict=True)
            )
            column = tuple(group[j].path for group in self.groups)  # type: ignore[union-attr]
            return replace(item, arguments=arguments, path=self.columns[column] if item.path else "")
        paths = []
        for turn in range(item.count):
            whole = [group[j].paths[turn].split("|") for group in self.groups]  # type: ignore[union-attr]
            paths.append("|".join(self.columns[part] for part in zip(*whole, strict=True)))
        return replace(item, paths=tuple(paths), arguments=tuple(given))

    def calls(self, block: str, names: set[str]) -> list[Call]:
        """One run, or a call for each group."""
        made = []
        for number, group in enumerate(self.groups):
            outputs = tuple(group[j].outputs[o] for j, o in self.repeat.given)
            arguments = tuple(taken[number] for taken in self.inputs)
            name = outputs[0].name
            while name in names:
                name += "_"
            names.add(name)
            made.append(Call(name, block, (self.paths[number],), arguments, outputs))
        if not self.repeat.carried:
            return made
        place = {position: number for number, position in enumerate(self.repeat.given)}
        pairs = {(place[output], self.feeds[argument]) for argument, output in self.repeat.carried.items()}
        return [replace(made[0], paths=self.paths, outputs=made[-1].outputs, carried=tuple(sorted(pairs)))]


def _split(column: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The part of paths up to where they differ last, and the rest that they have in common."""
    parts = [path.split(".") for path in column]
    if len(set(column)) == 1 or len({len(one) for one in parts}) > 1:
        return column, ""
    differs = max(i for i in range(len(parts[0])) if len({one[i] for one in parts}) > 1)
    return tuple(".".join(one[: differs + 1]) for one in parts), ".".join(parts[0][differs + 1 :])
