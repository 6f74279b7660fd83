"""The museum's graphs as entries: what `madstar zoo trace` has put in a folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import DataError
from .entries import Entry, entry_of
from .wanted import Wanted

_KEPT = ("class", "type", "inputs", "size", "parameters")


def of_museum(folder: Path, sizes: tuple[str, ...] = ()) -> list[Wanted]:
    """The traced models of a museum, in order of their keys.

    Args:
        folder: Where `madstar zoo trace` wrote.
        sizes: Which, of "shrunk" and "full"; by default the shrunk one of each type of transformers and
            timm's models as they are.

    Raises:
        DataError: the folder holds no museum, or nothing traced.
    """
    from ...zoo.corpus import read_index

    if not (folder / "index.jsonl").is_file():
        raise DataError(f"{folder} is no museum: it has no index.jsonl; madstar zoo trace makes one")
    rows = sorted((row for row in read_index(folder) if _wanted(row, sizes)), key=lambda row: str(row["key"]))
    if not rows:
        raise DataError(f"{folder} holds no traced models; madstar zoo table {folder} says why")
    found = []
    for row in rows:
        file = folder / str(row["file"])
        try:
            content = file.read_bytes()
        except OSError as error:
            raise DataError(f"{file}: cannot be read: {error.strerror}; trace the museum again") from None
        facts = {name: row.get(name) for name in _KEPT}
        identity = f"museum {hashlib.sha256(content).hexdigest()} {json.dumps(facts, sort_keys=True)}"
        found.append(Wanted(str(row["key"]), identity, partial(_entry, file, row, facts)))
    return found


def read_museum(folder: Path, sizes: tuple[str, ...] = ()) -> Iterator[Entry]:
    """Yield the entries of `of_museum`."""
    for wanted in of_museum(folder, sizes):
        if (entry := wanted.make()) is not None:
            yield entry


def _entry(file: Path, row: dict[str, Any], facts: dict[str, Any]) -> Entry:
    from ...graph.json_format import load

    address = str(row["name"])
    source = "timm" if address.startswith("timm:") else "transformers"
    return entry_of(load(file), str(row["key"]), source, facts={"address": address} | facts)


def _wanted(row: dict[str, Any], sizes: tuple[str, ...]) -> bool:
    if row.get("status") != "ok":
        return False
    if sizes:
        return row["size"] in sizes
    return bool(row["size"] == ("full" if str(row["name"]).startswith("timm:") else "shrunk"))
