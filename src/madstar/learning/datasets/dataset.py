"""A dataset read back: its graphs, the examples of a task by number, its splits.

The conventions are those of the Open Graph Benchmark (Hu et al., 2020, arXiv 2005.00687): `dataset[i]` is a
graph as arrays with its label, `get_idx_split()` the numbers of train, valid and test.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...graph.model import Graph
from ..corpus.entries import Entry, unpacked
from ..corpus.splits import PARTS, Member, split
from ..view import GraphView, view
from .arrays import Vocabulary, asked_and_label, graph_arrays, shown
from .examples import Classified, Example
from .files import ENTRIES, ENTRY_COLUMNS, read_examples, read_schema, read_table
from .measuring import measured_split

_NOT_GRAPHS = [name for name in ENTRY_COLUMNS.names if name != "graph"]


class Stored:
    """A whole dataset on disk: entries, views, the examples of every task, splits.

    Graphs are read when asked for; the views of graphs are kept once made.
    """

    def __init__(self, folder: str | Path) -> None:
        """Raises DataError for a folder that holds no dataset, or one of another schema."""
        self.folder = Path(folder)
        self.schema = read_schema(self.folder)
        table = read_table(self.folder, ENTRIES, self.schema)
        self._packed = table.column("graph")
        self._rows = table.select(_NOT_GRAPHS).to_pylist()
        self._number = {row["key"]: i for i, row in enumerate(self._rows)}
        self._examples: dict[str, tuple[Example, ...]] = {}

    @cached_property
    def hash(self) -> str:
        """A hash of all tables: datasets of one hash are equal."""
        from hashlib import sha256

        return sha256(json.dumps(self.schema["tables"], sort_keys=True).encode()).hexdigest()[:16]

    @property
    def keys(self) -> tuple[str, ...]:
        """The entries, in order."""
        return tuple(self._number)

    def row(self, entry: str) -> Mapping[str, Any]:
        """What is told of an entry: source, families, labels, sizes, blocks. Raises DataError if unknown."""
        return self._rows[self._at(entry)]

    def entry(self, key: str) -> Entry:
        """An entry, its graph packed."""
        row = self.row(key)
        return Entry(
            key,
            row["source"],
            self._packed[self._number[key]].as_py(),
            row["hash"],
            row["nodes"],
            row["unfolded"],
            tuple(row["parents"]),
            json.loads(row["facts"]),
        )

    def graph(self, key: str) -> Graph:
        """The graph of an entry, read anew."""
        return unpacked(self._packed[self._at(key)].as_py(), key)

    @cached_property
    def views(self) -> Views:
        """The view of each entry, made when it is first asked for."""
        return Views(self)

    def examples(self, task: str) -> tuple[Example, ...]:
        """All examples of a task, in order. Raises DataError for an unknown task."""
        if task not in self._examples:
            self._examples[task] = read_examples(self.folder, task, self.schema)
        return self._examples[task]

    def families(self) -> dict[str, str]:
        """The family of each entry."""
        return {row["key"]: row["family"] for row in self._rows}

    def entry_split(self, name: str = "family", seed: int = 0) -> dict[str, tuple[str, ...]]:
        """The entries in train, valid and test; see `corpus.splits`. Raises DataError."""
        return split(self._members, name, seed)

    def split(self, task: str, name: str = "family", seed: int = 0) -> dict[str, np.ndarray]:
        """The numbers of a task's examples in train, valid and test. Raises DataError.

        Measurements are split by `measuring.measured_split`: all are of generated architectures, which the
        splits of entries train on.
        """
        examples = self.examples(task)
        if task == "performance":
            parts = measured_split(examples, self._members_of(examples), name, seed)
        else:
            parts = self.entry_split(name, seed)
        part_of = {key: part for part in PARTS for key in parts[part]}
        numbers: dict[str, list[int]] = {part: [] for part in PARTS}
        for number, example in enumerate(examples):
            if example.entry in part_of:
                numbers[part_of[example.entry]].append(number)
        return {part: np.array(numbers[part], dtype=np.int64) for part in PARTS}

    def _members_of(self, examples: Sequence[Example]) -> list[Member]:
        named = {example.entry for example in examples}
        return [member for member in self._members if member.key in named]

    @cached_property
    def _members(self) -> tuple[Member, ...]:
        return tuple(
            Member(
                row["key"],
                row["source"],
                row["family"],
                row["strict_family"],
                frozenset(row["blocks"]),
                frozenset(row["bare_blocks"]),
                row["unfolded"],
            )
            for row in self._rows
        )

    def _at(self, key: str) -> int:
        if key not in self._number:
            raise DataError(f"{self.folder} has no entry {key!r:.80}; `keys` lists them")
        return self._number[key]


class Views(Mapping[str, GraphView]):
    """The views of a dataset's graphs, by entry."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored
        self._known: dict[str, GraphView] = {}

    def __getitem__(self, key: str) -> GraphView:
        if key not in self._known:
            if key not in self._stored._number:
                raise KeyError(key)
            self._known[key] = view(self._stored.graph(key))
        return self._known[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._stored.keys)

    def __len__(self) -> int:
        return len(self._stored.keys)


class Dataset(Sequence[tuple[dict[str, Any], np.ndarray]]):
    """The examples of one task.

    `dataset[i]` is the graph as a learner may see it, as arrays (`arrays.graph_arrays`), with what is asked
    of it under "asked", and the label; `dataset.example(i)` says the same in words.
    """

    def __init__(self, stored: Stored, task: str) -> None:
        """Raises DataError for an unknown task."""
        self.stored = stored
        self.task = task
        self.examples = stored.examples(task)
        self.vocabulary = Vocabulary.of(stored.schema["vocabulary"])

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice | Sequence | np.ndarray):
            chosen = range(len(self))[index] if isinstance(index, slice) else index
            return [self[int(i)] for i in chosen]
        example = self.examples[index]
        whole = self.stored.views[example.entry]
        graph: dict[str, Any] = graph_arrays(shown(whole, example), self.vocabulary)
        graph["asked"], label = asked_and_label(whole, example, self.vocabulary, self.classes(example))
        return graph, label

    def example(self, index: int) -> Example:
        """What is asked, by numbers of nodes and edges of `view(index)`."""
        return self.examples[index]

    def view(self, index: int) -> GraphView:
        """The whole view of the example's entry, with nothing hidden."""
        return self.stored.views[self.examples[index].entry]

    def family(self, index: int) -> str:
        """The family of the example's entry."""
        return str(self.stored.row(self.examples[index].entry)["family"])

    def classes(self, example: Example) -> tuple[str, ...]:
        """The labels that an example of classification can have, in order; else nothing."""
        if not isinstance(example, Classified):
            return ()
        return tuple(self.stored.schema["classes"][example.question])

    def get_idx_split(self, split: str = "family", seed: int = 0) -> dict[str, np.ndarray]:
        """The numbers of the examples in "train", "valid" and "test". Raises DataError."""
        return self.stored.split(self.task, split, seed)

    def to_pyg(self, index: int) -> Any:
        """The example as a `torch_geometric.data.Data`. Raises DataError where that package is missing."""
        try:
            data = importlib.import_module("torch_geometric.data")
        except ImportError:
            raise DataError(
                "torch_geometric is not installed: pip install torch_geometric, or use dataset[i]"
            ) from None
        import torch

        graph, label = self[index]
        return data.Data(
            x=torch.from_numpy(graph["node_feat"]),
            edge_index=torch.from_numpy(graph["edge_index"]),
            edge_attr=torch.from_numpy(graph["edge_feat"]),
            y=torch.from_numpy(np.atleast_1d(label)),
            asked=torch.from_numpy(graph["asked"]),
            num_nodes=graph["num_nodes"],
        )


def load(folder: str | Path, task: str) -> Dataset:
    """The examples of a task in a dataset on disk.

    Raises DataError for a folder without a dataset, one of another schema, an unknown task.
    """
    return Dataset(Stored(folder), task)
