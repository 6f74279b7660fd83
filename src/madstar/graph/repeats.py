"""Where in a block the same group of items comes several times on end, and how the groups are wired.

Two groups are alike if their items have the same operations, attributes, shapes and kinds of weights, and
take the same things from within the group. What they take from without says what can be made of them: a
*run*, in which each group takes from the one before and otherwise the same as all others, or merely a group
that is computed *each time* with inputs of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from .model import Call, Definition, Item
from .soundness import sources

MAX_PERIOD = 1200
_MAX_PHASES = 12

Position = tuple[int, int]
"""Within a group: an item, and one of its arguments or outputs."""


@dataclass(frozen=True)
class Repeat:
    """`count` groups of `period` items from item `start` on.

    `within` are the arguments that the group computes itself, as position of argument to position of output.
    `carried` likewise those that the group before computes; none if the groups are no run. `given` are
    outputs that are needed outside of their group (in a run: of the last, or by the next).
    """

    start: int
    period: int
    count: int
    within: dict[Position, Position]
    carried: dict[Position, Position]
    given: tuple[Position, ...]

    @property
    def saved(self) -> int:
        """How many items fewer there are when the groups are one definition."""
        calls = 1 if self.carried else self.count
        return self.count * self.period - self.period - calls

    def group(self, number: int) -> slice:
        """The items of one group."""
        return slice(self.start + number * self.period, self.start + (number + 1) * self.period)


class Layout:
    """The items of a block, with what gives each reference and who needs it last."""

    def __init__(self, definition: Definition, labels: dict[int, str]) -> None:
        self.items: tuple[Item, ...] = definition.items
        self.made: dict[str, Position] = {}
        self.last_use: list[int] = [-1] * len(self.items)
        self.users: dict[str, list[int]] = {}
        self.types: dict[str, str] = {f"%{v.name}": f"{v.dtype}{v.shape}" for v in definition.inputs}
        for p in definition.parameters:
            self.types[f"@{p.path}"] = f"{p.dtype}{p.shape}"
        weights = {f"@{p.path}": f"{p.trained}{p.initialisation}" for p in definition.parameters}
        for index, item in enumerate(self.items):
            for source in sources(item):
                self.users.setdefault(source, []).append(index)
                if source in self.made:
                    self.last_use[self.made[source][0]] = index
            for number, value in enumerate(item.outputs):
                self.made[f"%{value.name}"] = (index, number)
                self.types[f"%{value.name}"] = f"{value.dtype}{value.shape}"
            if id(item) not in labels:
                labels[id(item)] = self._label(item, weights)
        for source in definition.outputs:
            self.users.setdefault(source, []).append(len(self.items))
            if source in self.made:
                self.last_use[self.made[source][0]] = len(self.items)
        known: dict[str, int] = {}
        self.labels = np.array(
            [known.setdefault(labels[id(item)], len(known)) for item in self.items], dtype=np.int32
        )

    def _label(self, item: Item, weights: dict[str, str]) -> str:
        taken = [self.types[source] + weights.get(source, "") for source in sources(item)]
        given = [f"{value.dtype}{value.shape}" for value in item.outputs]
        if isinstance(item, Call):
            return repr(
                (
                    "call",
                    item.definition,
                    [path.count("|") for path in item.paths],
                    item.carried,
                    taken,
                    given,
                )
            )
        slots = [argument.slot for argument in item.arguments]
        return repr((item.op, slots, item.attributes, bool(item.path), item.body, taken, given))

    def regions(self, period: int, count: int) -> Iterator[tuple[int, int]]:
        """From where to where the items repeat themselves with a period, at least `count` times."""
        labels = self.labels
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
        for start in range(begin, min(begin + min(period, _MAX_PHASES), end - period * 2 + 1)):
            found = self._run(start, period, (end - start) // period)
            if found and (best is None or _rank(found) > _rank(best)):
                best = found
        return best

    def groups(self, period: int, begin: int, end: int) -> Repeat | None:
        """The best choice of groups that are computed each time with inputs of their own."""
        best: Repeat | None = None
        for start in range(begin, min(begin + min(period, _MAX_PHASES), end - period * 3 + 1)):
            within = self._within(start, period)
            count = 1
            while (
                start + (count + 1) * period <= end and self._within(start + count * period, period) == within
            ):
                count += 1
            spans = [(start + t * period, start + (t + 1) * period) for t in range(count)]
            given = tuple(sorted({place for span in spans for place in self._needed_beyond(*span)}))
            found = Repeat(start, period, count, within, {}, given)
            if count >= 3 and given and (best is None or _rank(found) > _rank(best)):
                best = found
        return best

    def _within(self, start: int, period: int) -> dict[Position, Position]:
        return self._sources(start, start, period)

    def _sources(self, start: int, origin: int, period: int) -> dict[Position, Position]:
        """The arguments of the group at `start` that the group at `origin` gives."""
        found = {}
        for j in range(period):
            for a, source in enumerate(sources(self.items[start + j])):
                made = self.made.get(source)
                if made is not None and origin <= made[0] < origin + period:
                    found[j, a] = (made[0] - origin, made[1])
        return found

    def _needed_beyond(self, begin: int, end: int) -> list[Position]:
        """The outputs of items begin..end that others need."""
        return [
            (index - begin, number)
            for index in range(begin, end)
            if self.last_use[index] >= end
            for number, value in enumerate(self.items[index].outputs)
            if self.users.get(f"%{value.name}", [-1])[-1] >= end
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
        given = sorted({*carried.values(), *self._needed_beyond(last, last + period)})
        return Repeat(start, period, count, within, carried, tuple(given)) if count > 1 else None

    def _foreign(self, start: int, place: Position, carried: dict[Position, Position], period: int) -> bool:
        """Whether what is taken at first has not the type of what is carried then."""
        j, a = place
        item, number = carried[place]
        first = sources(self.items[start + j])[a]
        value = self.items[start + item].outputs[number]
        return self.types[first] != f"{value.dtype}{value.shape}"

    def _fixed(
        self, start: int, period: int, within: dict[Position, Position], carried: dict[Position, Position]
    ) -> list[str]:
        return [
            source
            for j in range(period)
            for a, source in enumerate(sources(self.items[start + j]))
            if (j, a) not in within and (j, a) not in carried
        ]

    def _agrees(self, here: list[str], first: list[str]) -> bool:
        """Values from without must be the same ones; weights may be each group's own."""
        return len(here) == len(first) and all(
            a == b or (a.startswith("@") and b.startswith("@")) for a, b in zip(here, first, strict=True)
        )


def _rank(found: Repeat) -> tuple[int, int]:
    return found.saved, -len(set(found.carried.values())) - len(found.given)
