"""A repeated group of items as a block of its own, and the calls of it that stand in their place.

What every group takes alike becomes an input, weights that each group has for itself parameters of the
block, under a path that each call continues. Numbers that differ between turns are left open; the run sets
them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count as counting

from .block_table import BlockTable, Column, open_names_for
from .model import Call, Definition, Item, Node, Parameter, Value, Varying
from .paths import SEQUENCE, SEQUENCE_MODULE
from .repeats import Position, Repeat
from .varying import attributes_of, open_names
from .wiring import given, rewired, sources

MOST_SETTINGS = 8
"""So many numbers may differ from turn to turn; with more a run would say less than what it stands for."""


class Wrapper:
    """A repeated group as a definition, and the calls of it that stand for the groups."""

    def __init__(self, outer: Definition, repeat: Repeat, types: dict[str, Value]) -> None:
        self.repeat, self.types = repeat, types
        self.groups = [outer.items[repeat.group(t)] for t in range(repeat.count)]
        self.parameters = {f"@{p.path}": p for p in outer.parameters}
        self.inputs: dict[tuple[str, ...], int] = {}  # by what is taken in each group
        self.feeds: dict[Position, int] = {}  # argument to input
        self.columns: dict[tuple[str, ...], str] = {}  # what a path is in each group, to what it is within
        self.weights: set[str] = set()
        self.weight_columns: dict[Position, tuple[str, ...]] = {}
        self.open_outside = tuple(
            dict.fromkeys(n for i in self.groups[0] for v in attributes_of(i) for n in open_names(v))
        )
        for j, items in enumerate(zip(*self.groups, strict=True)):
            for a, taken in enumerate(zip(*map(sources, items), strict=True)):
                if (j, a) in repeat.within:
                    continue
                own = len(set(taken)) > 1 and all(source.startswith("@") for source in taken)
                if own and (j, a) not in repeat.carried:
                    self.weight_columns[j, a] = tuple(source[1:] for source in taken)
                    self.weights |= set(taken)
                else:
                    self.feeds[j, a] = self.inputs.setdefault(taken, len(self.inputs))
        self.paths = self._assign()

    def _assign(self) -> tuple[str, ...]:
        """Decide how paths are written within: as they are where no turn has others, by one common prefix,
        else by slots "$0", "$1"."""
        columns: dict[tuple[str, ...], tuple[tuple[str, ...], str]] = {}
        needs_rest: set[tuple[str, ...]] = set(self.weight_columns.values())
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
        for column in self.weight_columns.values():
            columns[column] = _split(column)
        if all(len(set(column)) == 1 for column in columns):
            self.columns = {column: column[0] for column in columns}
            return ("",) * len(self.groups)
        prefixes = list(dict.fromkeys(prefix for prefix, _ in columns.values()))
        simple = len(prefixes) == 1 and all(columns[column][1] for column in needs_rest)
        if simple:
            self.columns = {column: rest for column, (_, rest) in columns.items()}
            return prefixes[0]
        for column, (prefix, rest) in columns.items():
            slot = f"${prefixes.index(prefix)}"
            self.columns[column] = f"{slot}.{rest}" if rest else slot
        return tuple("|".join(parts) for parts in zip(*prefixes, strict=True))

    def definition(self, table: BlockTable, settings: Settings) -> Definition:
        """The block of one group, with what differs left open."""
        taken_names = {value.name for item in self.groups[0] for value in given(item)}
        fresh = (name for number in counting() if (name := f"in{number}") not in taken_names)
        inputs = []
        for taken in self.inputs:
            like = self.types.get(taken[0]) or self.parameters[taken[0]]
            inputs.append(Value(next(fresh), tuple(like.shape), like.dtype))
        items = []
        parameters: dict[str, Parameter] = {}
        for j, item in enumerate(self.groups[0]):
            wired = list(sources(item))
            for a, source in enumerate(wired):
                if (j, a) in self.feeds:
                    wired[a] = f"%{inputs[self.feeds[j, a]].name}"
                elif (j, a) in self.weight_columns:
                    path = self.columns[self.weight_columns[j, a]]
                    parameters[path] = replace(self.parameters[source], path=path)
                    wired[a] = f"@{path}"
            items.append(self._within(j, table.open_item(rewired(item, wired), settings.names[j])))
        outputs = tuple(f"%{given(self.groups[0][j])[o].name}" for j, o in self.repeat.given)
        return Definition(
            name=SEQUENCE,
            kind=SEQUENCE,
            inputs=tuple(inputs),
            parameters=tuple(parameters.values()),
            items=tuple(items),
            outputs=outputs,
            module=SEQUENCE_MODULE,
            varying=(*self.open_outside, *(name for name, _ in settings.columns)),
        )

    def _within(self, j: int, item: Item) -> Item:
        if isinstance(item, Node):
            column = tuple(group[j].path for group in self.groups)  # type: ignore[union-attr]
            return replace(item, path=self.columns[column] if item.path else "")
        paths = []
        for turn in range(item.count):
            whole = [group[j].paths[turn].split("|") for group in self.groups]  # type: ignore[union-attr]
            paths.append("|".join(self.columns[part] for part in zip(*whole, strict=True)))
        return replace(item, paths=tuple(paths))

    def calls(self, block: str, names: set[str], settings: Settings) -> list[Call]:
        """One run, or a call for each group. `names` are those that items have; theirs are added."""
        names -= {item.name for group in self.groups for item in group}
        outer = [(name, Varying(name)) for name in self.open_outside]
        if self.repeat.run:
            return [self._run(block, names, settings, outer)]
        made = []
        for number, group in enumerate(self.groups):
            outputs = tuple(given(group[j])[o] for j, o in self.repeat.given)
            arguments = tuple(taken[number] for taken in self.inputs)
            kept = tuple((name, (value,)) for name, value in outer)
            name = _free(outputs[0].name, names)
            made.append(Call(name, block, (self.paths[number],), arguments, outputs, settings=kept))
        return made

    def _run(self, block: str, names: set[str], settings: Settings, outer: list[tuple[str, Varying]]) -> Call:
        given_by = [tuple(given(group[j])[o] for j, o in self.repeat.given) for group in self.groups]
        place = {position: number for number, position in enumerate(self.repeat.given)}
        pairs = {(place[output], self.feeds[argument]) for argument, output in self.repeat.carried.items()}
        fed = {argument for _, argument in pairs}
        gathered = [place[position] for position in self.repeat.gathered]
        outputs = given_by[-1]
        return Call(
            _free(outputs[0].name, names),
            block,
            self.paths,
            tuple(taken[0] for taken in self.inputs),
            outputs,
            tuple(sorted(pairs)),
            own_of(list(self.inputs), fed),
            (*((name, (value,) * len(self.groups)) for name, value in outer), *settings.columns),
            tuple((n, tuple(values[n].name for values in given_by[:-1])) for n in sorted(gathered)),
        )


class Settings:
    """What differs in numbers between groups: a name for each leaf of each item, and the values by name."""

    def __init__(self, names: list[list[str | None]], columns: dict[str, Column]) -> None:
        self.names = names
        self.columns = tuple(columns.values())


def settings_of(
    groups: Sequence[Sequence[Item]], table: BlockTable, taken: Sequence[str] = ()
) -> Settings | None:
    """Names for the numbers that differ between groups of one form; None where there are too many.

    `taken` are names that are not free.
    """
    rows: list[list[Column | None]] = []
    for items in zip(*groups, strict=True):
        if len({repr(_data(item)) for item in items}) == 1:
            rows.append([])
            continue
        each = [table.item_leaves(item) for item in items]
        if any(leaves is None for leaves in each):
            return None
        row: list[Column | None] = []
        for column in zip(*each, strict=True):
            values = tuple(value for _, value in column)
            row.append((column[0][0], values) if len(set(map(repr, values))) > 1 else None)
        rows.append(row)
    columns = open_names_for((entry for row in rows for entry in row if entry), set(taken))
    if len(columns) > MOST_SETTINGS:
        return None
    names = [[entry and columns[repr(entry[1])][0] for entry in row] for row in rows]
    return Settings(names, columns)


def joined(definition: Definition, repeat: Repeat, settings: Settings, table: BlockTable) -> Call:
    """Single calls of blocks of one form as one call with many paths."""
    items = definition.items[repeat.start : repeat.start + repeat.count]
    calls = [item for item in items if isinstance(item, Call)]
    first = calls[0]
    inside = settings.names[0][sum(1 for _, vs in first.settings for v in vs for _ in table.leaves.of(v)) :]
    block, opened = table.open_block(first.definition, inside)
    values = dict(settings.columns)
    carried = tuple(sorted((output, argument) for (_, argument), (_, output) in repeat.carried.items()))
    taken = list(zip(*(call.arguments for call in calls), strict=True))
    gathered = sorted({output for _, output in repeat.gathered})
    return Call(
        first.name,
        block,
        tuple(path for call in calls for path in call.paths),
        first.arguments,
        calls[-1].outputs,
        carried,
        own_of(taken, {argument for _, argument in carried}),
        (
            *((name, tuple(dict(call.settings)[name][0] for call in calls)) for name, _ in first.settings),
            *((name, values[outer]) for name, outer in opened.items()),
        ),
        tuple((o, tuple(call.outputs[o].name for call in calls[:-1])) for o in gathered),
    )


def _data(item: Item) -> object:
    return (item.definition, item.settings) if isinstance(item, Call) else item.attributes


def own_of(columns: Sequence[tuple[str, ...]], carried: set[int]) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Of what inputs are in each turn, those that differ and are not carried."""
    return tuple(
        (place, taken)
        for place, taken in enumerate(columns)
        if place not in carried and any(source != taken[0] for source in taken)
    )


def _free(name: str, names: set[str]) -> str:
    while name in names:
        name += "_"
    names.add(name)
    return name


def _split(column: tuple[str, ...]) -> tuple[tuple[str, ...], str]:
    """The part of paths up to where they differ last, and the rest that they have in common."""
    parts = [path.split(".") for path in column]
    if len(set(column)) == 1 or len({len(one) for one in parts}) > 1:
        return column, ""
    differs = max(i for i in range(len(parts[0])) if len({one[i] for one in parts}) > 1)
    return tuple(".".join(one[: differs + 1]) for one in parts), ".".join(parts[0][differs + 1 :])
