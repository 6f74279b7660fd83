"""What differs between the turns of a run, as JSON: names that count up as one text, numbers as a range.

    "own": [[1, ["%piece.{0..15}"]]], "gathered": [[0, ["state_{1..15}"]]], "settings": {"i": "0..15"}

Of a setting a text is a range ("15..0:-1"), a list has a value for each turn, `{"same": value}` one for all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from ..errors import GraphError
from .model import Attribute, Call
from .runs_of_paths import packed, unpacked

_RANGE = re.compile(r"(-?\d{1,18})\.\.(-?\d{1,18})(?::(-?\d{1,18}))?")


def write_turns(call: Call, plain: Callable[[Any], Any]) -> dict[str, Any]:
    """Of the keys `own`, `settings`, `gathered` of a call those that it has; `plain` writes an attribute."""
    entry: dict[str, Any] = {}
    if call.own:
        entry["own"] = [[place, packed(refs)] for place, refs in call.own]
    if call.settings:
        entry["settings"] = {name: _packed_values(values, plain) for name, values in call.settings}
    if call.gathered:
        entry["gathered"] = [[place, packed(names)] for place, names in call.gathered]
    return entry


def read_names(written: Any, count: int, where: str) -> tuple[tuple[int, tuple[str, ...]], ...]:
    """Positions with `count` names each. Raises GraphError, beginning with `where`, for anything else."""
    if not isinstance(written, list):
        raise GraphError(f"{where}: must be a list of [position, names]")
    found = []
    for entry in written:
        if not isinstance(entry, list) or len(entry) != 2 or type(entry[0]) is not int:
            raise GraphError(f"{where}: must be a list of [position, names]")
        found.append((entry[0], unpacked(entry[1], where, "names", count)))
    return tuple(found)


def read_settings(
    written: Any, count: int, read: Callable[[Any, str], Attribute], where: str
) -> tuple[tuple[str, tuple[Attribute, ...]], ...]:
    """Names with `count` values each; `read` reads one attribute. Raises GraphError for anything else."""
    if not isinstance(written, dict):
        raise GraphError(f"{where}: must be an object")
    return tuple((name, _values(v, count, read, f"{where} {name!r:.80}")) for name, v in written.items())


def range_text(values: Sequence[Attribute]) -> str:
    """Whole numbers that go up or down evenly as "0..15" or "14..0:-2"; "" for anything else."""
    if len(values) < 3 or any(type(value) is not int or abs(value) >= 10**18 for value in values):
        return ""
    steps = {b - a for a, b in pairwise(values)}
    step = steps.pop()
    return "" if steps or not step else f"{values[0]}..{values[-1]}" + (f":{step}" if step != 1 else "")


def _packed_values(values: tuple[Attribute, ...], plain: Callable[[Any], Any]) -> Any:
    if text := range_text(values):
        return text
    if len(values) > 1 and len({repr(value) for value in values}) == 1:
        return {"same": plain(values[0])}
    return [plain(value) for value in values]


def _values(
    written: Any, count: int, read: Callable[[Any, str], Attribute], where: str
) -> tuple[Attribute, ...]:
    if isinstance(written, list):
        return tuple(read(value, where) for value in written)
    if isinstance(written, dict) and set(written) == {"same"}:
        return (read(written["same"], where),) * count
    match = _RANGE.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise GraphError(f"{where}: give a list, a range such as '0..15', or {{'same': a value}}")
    first, last, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if not step or (last - first) % step or (last - first) // step + 1 != count:
        raise GraphError(f"{where}: {written!r:.60} does not give a value for each of the {count} turns")
    return tuple(range(first, last + (1 if step > 0 else -1), step))
