"""Runs of one module at different sizes, side by side: numbers become expressions of the symbols."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

from madstar.graph.dims import evaluate
from madstar.graph.fitting import Fitter
from madstar.graph.model import Attribute, Dim, Primitive, Shape
from madstar.graph.recording import Record, Recording, Step


class Sizes:
    """The sizes of the first run as expressions that hold in all runs.

    Fitted to all runs but the last and verified at the last; what fails there is fitted to all. A number for
    which there is no expression stays that of the first run, and is counted in `unfitted`.
    """

    def __init__(self, runs: Sequence[Recording], bindings: Sequence[Mapping[str, int]]):
        self.runs = runs
        self.first = runs[0]
        self.bindings = bindings
        self.unfitted: dict[tuple[int, ...], int] = {}
        self.refitted = 0
        self.unaligned = 0
        self._few = Fitter(bindings[:-1]) if len(runs) > 2 else None
        self._all = Fitter(bindings)
        self._dims: dict[tuple[int, ...], Dim] = {}
        self._shapes: dict[tuple[Any, ...], Shape] = {}
        self._steps: dict[tuple[Any, ...], Primitive] = {}
        self._maps = [_aligned(self.first, other) for other in runs[1:]]
        for run, found in zip(runs[1:], self._maps, strict=True):
            if found is not None:
                longer = max(len(self.first.records), len(run.records))
                self.unaligned = max(self.unaligned, longer - len(found[0]))
        self._same = all(found is None for found in self._maps)

    def shape(self, value: int) -> Shape:
        """The shape of a value of the first run."""
        shape = self.first.values[value].shape
        if not self._maps:
            return shape
        others = []
        for run, found in zip(self.runs[1:], self._maps, strict=True):
            other = value if found is None else found[1].get(value)
            if other is None:
                return shape
            others.append(run.values[other].shape)
        return self._shape((shape, *others))

    def data(self, value: int) -> Attribute:
        """What a constant holds, where it is small; None otherwise."""
        data = [_frozen(self.first.values[value].origin.data)]
        for run, found in zip(self.runs[1:], self._maps, strict=True):
            other = value if found is None else found[1].get(value)
            if other is not None:
                data.append(_frozen(run.values[other].origin.data))
        return self._merged(tuple(data))

    def attributes(self, index: int) -> tuple[tuple[str, Attribute], ...]:
        """The attributes of a record of the first run, sorted by slot."""
        record = self.first.records[index]
        others = self._records(index)
        if not others or not record.attributes:
            return tuple(sorted(record.attributes))
        given = [dict(other.attributes) for other in others]
        merged = [
            (slot, self._merged((value, *(other.get(slot, value) for other in given))))
            for slot, value in record.attributes
        ]
        return tuple(sorted(merged))

    def body(self, index: int) -> tuple[Primitive, ...]:
        """The body of a record of the first run."""
        body = self.first.records[index].body
        others = [record.body for record in self._records(index)]
        if not others or any(len(other) != len(body) for other in others):
            return tuple(self._step((step,)) for step in body)
        return tuple([self._step(steps) for steps in zip(body, *others, strict=True)])

    def _step(self, steps: tuple[Step, ...]) -> Primitive:
        found = self._steps.get(steps)
        if found is None:
            first = steps[0]
            if any(step.op != first.op or len(step.shapes) != len(first.shapes) for step in steps):
                steps = (first,)
            shapes = tuple(self._shape(together) for together in zip(*(s.shapes for s in steps), strict=True))
            found = Primitive(first.op, first.arguments, shapes, first.dtypes)
            self._steps[steps] = found
        return found

    def _records(self, index: int) -> list[Record]:
        """The same record in the other runs; none, where one of them has no such record."""
        if self._same:
            return [run.records[index] for run in self.runs[1:]]
        found = []
        for run, mapped in zip(self.runs[1:], self._maps, strict=True):
            other = index if mapped is None else mapped[0].get(index)
            if other is None:
                return []
            found.append(run.records[other])
        return found

    def _shape(self, shapes: tuple[tuple[int, ...], ...]) -> Shape:
        found = self._shapes.get(shapes)
        if found is None:
            if len({len(shape) for shape in shapes}) > 1:
                self.unfitted[(-1,)] = self.unfitted.get((-1,), 0) + 1
                found = shapes[0]
            else:
                found = tuple(self.dim(sizes) for sizes in zip(*shapes, strict=True))
            self._shapes[shapes] = found
        return found

    def unrolled_over(self) -> tuple[str, ...]:
        """The symbols on which the number of records depends: loops over them are unrolled."""
        counts = tuple(len(run.records) for run in self.runs)
        if len(set(counts)) == 1:
            return ()
        found = self._all.fit(counts)
        return tuple(s for s in self.bindings[0] if found is None or s in re.findall(r"\w+", str(found)))

    def dim(self, sizes: tuple[int, ...]) -> Dim:
        """The expression for one number as it was in each run."""
        if sizes.count(sizes[0]) == len(sizes):
            return sizes[0]
        found = self._dims.get(sizes)
        if found is None:
            found = self._dims[sizes] = self._fitted(sizes)
        return found

    def _fitted(self, sizes: tuple[int, ...]) -> Dim:
        if len(sizes) != len(self.bindings):
            return sizes[0]
        if self._few is not None:
            found = self._few.fit(sizes[:-1])
            if found is not None and evaluate(found, self.bindings[-1]) == sizes[-1]:
                return found
            self.refitted += 1
        found = self._all.fit(sizes)
        if found is None:
            self.unfitted[sizes] = self.unfitted.get(sizes, 0) + 1
            return sizes[0]
        return found

    def _merged(self, given: tuple[Any, ...]) -> Attribute:
        first = given[0]
        if all(other == first for other in given):
            return first
        kinds = {type(other) for other in given}
        if kinds == {int}:
            return self.dim(given)
        if kinds == {tuple} and len({len(other) for other in given}) == 1:
            return tuple(self._merged(parts) for parts in zip(*given, strict=True))
        self.unfitted[(-2,)] = self.unfitted.get((-2,), 0) + 1
        return first


def _frozen(data: Any) -> Any:
    return tuple(_frozen(part) for part in data) if isinstance(data, list) else data


def _aligned(first: Recording, other: Recording) -> tuple[dict[int, int], dict[int, int]] | None:
    """Which records and values of another run are those of the first; None where they are all the same."""
    if len(first.records) == len(other.records) and len(first.values) == len(other.values):
        same = all(
            a.op == b.op
            and a.arguments == b.arguments
            and a.outputs == b.outputs
            and a.instance == b.instance
            for a, b in zip(first.records, other.records, strict=True)
        )
        if same:
            return None
    records: dict[int, int] = {}
    values: dict[int, int] = {}
    for (_, value), (_, theirs) in zip(first.inputs, other.inputs, strict=False):
        values[value] = theirs
    homes = _by_module(other)
    for home, indices in _by_module(first).items():
        for mine, theirs in _pairs(first, other, indices, homes.get(home, [])):
            records[mine] = theirs
            values.update(zip(first.records[mine].outputs, other.records[theirs].outputs, strict=True))
    return records, values


def _by_module(run: Recording) -> dict[tuple[str, int], list[int]]:
    """The records of each call of a module, by its path and which of its calls it is."""
    calls: Counter[str] = Counter()
    home: dict[int, tuple[str, int]] = {-1: ("", -1)}
    for index, instance in enumerate(run.instances):
        home[index] = instance.path, calls[instance.path]
        calls[instance.path] += 1
    found: dict[tuple[str, int], list[int]] = {}
    for index, record in enumerate(run.records):
        found.setdefault(home[record.instance], []).append(index)
    return found


def _pairs(
    first: Recording, other: Recording, mine: list[int], theirs: list[int]
) -> Iterator[tuple[int, int]]:
    """What is the same in two calls of a module, one of which may go through a loop more often.

    From the front, so that turns of a loop meet those with the same number; then what is behind the loop,
    from the back; only what is between two such loops is looked for.
    """
    keys = [_key(first, index) for index in mine], [_key(other, index) for index in theirs]
    least, begun, ended = min(len(mine), len(theirs)), 0, 0
    while begun < least and keys[0][begun] == keys[1][begun]:
        begun += 1
    while ended < least - begun and keys[0][-1 - ended] == keys[1][-1 - ended]:
        ended += 1
    yield from zip(mine[:begun], theirs[:begun], strict=True)
    yield from zip(mine[len(mine) - ended :], theirs[len(theirs) - ended :], strict=True)
    left = [part[begun : len(part) - ended] for part in keys]
    if all(left):
        for block in SequenceMatcher(None, left[0], left[1], autojunk=False).get_matching_blocks():
            for k in range(begun, begun + block.size):
                yield mine[block.a + k], theirs[block.b + k]


def _key(run: Recording, index: int) -> tuple[Any, ...]:
    record = run.records[index]
    # How many tensors a list has may depend on the sizes.
    slots = tuple(dict.fromkeys(slot.partition(".")[0] for slot, _ in record.arguments))
    return record.op, slots, len(record.outputs)
