"""What archives have measured: architectures as entries, with a measurement for each task and budget.

Figures of a search are those that training gives (`quality`, and other objectives that were trained for),
the mean over the trainings of one architecture with one budget on one text; and what running the untrained
model gives (`prefill`, `decode`, `memory`), once in each run, latencies for each processor apart. Those of a
benchmark are MAD's scores: of each task, and their mean, where a whole benchmark of one seed or more is
there.
"""

from __future__ import annotations

import json
import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import DataError, GenomeError, GraphError, LayerError
from .entries import Entry, entry_of
from .tracing import genome_graph, stack_graph
from .wanted import Wanted

if TYPE_CHECKING:
    from ...archive import Archive, EvaluationRow, RunRow
    from ...genome import Sizes
    from ...graph.model import Graph

ARCHIVE = "archive.sqlite"
_TRAINED = ("quality", "mad")
AMOUNTS = {"prefill": "s", "decode": "s", "memory": "bytes"}
"""Objectives that are measured by running the untrained model, and their units."""


@dataclass(frozen=True)
class Figure:
    """One measurement of an architecture; see `datasets.examples.Measured`."""

    task: str
    budget: str
    value: float
    error: float | None
    seeds: int


@dataclass
class Candidate:
    """An architecture that was measured: how to trace it, what it is, what was found of it."""

    key: str
    source: str
    facts: dict[str, Any]
    identity: str
    trace: Callable[[], Graph]
    figures: list[Figure] = field(default_factory=list)


def read_archives(homes: Sequence[Path]) -> list[Candidate]:
    """What the archives below these homes have measured, by key; figures of several archives add up.

    Raises DataError for homes in which nothing was measured, saying what to run; ArchiveError for one that
    is no archive.
    """
    found: dict[str, Candidate] = {}
    values: dict[tuple[str, str, str], list[tuple[float, float | None]]] = defaultdict(list)
    for home in homes:
        for key, candidate, figures in _read(home):
            found.setdefault(key, candidate)
            for task, budget, value, error in figures:
                values[key, task, budget].append((value, error))
    if homes and not values:
        where = ", ".join(map(str, homes))
        raise DataError(
            f"nothing was measured in {where} yet: run madstar search or madstar benchmark with "
            f"--home {homes[0]} first, or leave out --archive"
        )
    for (key, task, budget), pairs in sorted(values.items()):
        found[key].figures.append(_figure(task, budget, pairs))
    return [found[key] for key in sorted(found) if found[key].figures]


def of_candidates(candidates: Sequence[Candidate]) -> list[Wanted]:
    """The candidates as entries; one that cannot be traced comes to nothing."""
    return [Wanted(each.key, each.identity, partial(_entry, each)) for each in candidates]


def _entry(candidate: Candidate) -> Entry | None:
    try:
        graph = candidate.trace()
    except (GraphError, GenomeError, LayerError):
        return None
    return entry_of(graph, candidate.key, candidate.source, facts=candidate.facts)


def _figure(task: str, budget: str, pairs: Sequence[tuple[float, float | None]]) -> Figure:
    """The mean over trainings; its error is over them where there are two or more, else what one says."""
    values = [value for value, _ in pairs]
    known = [error for _, error in pairs if error is not None]
    error: float | None = math.sqrt(sum(e * e for e in known)) / len(known) if known else None
    if len(values) > 1:
        error = max(statistics.stdev(values) / math.sqrt(len(values)), error or 0.0)
    return Figure(task, budget, statistics.fmean(values), error, len(values))


Row = tuple[str, str, float, float | None]


def _read(home: Path) -> Iterator[tuple[str, Candidate, list[Row]]]:
    from ...archive import Archive

    place = home if home.suffix == ".sqlite" else home / ARCHIVE
    with Archive.open(place, create=False) as archive:
        for run in archive.runs():
            if run.kind == "benchmark":
                yield from _benchmark(archive, run)
            elif run.kind == "design":
                yield from _design(archive, run, place.parent)
            else:
                yield from _search(archive, run)


def _search(archive: Archive, run: RunRow) -> Iterator[tuple[str, Candidate, list[Row]]]:
    """A search's candidates. Equal text, data and training make budgets equal."""
    settings: dict[str, Any] = run.config.get("settings") or {}
    text = Path(str(settings.get("data", ""))).name or "text"
    known = {candidate.index: candidate for candidate in archive.candidates(run.id)}
    by_candidate: dict[int, list[EvaluationRow]] = defaultdict(list)
    for row in archive.evaluations(run.id):
        if row.status == "ok":
            by_candidate[row.candidate].append(row)
    vocabulary = run.config.get("vocabulary_size")
    for index, rows in sorted(by_candidate.items()):
        candidate = known[index]
        spec = archive.spec(candidate.architecture) if candidate.architecture else None
        sizes = _sizes(settings, (spec or {}).get("vocabulary_size") or vocabulary or 256)
        found: list[Row] = []
        for row in rows:
            for name in _TRAINED:
                for value_name in (each for each in row.values if each.partition("@")[0] == name):
                    value = row.values[value_name]
                    if math.isfinite(value):
                        error = row.errors.get(value_name)
                        task = f"{value_name}/{text}" if name == "quality" else value_name
                        found.append((task, _budget(settings, row), value, error))
        found += _once(rows[0], str(run.config.get("processor") or ""))
        if found:
            yield (*_of_genome(candidate.genome, sizes), found)


def _once(row: EvaluationRow, processor: str) -> Iterator[Row]:
    """What was measured of the untrained model; all evaluations of a run have the same."""
    for name, value in row.values.items():
        objective = name.partition("@")[0]
        if objective in AMOUNTS and math.isfinite(value):
            where = f" on {processor}" if processor and AMOUNTS[objective] == "s" else ""
            yield name + where, "", value, row.errors.get(name)


def _sizes(settings: dict[str, Any], vocabulary_size: int) -> Sizes:
    import dataclasses

    from ...genome import Sizes

    names = {each.name for each in dataclasses.fields(Sizes)}
    given = {name: settings[name] for name in names if name in settings}
    return Sizes(**{**given, "vocabulary_size": int(vocabulary_size)})


def _budget(settings: dict[str, Any], row: EvaluationRow) -> str:
    training = settings.get("training") or {}
    rate = training.get("learning_rate")
    return f"{row.steps} steps, {row.tokens} tokens" + (f", lr {rate:g}" if rate else "")


def _of_genome(text: str, sizes: Sizes) -> tuple[str, Candidate]:
    key = f"genome:{text}?width={sizes.width}&heads={sizes.heads}&vocabulary_size={sizes.vocabulary_size}"
    facts = {"genome": text, "inputs": "text: tokens", "width": sizes.width}
    return key, Candidate(key, "genome", facts, str(sizes), partial(genome_graph, text, sizes))


def _design(archive: Archive, run: RunRow, home: Path) -> Iterator[tuple[str, Candidate, list[Row]]]:
    """A design run's candidates: genomes, and blocks in MAD's language model, their files in its folder."""
    settings: dict[str, Any] = run.config.get("settings") or {}
    text = Path(str(settings.get("data", ""))).name or "text"
    sizes = _sizes(settings, run.config.get("vocabulary_size") or 256)
    known = {candidate.index: candidate for candidate in archive.candidates(run.id)}
    for row in archive.evaluations(run.id):
        value = row.values.get("bits_per_byte")
        if row.status != "ok" or row.stage != "search" or value is None or not math.isfinite(value):
            continue
        candidate = known[row.candidate]
        error = row.errors.get("bits_per_byte")
        found: list[Row] = [(f"quality/{text}", _budget(settings, row), value, error)]
        if candidate.genome.startswith("graph:"):
            file = home / run.name / "graphs" / f"{candidate.architecture}.graph.json"
            made = _of_block(candidate.architecture, file, settings)
            if made is not None:
                yield (*made, found)
        else:
            yield (*_of_genome(candidate.genome, sizes), found)


def _of_block(key: str, file: Path, settings: dict[str, Any]) -> tuple[str, Candidate] | None:
    """A block of a design run as a candidate; None where its file is gone."""
    from ...protocol.architecture import LayerStack

    width, pairs = int(settings.get("width", 64)), int(settings.get("pairs", 2))
    try:
        stack = LayerStack.of([f"graph:{file}", "swiglu"] * pairs, width)
    except LayerError:
        return None
    name = f"layers:{pairs} x (graph:{key} swiglu)?dim={width}"
    facts = {"block": key, "inputs": "text: tokens", "width": width}
    return name, Candidate(name, "layer", facts, key, partial(stack_graph, stack.to_dict()))


def _benchmark(archive: Archive, run: RunRow) -> Iterator[tuple[str, Candidate, list[Row]]]:
    """A benchmark's scores of one architecture, as `madstar benchmark` shows them."""
    from ...protocol.scores import scores_of

    architecture = run.config.get("architecture") or {}
    if architecture.get("kind") not in ("layers", "genome"):
        return  # a user's own function: it is not run here
    scores = scores_of(run, archive.evaluations(run.id))
    budget = f"{scores.plan.protocol.name} {scores.plan.budget.name}"
    found: list[Row] = []
    for task in scores.tasks:
        if math.isfinite(task.value):
            error = task.error if math.isfinite(task.error) else None
            found.append((f"mad/{task.task}", budget, task.value, error))
    whole = all(setting.complete for task in scores.tasks for setting in task.settings)
    if whole and found and math.isfinite(scores.mean):
        found.append(("mad", budget, scores.mean, scores.error if math.isfinite(scores.error) else None))
    if not found:
        return
    label = str(run.config.get("label") or run.name)
    width = architecture.get("dim") or architecture.get("width")
    key = f"layers:{label}?dim={width}"
    facts = {"architecture": architecture, "inputs": "text: tokens", "width": width}
    identity = json.dumps(architecture, sort_keys=True)
    yield key, Candidate(key, "layer", facts, identity, partial(stack_graph, architecture)), found
