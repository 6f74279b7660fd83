"""Runs whose turns differ: loops that tracing has unrolled, with an index or an input of each turn's own.

In such a run an argument is, in every turn, one of four things: made within the turn; made by the turn
before (and before the run in the first turn); a weight or value from before the run, the same in all turns;
or such a one that is another in each. Numbers in attributes may differ. What anything after the run takes of
any turn is gathered.
"""

from __future__ import annotations

from .repeats import MAX_PHASES, Layout, Position, Repeat, rank

LEAST_TURNS = 3

_Kinds = list[list[tuple[str, Position]]]
"""For each item of a turn and each argument: "within", "carried" or "free"; and what of the turn makes it."""


def best_loop(layout: Layout, period: int, begin: int, end: int) -> Repeat | None:
    """The best run within a region: most turns, then least that goes in and out."""
    best: Repeat | None = None
    phases = [*range(begin, begin + min(period, MAX_PHASES)), begin + period]
    for start in phases:
        if start + LEAST_TURNS * period > end:
            break
        found = _loop(layout, start, period, (end - start) // period)
        if found and (best is None or rank(found) > rank(best)):
            best = found
    return best


def _loop(layout: Layout, start: int, period: int, most: int) -> Repeat | None:
    kinds = _kinds(layout, start, period)
    if kinds is None:
        return None
    count = 2
    while count < most and _fits(layout, start, start + count * period, kinds):
        count += 1
    if count < LEAST_TURNS:
        return None
    places = [(j, a, kind) for j, row in enumerate(kinds) for a, kind in enumerate(row)]
    carried = {(j, a): origin for j, a, (sort, origin) in places if sort == "carried"}
    within = {(j, a): origin for j, a, (sort, origin) in places if sort == "within"}
    end = start + count * period
    last = layout.needed_beyond(end - period, end)
    before = {
        place
        for turn in range(count - 1)
        for place in layout.needed_beyond(start + turn * period, start + (turn + 1) * period, end)
    }
    if not before and not carried:
        return None  # turns that no one needs
    needed = sorted({*carried.values(), *last, *before})
    return Repeat(start, period, count, within, carried, tuple(needed), tuple(sorted(before)))


def _kinds(layout: Layout, start: int, period: int) -> _Kinds | None:
    """What each argument is, by the first two turns; None where these are no turns of one run."""
    found: _Kinds = []
    for j in range(period):
        row: list[tuple[str, Position]] = []
        for first, second in zip(layout.taken[start + j], layout.taken[start + period + j], strict=True):
            before, now = layout.made.get(first, (-1, 0)), layout.made.get(second, (-1, 0))
            turn, item = divmod(now[0] - start, period)
            if now[0] < start:
                row.append(("free", (0, 0)))
            else:
                row.append(("within" if turn == 1 else "carried", (item, now[1])))
            if row[-1][0] == "within":
                if before != (start + item, now[1]):
                    return None
            elif before[0] >= start or layout.types[first] != layout.types[second]:
                return None
        found.append(row)
    return found


def _fits(layout: Layout, start: int, here: int, kinds: _Kinds) -> bool:
    """Whether the turn at item `here` takes what the kinds say; `start` is where the run starts."""
    period = len(kinds)
    for j, row in enumerate(kinds):
        for source, (sort, (item, number)) in zip(layout.taken[here + j], row, strict=True):
            made = layout.made.get(source, (-1, 0))
            if sort == "free":
                if made[0] >= start:
                    return False
            elif made != (here + item - (period if sort == "carried" else 0), number):
                return False
    return True
