"""What a corpus shall hold, before it is made; and what was made, kept so that nothing is made twice.

An entry that is wanted has an identity: words that say all that it depends on but for the code. What is kept
is found under a hash of the identity and of the code that makes entries, so nothing stale is ever found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np

from ...whole_files import write_whole
from .collecting import Item, looked_at
from .entries import Entry
from .fingerprints import Fingerprint

_ROOMS = ("liv", "genome", "graph", "protocol/architecture.py", "learning/corpus", "learning/view.py")


@dataclass(frozen=True)
class Wanted:
    """An entry to be made. `make` gives None for what turns out not to be possible, such as an edit."""

    key: str
    identity: str
    make: Callable[[], Entry | None]


@dataclass(frozen=True)
class Store:
    """A folder of entries that were made, each with what was seen in it; None keeps nothing."""

    folder: Path | None = None

    def item(self, wanted: Wanted) -> tuple[Item | None, bool]:
        """The item, and whether it was there already."""
        if self.folder is None:
            return _made(wanted), False
        name = hashlib.sha256(f"{code_hash()} {wanted.key} {wanted.identity}".encode()).hexdigest()[:32]
        path = self.folder / f"{name}.entry"
        try:
            return _read(path.read_bytes()), True
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            item = _made(wanted)
        write_whole(path, _written(item))
        return item, False


def _made(wanted: Wanted) -> Item | None:
    entry = wanted.make()
    return None if entry is None else looked_at(entry)


def _written(item: Item | None) -> bytes:
    """A line of JSON, the labels' bytes, the packed graph."""
    if item is None:
        return b"null\n"
    entry = {name: value for name, value in asdict(item.entry).items() if name != "packed"}
    seen = {"blocks": item.print.blocks, "bare": item.print.bare, "counts": item.print.counts}
    labels = {"domain": item.domain, "role": item.role}
    words = item.print.words.astype("<u8").tobytes()
    head = {"entry": entry, "print": seen, "words": len(words), "packed": len(item.entry.packed), **labels}
    return json.dumps(head, sort_keys=True).encode() + b"\n" + words + item.entry.packed


def _read(content: bytes) -> Item | None:
    line, _, rest = content.partition(b"\n")
    head = json.loads(line)
    if head is None:
        return None
    at, size = head["words"], head["packed"]
    if len(rest) != at + size:
        raise ValueError("cut off")
    entry = dict(head["entry"])
    entry["parents"] = tuple(entry["parents"])
    seen = head["print"]
    words = np.frombuffer(rest[:at], dtype="<u8").astype(np.uint64)
    return Item(
        Entry(packed=rest[at:], **entry),
        Fingerprint(tuple(seen["blocks"]), tuple(seen["bare"]), words, seen["counts"]),
        domain=head["domain"],
        role=head["role"],
    )


@cache
def code_hash() -> str:
    """A hash of the code that makes entries and looks at them."""
    import torch

    house = Path(__file__).parents[2]
    digest = hashlib.sha256(torch.__version__.encode())
    for room in _ROOMS:
        place = house / room
        for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            digest.update(file.read_bytes())
    return digest.hexdigest()
