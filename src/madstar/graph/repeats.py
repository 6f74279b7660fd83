"""Where in a block the same group of items comes several times on end, and how the groups are wired.

Two groups are alike if their items have the same operations, attributes, shapes and kinds of weights, and
take the same things from within the group. What they take from without says what can be made of them: a
*run*, in which each group takes from the one before and otherwise the same as all others, or merely a group
that is computed *each time* with inputs of its own. Runs whose turns differ are found in `loops.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .block_table import BlockTable
from .model import Call, Definition, Item
from .wiring import given, sources

MAX_PERIOD = 1200
MAX_PHASES = 12

Position = tuple[int, int]
"""Within a group: an item, and one of the things that it takes or gives."""


@dataclass(frozen=True)
class Repeat:
    """`count` groups of `period` items from item `start` on.

    `within` are the arguments that the group computes itself, as position of argument to position of output.
    `carried` likewise those that the group before computes. `given` are outputs that are needed outside of
    their group, `gathered` those of them that are needed of other groups of a run than the last. Groups that
    are no run are computed each time.
    """

    start: int
    period: int
    count: int
    within: dict[Position, Position]
    carried: dict[Position, Position]
    given: tuple[Position, ...]
    gathered: tuple[Position, ...] = ()
    run: bool = True

    @property
    def saved(self) -> int:
        """How many items fewer there are when the groups are one definition."""
        calls = 1 if self.run else self.count
        return self.count * self.period - self.period - calls

    def group(self, number: int) -> slice:
        """The items of one group."""
        return slice(self.start + number * self.period, self.start + (number + 1) * self.period)


class Layout:
    """The items of a block, with what gives each reference and who needs it last.

    `labels` are equal for items that may be in equal groups, `forms` for those that may be in groups that
    differ in numbers. `known` keeps them from one layout to the next, by the identity of items.
    """

    def __init__(self, definition: Definition, table: BlockTable, known: dict[int, tuple[str, str]]) -> None:
        self.items: tuple[Item, ...] = definition.items
        self.taken = [sources(item) for item in self.items]
        self.made: dict[str, Position] = {}
        self.last_use: list[int] = [-1] * len(self.items)
        self.users: dict[str, int] = {}
        """By reference the last item that takes it; one beyond all for the block's outputs."""
        self.types: dict[str, str] = {f"%{v.name}": f"{v.dtype}{v.shape}" for v in definition.inputs}
        for p in definition.parameters:
            self.types[f"@{p.path}"] = f"{p.dtype}{p.shape}"
        weights = {f"@{p.path}": f"{p.trained}{p.initialisation}" for p in definition.parameters}
        for index, item in enumerate(self.items):
            for source in self.taken[index]:
                self._use(source, index)
            for number, value in enumerate(given(item)):
                self.made[f"%{value.name}"] = (index, number)
                self.types[f"%{value.name}"] = f"{value.dtype}{value.shape}"
            if id(item) not in known:
                known[id(item)] = self._labels(item, weights, table)
        for source in definition.outputs:
            self._use(source, len(self.items))
        self.labels, self.forms = (
            self._numbered([known[id(item)][which] for item in self.items]) for which in (0, 1)
        )

    def _use(self, source: str, index: int) -> None:
        self.users[source] = index
        if source in self.made:
            self.last_use[self.made[source][0]] = index

    def _numbered(self, labels: list[str]) -> Any:
        numbers: dict[str, int] = {}
        return np.array([numbers.setdefault(label, len(numbers)) for label in labels], dtype=np.int32)

    def _labels(self, item: Item, weights: dict[str, str], table: BlockTable) -> tuple[str, str]:
        taken = [self.types[source] + weights.get(source, "") for source in sources(item)]
        made = [f"{value.dtype}{value.shape}" for value in given(item)]
        paths = [path.count("|") for path in item.paths] if isinstance(item, Call) else bool(item.path)
        exact = repr((table.item_form(item, True), paths, taken, made))
        return exact, repr((table.item_form(item, False), paths, taken, made))

    def regions(self, period: int, count: int, labels: Any) -> Iterator[tuple[int, int]]:
        """From where to where labels repeat themselves with a period, at least `count` times."""
        if len(labels) < period * count:
            return
        same = np.concatenate(([False], labels[period:] == labels[:-period], [False]))
        edges = np.flatnonzero(same[1:] != same[:-1])
        for begin, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if end - begin >= period * (count - 1):
                yield begin, end + period

    def runs(self, period: int, begin: int, end: int) -> Repeat | None:
        """The best run within a region: most groups, then fewest values carried."""
        best: Repeat | None = None
        for start in range(begin, min(begin + min(period, MAX_PHASES), end - period * 2 + 1)):
            found = self._run(start, period, (end - start) // period)
            if found and (best is None or rank(found) > rank(best)):
                best = found
        return best

    def groups(self, period: int, begin: int, end: int) -> Repeat | None:
        """The best choice of groups that are computed each time with inputs of their own."""
        best: Repeat | None = None
        for start in range(begin, min(begin + min(period, MAX_PHASES), end - period * 3 + 1)):
            within = self._within(start, period)
            count = 1
            while (
                start + (count + 1) * period <= end and self._within(start + count * period, period) == within
            ):
                count += 1
            spans = [(start + t * period, start + (t + 1) * period) for t in range(count)]
            needed = tuple(sorted({place for span in spans for place in self.needed_beyond(*span)}))
            found = Repeat(start, period, count, within, {}, needed, run=False)
            if count >= 3 and needed and (best is None or rank(found) > rank(best)):
                best = found
        return best

    def _within(self, start: int, period: int) -> dict[Position, Position]:
        return self._sources(start, start, period)

    def _sources(self, start: int, origin: int, period: int) -> dict[Position, Position]:
        """The arguments of the group at `start` that the group at `origin` gives."""
        found = {}
        for j in range(period):
            for a, source in enumerate(self.taken[start + j]):
                made = self.made.get(source)
                if made is not None and origin <= made[0] < origin + period:
                    found[j, a] = (made[0] - origin, made[1])
        return found

    def needed_beyond(self, begin: int, end: int, last: int = 0) -> list[Position]:
        """The outputs of items begin..end that others need, from item `last` on if that is later."""
        last = max(end, last)
        return [
            (index - begin, number)
            for index in range(begin, end)
            if self.last_use[index] >= last
            for number, value in enumerate(given(self.items[index]))
            if self.users.get(f"%{value.name}", -1) >= last
        ]

    def _run(self, start: int, period: int, most: int) -> Repeat | None:
        within = self._within(start, period)
        carried = self._sources(start + period, start, period)
        if not carried or any(self._foreign(start, place, carried, period) for place in carried):
            return None
        fixed = self._fixed(start, period, within, carried)
        count = 1
        while count < most:
            here = start + count * period
            same = (
                self._within(here, period) == within
                and self._sources(here, here - period, period) == carried
                and self._agrees(self._fixed(here, period, within, carried), fixed)
            )
            if not same:
                break
            count += 1
        for t in range(count):
            if max(self.last_use[start + t * period : start + (t + 1) * period]) >= start + (t + 2) * period:
                count = min(count, t + 1)
        last = start + (count - 1) * period
        needed = sorted({*carried.values(), *self.needed_beyond(last, last + period)})
        return Repeat(start, period, count, within, carried, tuple(needed)) if count > 1 else None

    def _foreign(self, start: int, place: Position, carried: dict[Position, Position], period: int) -> bool:
        """Whether what is taken at first has not the type of what is carried then."""
        j, a = place
        item, number = carried[place]
        first = self.taken[start + j][a]
        value = given(self.items[start + item])[number]
        return self.types[first] != f"{value.dtype}{value.shape}"

    def _fixed(
        self, start: int, period: int, within: dict[Position, Position], carried: dict[Position, Position]
    ) -> list[str]:
        return [
            source
            for j in range(period)
            for a, source in enumerate(self.taken[start + j])
            if (j, a) not in within and (j, a) not in carried
        ]

    def _agrees(self, here: list[str], first: list[str]) -> bool:
        """Values from without must be the same ones; weights may be each group's own."""
        return len(here) == len(first) and all(
            a == b or (a.startswith("@") and b.startswith("@")) for a, b in zip(here, first, strict=True)
        )


def rank(found: Repeat) -> tuple[int, int]:
    """What is better ranks higher: most items saved, then least that goes in and out."""
    return found.saved, -len(set(found.carried.values())) - len(found.given)
