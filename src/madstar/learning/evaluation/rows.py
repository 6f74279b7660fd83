"""Rows of judged learners in a file, a JSON document on each line; what stands there is not done again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import DataError, OutputError

KEY = ("data", "task", "learner", "split", "split_seed", "seed")


def name_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What tells a row from others."""
    return tuple(row[name] for name in KEY)


def read_rows(file: Path) -> list[dict[str, Any]]:
    """The last row of each name, none where there is no file. A line cut short by a crash is left out.

    Raises:
        DataError: the file holds something else.
    """
    if not file.exists():
        return []
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            if line.startswith("{"):
                continue  # cut short by a crash; what was done next stands after it
            row = None
        if not isinstance(row, dict) or not set(KEY) <= set(row):
            raise DataError(f"line {number} of {file} is no row of an evaluation; choose another file")
        found[name_of(row)] = row
    return list(found.values())


def add_row(file: Path, row: Mapping[str, Any]) -> None:
    """Append a row. Raises OutputError where the file cannot be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = not file.exists() or file.stat().st_size == 0 or _ends_whole(file)
        with open(file, "a", encoding="utf-8") as out:
            out.write(("" if whole else "\n") + json.dumps(row) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}; choose another place") from None


def _ends_whole(file: Path) -> bool:
    with open(file, "rb") as opened:
        opened.seek(-1, 2)
        return opened.read(1) == b"\n"


def of_data(rows: Sequence[Mapping[str, Any]], data: str) -> list[dict[str, Any]]:
    """The rows about one dataset."""
    return [dict(row) for row in rows if row["data"] == data]
