"""Paths and names that count up, written as one: "layers.{0..79}", "layers.{0..78:2}|layers.{1..79:2}"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from ..errors import GraphError
from .sound_calls import MAX_CALLS

_NUMBER = re.compile(r"(\d+)")
_FIELD = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})(?::(\d{1,9}))?\}")


def packed(paths: Sequence[str]) -> list[Any]:
    """Text for runs of paths, `{"path": ..., "times": ...}` for one that is repeated or has braces."""
    written: list[Any] = []
    rest = list(paths)
    while rest:
        taken = _run(rest)
        if taken > 1 and (text := _pattern(rest[:taken])):
            written.append(text)
        else:
            alike = next(groupby(rest))[1]
            taken = sum(1 for _ in alike)
            plain = taken == 1 and "{" not in rest[0]
            written.append(rest[0] if plain else {"path": rest[0], "times": taken})
        rest = rest[taken:]
    return written


def unpacked(written: Any, where: str, what: str = "paths", most: int = MAX_CALLS) -> tuple[str, ...]:
    """The paths again. Raises GraphError for what `packed` does not write and for more than `most`."""
    if not isinstance(written, list):
        raise GraphError(f"{where}: `{what}` must be a list")
    paths: list[str] = []
    for entry in written:
        if isinstance(entry, str):
            paths += _expanded(entry, where)
        elif isinstance(entry, dict) and set(entry) == {"path", "times"}:
            path, times = entry["path"], entry["times"]
            if not isinstance(path, str) or type(times) is not int or not 1 <= times <= MAX_CALLS:
                raise GraphError(f"{where}: a repeated path needs its text and a count up to {MAX_CALLS:,}")
            paths += [path] * times
        else:
            raise GraphError(f"{where}: a path is text such as 'layers.0' or 'layers.{{0..79}}'")
        if len(paths) > most:
            raise GraphError(f"{where}: more than {most:,} {what}")
    return tuple(paths)


def _run(paths: list[str]) -> int:
    """How many of the first paths are alike but for numbers that count up evenly (not all of them still)."""
    if len(paths) < 2:
        return len(paths)
    first, second = _NUMBER.split(paths[0]), _NUMBER.split(paths[1])
    if "{" in paths[0] or first[::2] != second[::2] or paths[0] == paths[1]:
        return 1
    steps = [int(b) - int(a) for a, b in zip(first[1::2], second[1::2], strict=True)]
    if any(step < 0 for step in steps) or any(len(number) > 9 for number in first[1::2]):
        return 1
    count = 1
    for path in paths[1:]:
        parts = _NUMBER.split(path)
        wanted = [str(int(a) + step * count) for a, step in zip(first[1::2], steps, strict=True)]
        wanted = [a if not step else b for a, b, step in zip(first[1::2], wanted, steps, strict=True)]
        if parts[::2] != first[::2] or parts[1::2] != wanted or any(len(n) > 9 for n in parts[1::2]):
            break
        count += 1
    return count if all(str(int(a)) == a or not s for a, s in zip(first[1::2], steps, strict=True)) else 1


def _pattern(paths: list[str]) -> str:
    first, second, last = (_NUMBER.split(path) for path in (paths[0], paths[1], paths[-1]))
    text = ""
    for place, part in enumerate(first):
        if place % 2 == 0 or part == second[place]:
            text += part
        else:
            step = int(second[place]) - int(part)
            text += f"{{{part}..{last[place]}{f':{step}' if step > 1 else ''}}}"
    return text


def _expanded(text: str, where: str) -> list[str]:
    fields = list(_FIELD.finditer(text))
    if not fields:
        if "{" in text:
            raise GraphError(f"{where}: {text!r:.80} has a brace that is no run such as '{{0..79}}'")
        return [text]
    ranges = [range(int(f[1]), int(f[2]) + 1, max(1, int(f[3] or 1))) for f in fields]
    if len({len(one) for one in ranges}) > 1 or not 1 <= len(ranges[0]) <= MAX_CALLS:
        raise GraphError(f"{where}: the runs in {text!r:.80} must have one length, at most {MAX_CALLS:,}")
    pieces = _FIELD.split(text)[::4]
    return [
        "".join(
            piece + (str(numbers[place]) if place < len(numbers) else "")
            for place, piece in enumerate(pieces)
        )
        for numbers in zip(*ranges, strict=True)
    ]
