"""Names of runs: made up, checked, and looked for when misspelt."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from datetime import date

from madstar.archive.schema import KEY_LENGTH
from madstar.errors import ArchiveError

LATEST = "latest"
_SUGGESTIONS = 5


def generate_name(day: date, taken: Iterable[str], token: Callable[[int], str]) -> str:
    """A name like "2026-11-21-a3f9" that is not `taken`; `token(n)` gives 2n random hexadecimal digits."""
    names = set(taken)
    size = 2
    while (name := f"{day.isoformat()}-{token(size)}") in names:
        size += 1  # a longer suffix each time, so that this ends even when a day has many runs
    return name


def check_name(name: str) -> str:
    """Return `name` if a run may be called so; raises ArchiveError otherwise."""
    if not name.strip() or not name.isprintable() or len(name) > KEY_LENGTH:
        raise ArchiveError(
            f"the run name {name[:40]!r} cannot be used: write 1 to {KEY_LENGTH} printable characters"
        )
    if name == LATEST or name.isdecimal():
        raise ArchiveError(f"the run name {name!r} is taken for looking runs up: add a letter to it")
    return name


def unknown_run(wanted: str | int, names: Sequence[str], where: str) -> ArchiveError:
    """The error for a run that is not there; `names` are all names, oldest first."""
    if not names:
        return ArchiveError(f"{where} holds no runs yet: start a search first")
    near = difflib.get_close_matches(str(wanted), names, n=_SUGGESTIONS, cutoff=0.6)
    recent = [name for name in reversed(names) if name not in near]
    offered = (near + recent)[:_SUGGESTIONS]
    return ArchiveError(f"{where} has no run {wanted!r}: choose one of {', '.join(offered)}")
