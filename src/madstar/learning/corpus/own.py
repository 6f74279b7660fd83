"""A user's own folder of graph files as entries."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

from ...errors import DataError
from .entries import Entry, entry_of
from .wanted import Wanted


def of_folder(folder: Path) -> list[Wanted]:
    """The graph files below a folder, sorted. Raises DataError for a folder without any."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder: give one with graph files (.graph.json, .json.gz)")
    files = sorted(p for p in folder.rglob("*") if p.name.endswith((".json", ".json.gz")) and p.is_file())
    if not files:
        raise DataError(f"{folder} holds no graph files (.graph.json, .json.gz); madstar trace makes them")
    found = []
    for file in files:
        key = f"own:{file.relative_to(folder).as_posix()}"
        identity = hashlib.sha256(file.read_bytes()).hexdigest()
        found.append(Wanted(key, identity, partial(_entry, file, key)))
    return found


def _entry(file: Path, key: str) -> Entry:
    """The entry of a file. Raises GraphError naming a file that is no graph."""
    from ...graph.json_format import load

    graph = load(file)
    facts = {
        name: graph.facts[name] for name in ("class", "inputs") if isinstance(graph.facts.get(name), str)
    }
    return entry_of(graph, key, "own", facts=facts)
