"""Programs applied to graphs: one edit after the other, each checked, all or nothing, and undone.

An edited graph remembers in its fact `edits` what was done to which graph, so that it can be made again
without the last edit where the original is at hand.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...errors import EditError, GraphError
from ..folding import fold
from ..hashing import structural_hash
from ..inference import Inference
from ..model import Graph
from ..unfolding import unfold
from ..walk import parameters
from .bench import Bench, Touched
from .reading import Edit, read_program
from .recipes import Recipe

EDITS = "edits"
"""The fact in which an edited graph says what was done to it."""

# What was counted when a model was traced is no longer so.
_COUNTED = frozenset(
    "parameter_tensors parameter_tensors_touched untouched tensors tensors_touched aten_nodes function_nodes "  # noqa: SIM905
    "opaque sizes_not_fitted seconds peak_memory_bytes".split()
)


@dataclass(frozen=True)
class Step:
    """One edit that was made: as it was written, the paths it touched, where new weights come from."""

    edit: Mapping[str, Any]
    paths: tuple[str, ...]
    recipes: Mapping[str, Recipe]
    before: Graph
    after: Graph


@dataclass(frozen=True)
class Edited:
    """A graph and the edits that made it of an original.

    `unfolded` is the graph with every call written out; `graph` folds it and says in its facts what was done.
    """

    original: Graph
    unfolded: Graph
    steps: tuple[Step, ...] = ()
    address: str = ""

    @property
    def graph(self) -> Graph:
        """The edited graph, folded, with its history among the facts; the original where nothing was done."""
        return self.written(None)

    def written(self, folder: Path | None) -> Graph:
        """As `graph`; the files that its history names are given relative to the folder it is written to."""
        if not self.steps:
            return self.original
        folded = fold(self.unfolded)
        facts = {key: value for key, value in folded.facts.items() if key not in _COUNTED}
        facts[EDITS] = self._history(folder)
        return _with_weights(replace(folded, facts=facts), self.original)

    def _history(self, folder: Path | None) -> list[dict[str, Any]]:
        known = self.original.facts.get(EDITS)
        made = {
            "original": {"name": self.original.name, "file": _relative(self.address, folder)},
            "before": structural_hash(unfold(self.original)),
            "after": structural_hash(self.unfolded),
            "edits": [_plain(dict(step.edit), folder) for step in self.steps],
        }
        return [*(known if isinstance(known, list) else []), made]

    @property
    def touched(self) -> tuple[str, ...]:
        """The paths that the edits touched, each once."""
        return tuple(dict.fromkeys(path for step in self.steps for path in step.paths))

    def apply(self, program: Any, inference: Inference | None = None) -> Edited:
        """With more edits: what `read_program` takes, or gives. Raises EditError; nothing is changed."""
        edits = program if _read(program) else read_program(program)
        graph = self.unfolded
        inference = inference or Inference(graph.symbols)
        steps = list(self.steps)
        for number, edit in enumerate(edits, 1):
            name = edit.plain.get("edit", edit.plain.get("rewrite", ""))
            try:
                touched: Touched = edit.operation.apply(Bench(graph, inference))
            except EditError as error:
                raise EditError(f"edit {number} ({name}): {error}") from None
            except GraphError as error:
                raise EditError(f"edit {number} ({name}): would leave no sound graph: {error}") from None
            steps.append(Step(edit.plain, touched.paths, touched.recipes, graph, touched.graph))
            graph = touched.graph
        return replace(self, unfolded=graph, steps=tuple(steps))

    def undo(self, count: int = 1) -> Edited:
        """Without the last edits. Raises EditError where there are not so many."""
        if not 1 <= count <= len(self.steps):
            raise EditError(f"{len(self.steps)} edits were made; {count} cannot be undone")
        return replace(self, unfolded=self.steps[-count].before, steps=self.steps[:-count])


def edit(graph: Graph, program: Any = (), address: str = "") -> Edited:
    """A graph edited by a program: a document of schema "madstar.edits/1", or a list of edits as data.

    `address` is the file of the graph, to be remembered. Raises EditError, naming the number of the edit and
    the place; the graph given is never changed.
    """
    begun = Edited(graph, unfold(graph), (), address)
    return begun.apply(program) if program else begun


def undone(graph: Graph, original: Graph, folder: str | Path = ".", address: str = "") -> Edited:
    """An edited graph made again from its original without its last edit.

    `folder` is where the edited graph stands, from which its history names files; `address` the original's.

    Raises EditError where the graph was never edited, or this is not what it was made from.
    """
    made = last_edits(graph)
    found = structural_hash(unfold(original))
    if found != made["before"]:
        raise EditError(
            f"{graph.name!r} was made from a graph with the hash {made['before']}, but that of "
            f"{original.name!r} "
            f"is {found}; give the original as it was"
        )
    edits = made["edits"]
    begun = Edited(original, unfold(original), (), address)
    if len(edits) == 1:
        return begun
    return begun.apply(read_program(edits[:-1], "the graph's own edits", folder))


def last_edits(graph: Graph) -> dict[str, Any]:
    """What a graph says of the edits last made to it. Raises EditError where it says nothing."""
    known = graph.facts.get(EDITS)
    last = known[-1] if isinstance(known, list) and known else None
    if last is None:
        raise EditError(f"{graph.name!r} was not edited, as far as it says; there is nothing to undo")
    fits = (
        isinstance(last, dict)
        and isinstance(last.get("edits"), list)
        and last["edits"]
        and isinstance(last.get("original"), dict)
        and isinstance(last.get("before"), str)
    )
    if not fits:
        raise EditError(f"{graph.name!r}: its fact {EDITS!r} is no history of edits; it cannot be undone")
    return dict(last)


def _read(program: Any) -> bool:
    return isinstance(program, Sequence) and bool(program) and all(isinstance(each, Edit) for each in program)


def _plain(value: Any, folder: Path | None) -> Any:
    """An edit as JSON data, with the files that it names relative to a folder."""
    if isinstance(value, Graph):
        raise EditError(
            "a graph given as a value cannot stand in a file's history; save it and name the file"
        )
    if isinstance(value, dict):
        found = {key: _plain(part, folder) for key, part in value.items()}
        if isinstance(name := value.get("graph"), str):
            found["graph"] = _relative(name, folder)
        return found
    return [_plain(part, folder) for part in value] if isinstance(value, (list, tuple)) else value


def _relative(file: str, folder: Path | None) -> str:
    """A graph's file as seen from a folder; anything else, such as "hf:llama", as it stands."""
    if folder is None or not file.endswith((".json", ".json.gz")) or file.startswith("hf:"):
        return file
    return Path(os.path.relpath(file, folder)).as_posix()


def _with_weights(graph: Graph, original: Graph) -> Graph:
    """The files that hold the weights are named as long as they hold all of them."""
    if not graph.weights:
        return graph
    held = {path: p.shape for path, p in parameters(original).items()}
    if all(held.get(path) == p.shape for path, p in parameters(graph).items() if p.trained):
        return graph
    return replace(graph, weights=(), facts={**graph.facts, "weights_before_edits": list(graph.weights)})
