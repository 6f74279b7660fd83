"""An entry: one graph of a corpus, and where it came from."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...errors import DataError, GraphError
from ...graph.model import Graph

SOURCES = ("transformers", "timm", "madstar", "own", "layer", "genome", "edit")
"""Where entries come from. Of equal graphs that of the first source stays."""

_LEVEL = 6
_OF_THE_MOMENT = frozenset({"seconds", "peak_memory_bytes"})
"""Facts that differ between two tracings of one model."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A graph with its origin.

    `key` is unique in a corpus: "hf:llama@shrunk", "genome:21211-31112", "edit:0:hf:bert@shrunk". `packed`
    is the graph's JSON, compressed (`packed`, `unpacked`). `hash` is its structural hash; `parents` are keys
    of entries it was made from. `facts` is JSON data: class, inputs, domain, role, size, licence.
    """

    key: str
    source: str
    packed: bytes
    hash: str
    nodes: int
    unfolded: int
    parents: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def graph(self) -> Graph:
        """The graph, read anew each time."""
        return unpacked(self.packed, self.key)


def pack(graph: Graph) -> bytes:
    """The graph as compressed JSON, the same bytes for equal graphs."""
    from ...graph.json_format import to_json

    return zlib.compress(to_json(graph).encode(), _LEVEL)


def unpacked(data: bytes, name: str = "graph") -> Graph:
    """The graph in compressed JSON. Raises DataError naming it where the data is none."""
    from ...graph.json_format import MAX_BYTES, from_json

    opened = zlib.decompressobj()
    try:
        text = opened.decompress(data, MAX_BYTES)
        if not opened.eof:
            raise DataError(f"{name}: its graph is cut off, or larger than {MAX_BYTES // 2**20} MiB")
        return from_json(text.decode(), name)
    except (zlib.error, UnicodeDecodeError, GraphError) as error:
        raise DataError(f"{name}: its graph cannot be read: {error}") from None


def entry_of(
    graph: Graph,
    key: str,
    source: str,
    *,
    parents: tuple[str, ...] = (),
    facts: Mapping[str, Any] | None = None,
) -> Entry:
    """The entry of a graph: packed, hashed and counted, without the facts that differ between tracings."""
    from ...graph.hashing import structural_hash
    from ...graph.soundness import unfolded_sizes

    lasting = {name: fact for name, fact in graph.facts.items() if name not in _OF_THE_MOMENT}
    graph = replace(graph, facts=lasting)
    sizes = unfolded_sizes(graph)
    nodes = sum(len(definition.items) for definition in graph.definitions.values())
    return Entry(
        key, source, pack(graph), structural_hash(graph), nodes, sizes[graph.root], parents, dict(facts or {})
    )
