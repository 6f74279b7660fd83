"""A dataset made: entries gathered from their sources, looked at, settled, and examples drawn of them.

What was made is kept in the folder `.entries` beside the tables, so that a build that was killed goes on
where it stopped, and one more run of a search costs only what is new.
"""

from __future__ import annotations

import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError, DataError, OutputError
from ...version import __version__
from ..corpus.collecting import REAL, Item, settled
from ..corpus.edits import random_edits
from ..corpus.generated import mad_layers, random_genomes
from ..corpus.itself import graph_transformers
from ..corpus.measured import Candidate, of_candidates, read_archives
from ..corpus.museum import of_museum
from ..corpus.own import of_folder
from ..corpus.wanted import Store, Wanted
from ..view import INPUT, view
from . import drawing
from .card import card
from .examples import TASKS, Example, Measured
from .files import SCHEMA_FILE, read_schema, write_dataset

_STORE = ".entries"


@dataclass(frozen=True)
class DatasetSettings:
    """What a dataset is made of.

    Args:
        museum: A folder of `madstar zoo trace`, or None.
        archives: Homes of searches and benchmarks, whose architectures were measured.
        own: A folder of graph files, or None.
        genomes: Random genomes.
        layers: MAD's layers, each in its language model.
        itself: The graph transformer that learns of them, beside all these.
        edits: Random edits of the models.
        sizes: Of the museum, "shrunk" and "full"; by default shrunk ones, and timm's models as they are.
        seed: Of all that is drawn.
    """

    museum: Path | None = None
    archives: tuple[Path, ...] = ()
    own: Path | None = None
    genomes: int = 0
    layers: bool = False
    itself: bool = False
    edits: int = 0
    sizes: tuple[str, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("genomes", "edits", "seed"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} is {getattr(self, name)}: give 0 or more")
        if not (self.museum or self.archives or self.own or self.genomes or self.layers):
            raise ConfigurationError(
                "nothing to make a dataset of: give a museum (madstar zoo trace makes one), an archive, "
                "a folder of graphs, or genomes"
            )
        if self.edits and not (self.museum or self.own):
            raise ConfigurationError(f"{self.edits} edits of nothing: give a museum, or a folder of graphs")

    def document(self) -> dict[str, Any]:
        """What of it is told in schema.json: no places on this machine."""
        return {
            "museum": self.museum is not None,
            "archives": len(self.archives),
            "own": self.own is not None,
            "genomes": self.genomes,
            "layers": self.layers,
            "itself": self.itself,
            "edits": self.edits,
            "sizes": list(self.sizes),
        }


@dataclass(frozen=True)
class Progress:
    """How far a build has come: entries done, of how many; seconds left, if known; what was done last."""

    done: int
    total: int
    seconds_left: float | None
    last: str = ""


OnProgress = Callable[[Progress], None]


def build_dataset(
    folder: Path, settings: DatasetSettings, on_progress: OnProgress | None = None, *, redo: bool = False
) -> dict[str, Any]:
    """Make a dataset in a folder, and return what its schema.json says.

    The same settings, sources and code give the same bytes. With `redo` a dataset of other settings that
    stands there is replaced.

    Raises:
        DataError: a source holds nothing; it says what to run.
        OutputError: the folder cannot be written to, or holds something else.
    """
    _check_place(folder, settings, redo)
    candidates = read_archives(settings.archives)
    store = Store(folder / _STORE)
    wanted = _wanted(settings, candidates)
    state = _State(len(wanted) + settings.edits, on_progress)
    items = [item for each in wanted if (item := state.made(store, each)) is not None]
    pool = [item.entry for item in items if item.entry.source in REAL]
    for each in random_edits(pool, settings.edits, settings.seed):
        if (item := state.made(store, each)) is not None:
            items.append(item)
    items = settled(items)
    if not items:
        raise DataError(f"no graph could be made for {folder}: every source came to nothing")
    examples = draw_examples(items, settings.seed)
    examples["performance"] = _measured(items, candidates)
    head = {
        "madstar": __version__,
        "seed": settings.seed,
        "settings": settings.document(),
        "vocabulary": vocabulary(items),
        "classes": _classes(examples),
        "counts": _counts(items, examples),
    }
    return write_dataset(folder, items, examples, head, card(items, examples, head))


def draw_examples(items: Sequence[Item], seed: int) -> dict[str, list[Example]]:
    """The examples of all tasks but performance; those of a graph depend on it and the seed alone."""
    found: dict[str, list[Example]] = {task: [] for task in TASKS}
    for item in items:
        key = item.entry.key
        seen = view(item.entry.graph)

        def rng(task: str, key: str = key) -> random.Random:
            return random.Random(f"{task} {seed} {key}")

        for way in ("spans", "blocks"):
            if (masked := drawing.operations(seen, rng(way), key, way)) is not None:
                found["operation"].append(masked)
        if (links := drawing.links(seen, rng("link"), key)) is not None:
            found["link"].append(links)
        found["incomplete"] += drawing.incomplete(seen, rng("incomplete"), key)
        found["completion"] += drawing.completions(seen, rng("completion"), key)
    counts = {item.entry.key: item.print.counts for item in items}
    real = [item for item in items if item.entry.source in REAL]
    for question in ("domain", "role"):
        labels = {item.entry.key: str(getattr(item, question)) for item in real}
        found["classification"] += drawing.classified(labels, counts, question)
    return found


def vocabulary(items: Sequence[Item]) -> dict[str, list[str]]:
    """The words of the dataset's features, each kind sorted: operations, dtypes, slots.

    Only numbers for storage: what a learner may know is that of its training graphs alone.
    """
    ops: set[str] = set()
    dtypes: set[str] = set()
    slots: set[str] = set()
    for item in items:
        ops.update(item.print.counts)
        for definition in item.entry.graph.definitions.values():
            dtypes.update(value.dtype for value in definition.inputs)
            for each in definition.items:
                dtypes.update(value.dtype for value in each.outputs)
                for argument in getattr(each, "arguments", ()):
                    slots.add(getattr(argument, "slot", "").partition(".")[0])
    return {"operations": sorted(ops - {INPUT}), "dtypes": sorted(dtypes), "slots": sorted(slots - {""})}


def _wanted(settings: DatasetSettings, candidates: Sequence[Candidate]) -> list[Wanted]:
    found: list[Wanted] = []
    if settings.museum is not None:
        found += of_museum(settings.museum, settings.sizes)
    if settings.own is not None:
        found += of_folder(settings.own)
    if settings.itself:
        found += graph_transformers()
    if settings.layers:
        found += mad_layers()
    if settings.genomes:
        found += random_genomes(settings.genomes, settings.seed)
    return found + of_candidates(candidates)


def _measured(items: Sequence[Item], candidates: Sequence[Candidate]) -> list[Example]:
    """The figures of the candidates that are here; one with the graph of another counts for that."""
    at = {key: item.entry.key for item in items for key in (item.entry.key, *item.aliases)}
    found: list[Example] = []
    for candidate in candidates:
        if candidate.key in at:
            found += [
                Measured(at[candidate.key], f.task, f.budget, f.value, f.error, f.seeds)
                for f in candidate.figures
            ]
    return found


def _classes(examples: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    found: dict[str, set[str]] = {}
    for example in examples["classification"]:
        found.setdefault(example.question, set()).add(example.label)
    return {question: sorted(labels) for question, labels in sorted(found.items())}


def _counts(items: Sequence[Item], examples: Mapping[str, Sequence[Example]]) -> dict[str, Any]:
    return {
        "entries": len(items),
        "sources": dict(sorted(Counter(item.entry.source for item in items).items())),
        "families": len({item.family for item in items}),
        "strict_families": len({item.strict for item in items}),
        "aliases": sum(len(item.aliases) for item in items),
        "examples": {task: len(examples[task]) for task in TASKS},
    }


def _check_place(folder: Path, settings: DatasetSettings, redo: bool) -> None:
    """Nothing that someone else put there is written over."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder} is no folder: choose another place")
    if (folder / SCHEMA_FILE).exists():
        if redo:
            return
        known = read_schema(folder)
        if known.get("seed") != settings.seed or known.get("settings") != settings.document():
            raise OutputError(
                f"{folder} holds a dataset of other settings or seed: choose another place, or --redo"
            )
    elif any(path.name != _STORE for path in folder.iterdir()):
        raise OutputError(f"{folder} holds other things than a dataset: choose an empty place")


def forget(folder: Path) -> None:
    """Remove what a dataset keeps to be made again faster."""
    shutil.rmtree(folder / _STORE, ignore_errors=True)


class _State:
    """Counts what is made, and how long what was not kept has taken."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self.total, self.done, self.fresh, self.on_progress = total, 0, 0, on_progress
        self.seconds = 0.0

    def made(self, store: Store, wanted: Wanted) -> Item | None:
        begun = time.monotonic()
        item, kept = store.item(wanted)
        if not kept:
            self.fresh += 1
            self.seconds += time.monotonic() - begun
        self.done += 1
        if self.on_progress is not None:
            left = self.seconds / self.fresh * (self.total - self.done) if self.fresh else None
            self.on_progress(Progress(self.done, self.total, left, wanted.key))
        return item
