"""A search as a user has it: begin, resume, look at, build from."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from ..archive import Archive, CandidateRow, EvaluationRow, RunRow
from ..errors import ArchiveError, ConfigurationError, ObjectiveError, OutputError
from ..genome import Genome, sample
from ..genome.variation import settle
from ..liv import Backbone
from ..objectives import STATIC, Subject, find_objective, reference
from ..tasks import TextTask, prepare_text
from ..training import load_weights
from .coordinator import ALWAYS_KEPT, Coordinator, Snapshot, Watcher
from .evaluation import weights_path
from .settings import SearchSettings
from .strategy import proposal_rng
from .summary import Entry, RunSummary, summarise

ARCHIVE_NAME = "archive.sqlite"
DEFAULT_HOME = "runs"
_SAMPLED = 200


class SearchInterrupted(KeyboardInterrupt):
    """Ctrl-C: what was finished is kept. `run` can be resumed by its name."""

    def __init__(self, run: str) -> None:
        super().__init__(run)
        self.run = run


class Silent:
    """A watcher that says nothing."""

    def began(self, run: RunRow, settings: SearchSettings, task: TextTask, resumed: bool) -> None:
        """Say nothing."""

    def evaluated(self, candidate: CandidateRow, evaluation: EvaluationRow) -> None:
        """Say nothing."""

    def tick(self, snapshot: Snapshot) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class FrontEntry:
    """A member of a run's front, or a baseline: its figures, and the model."""

    entry: Entry
    run: Run

    @property
    def genome(self) -> Genome:
        """Its genome."""
        return self.entry.genome

    @property
    def values(self) -> dict[str, float]:
        """Its figures by objective."""
        return self.entry.values

    def build(self, *, trained: bool = True) -> Backbone:
        """The model, with the weights of its highest rung, or fresh ones.

        Raises ArchiveError if trained weights are asked for and their file is gone.
        """
        sizes = self.run.settings.sizes(self.run.vocabulary_size)
        model = self.genome.build(sizes, self.run.settings.seed)
        if trained:
            path = weights_path(self.run.checkpoints, self.entry.index)
            try:
                load_weights(model, path)
            except Exception as error:
                raise ArchiveError(
                    f"the weights of {self.entry.label} in run {self.run.name} cannot be read from {path}: "
                    "build with trained=False for fresh ones"
                ) from error
        return model.eval()

    def __repr__(self) -> str:
        figures = ", ".join(
            f"{o.name}={self.values[o.name]:.4g}" for o in self.run.settings.parsed_objectives
        )
        return f"<{self.entry.label} {self.genome} {figures}>"


class Run:
    """A run in an archive. Figures are read when asked for, so a running search can be looked at."""

    def __init__(self, home: Path, row: RunRow) -> None:
        self.home, self._row = home, row
        self.name, self.settings = row.name, SearchSettings(**row.config["settings"])

    @classmethod
    def open(cls, name: str = "latest", home: str | Path = DEFAULT_HOME) -> Run:
        """The run of that name, or the latest. Raises ArchiveError where there is none."""
        home = Path(home)
        with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
            return cls(home, archive.run(name))

    @property
    def directory(self) -> Path:
        """Where the run's files lie."""
        return self.home / self.name

    @property
    def checkpoints(self) -> Path:
        """Where its weights lie."""
        return self.directory / "checkpoints"

    @property
    def task_directory(self) -> Path:
        """Where its data lie, prepared."""
        return self.home / "data" / _data_key(self.settings)

    @property
    def vocabulary_size(self) -> int:
        """The vocabulary its models have."""
        return int(self._row.config["task"]["vocabulary_size"])

    def summary(self) -> RunSummary:
        """Everything the run has found so far."""
        with Archive.open(self.home / ARCHIVE_NAME, create=False) as archive:
            return summarise(archive, archive.run(self.name))

    @property
    def front(self) -> tuple[FrontEntry, ...]:
        """The front, best in the first objective first."""
        return tuple(FrontEntry(entry, self) for entry in self.summary().front)

    @property
    def baselines(self) -> tuple[FrontEntry, ...]:
        """The baselines that have been measured."""
        return tuple(FrontEntry(entry, self) for entry in self.summary().baselines)

    def figures(self, chosen: FrontEntry) -> dict[str, dict[str, Any]]:
        """A candidate's figures with their errors and units, as an exported model's README says them."""
        units = {"bits_per_byte": "bits per byte", "perplexity": "per token"}
        units |= {
            o.name: o.unit for o in (*self.settings.parsed_objectives, *map(find_objective, ALWAYS_KEPT))
        }
        values = {**chosen.entry.candidate.values, **chosen.values}
        figures: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            figures[name] = {"value": value, "unit": units.get(name, "")}
            if name in chosen.entry.errors:
                figures[name]["error"] = chosen.entry.errors[name]
        return figures

    def entry(self, which: str | None = None) -> FrontEntry:
        """A candidate by number, genome or baseline name; None is the front's first.

        Raises ArchiveError where the run has none such with figures.
        """
        summary = self.summary()
        if which is None:
            if not summary.front:
                raise ArchiveError(f"run {self.name} has no front: none of its evaluations has succeeded")
            return FrontEntry(summary.front[0], self)
        for entry in summary.entries:
            if which.lstrip("#") == str(entry.index) or which in (entry.candidate.name, str(entry.genome)):
                return FrontEntry(entry, self)
        raise ArchiveError(
            f"run {self.name} has no measured candidate '{which}': give a number of its report"
        )


def search(
    data: str | Path = "python-reference",
    objectives: Sequence[str | Callable[[Subject], Any]] = ("quality", "cache"),
    minutes: float | None = None,
    *,
    home: str | Path = DEFAULT_HOME,
    name: str | None = None,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Run:
    """Evolve architectures on a text, and return the run.

    `objectives` are names or functions of a `Subject`; `settings` are those of `SearchSettings`.
    Without `minutes`, `candidates` or `generations` it runs 8 minutes. Raises the errors of
    `madstar.errors` for what cannot be, before anything is written, and `SearchInterrupted` on Ctrl-C.
    """
    named = tuple(o if isinstance(o, str) else reference(o) for o in objectives)
    if minutes is None and not {"candidates", "generations"} & set(settings):
        minutes = 8.0
    chosen = make_settings(data=str(data), objectives=named, minutes=minutes, **settings)
    return begin(chosen, home=home, name=name, watcher=watcher)


def make_settings(**values: Any) -> SearchSettings:
    """Settings from plain values; a wrong one is a ConfigurationError of one line."""
    try:
        return SearchSettings(**values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "settings"
        raise ConfigurationError(f"{where}: {first['msg']} (given: {first['input']!r})") from None


def begin(
    settings: SearchSettings,
    *,
    home: str | Path = DEFAULT_HOME,
    name: str | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Begin a search with given settings, and run it to its end."""
    torch.set_num_threads(1)
    check_feasible(settings)
    home = Path(home)
    _make_directory(home)
    task = _prepare(settings, home)
    with Archive.open(home / ARCHIVE_NAME) as archive:
        row = archive.create_run(
            name,
            {
                "settings": settings.model_dump(mode="json"),
                "task": {
                    "fingerprint": task.fingerprint,
                    "description": task.description,
                    "vocabulary_size": task.vocabulary_size,
                },
            },
        )
        return _carry_on(archive, row, settings, task, home, watcher or Silent(), resumed=False)


def resume(
    name: str = "latest",
    *,
    home: str | Path = DEFAULT_HOME,
    minutes: float | None = None,
    watcher: Watcher | None = None,
) -> Run:
    """Go on with a run where it stopped; `minutes` gives it a new total.

    Raises ArchiveError for an unknown run, or one whose data have changed since.
    """
    torch.set_num_threads(1)
    home = Path(home)
    with Archive.open(home / ARCHIVE_NAME, create=False) as archive:
        row = archive.run(name)
        settings = SearchSettings(**row.config["settings"])
        if minutes is not None:
            settings = make_settings(**{**settings.model_dump(), "minutes": minutes})
            row = archive.update_run(
                row.id, config={**row.config, "settings": settings.model_dump(mode="json")}
            )
        task = _prepare(settings, home)
        if task.fingerprint != row.config["task"]["fingerprint"]:
            raise ArchiveError(
                f"the data of run {row.name} have changed since it began ({settings.data}): "
                "restore them, or begin a new run"
            )
        row = archive.update_run(row.id, status="running")
        return _carry_on(archive, row, settings, task, home, watcher or Silent(), resumed=True)


def check_feasible(settings: SearchSettings) -> None:
    """Raise ObjectiveError if none of many random genomes keeps the constraints that need no measuring."""
    constraints = [c for c in settings.parsed_constraints if c.objective.kind == STATIC]
    if not constraints:
        return
    space = settings.space(256)
    ranges = {c.objective.name: [float("inf"), float("-inf")] for c in constraints}
    for index in range(_SAMPLED):
        rng = proposal_rng(settings.seed, index)
        genome = settle(sample(space, rng), "random", space, rng).genome
        subject = Subject(genome, space.sizes, settings.training.length)
        values = {c.objective.name: c.objective.measure(subject).value for c in constraints}
        if all(c.holds(values[c.objective.name]) for c in constraints):
            return
        for key, value in values.items():
            ranges[key] = [min(ranges[key][0], value), max(ranges[key][1], value)]
    seen = "; ".join(f"{key} ran from {low:,.6g} to {high:,.6g}" for key, (low, high) in ranges.items())
    raise ObjectiveError(
        f"impossible constraints: 0 of {_SAMPLED} sampled genomes kept "
        f"{', '.join(c.text for c in constraints)} ({seen}): relax them, or change depth or width"
    )


def _carry_on(
    archive: Archive,
    row: RunRow,
    settings: SearchSettings,
    task: TextTask,
    home: Path,
    watcher: Watcher,
    *,
    resumed: bool,
) -> Run:
    run = Run(home, row)
    _make_directory(run.checkpoints)
    coordinator = Coordinator(settings, archive, row, task, run.checkpoints, import_paths=[os.getcwd()])
    watcher.began(row, settings, task, resumed)
    status = "failed"
    try:
        coordinator.run(watcher)
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise SearchInterrupted(row.name) from None
    finally:
        archive.update_run(row.id, status=status, add_seconds=coordinator.seconds - row.seconds)
    return run


def _prepare(settings: SearchSettings, home: Path) -> TextTask:
    return prepare_text(
        settings.data,
        directory=home / "data" / _data_key(settings),
        tokenizer=settings.tokenizer,
        length=settings.training.length,
        seed=settings.seed,
        field=settings.field,
    )


def _data_key(settings: SearchSettings) -> str:
    """A name for prepared data: one for each source, tokenizer, length and split."""
    parts = [settings.data, settings.tokenizer, settings.training.length, settings.seed, settings.field]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]


def _make_directory(path: Path) -> None:
    """Make a directory that can be written to; raise OutputError where it cannot be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.write_bytes(b"madstar")
        probe.unlink()
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise OutputError(f"{path} cannot be written to ({reason}): choose another directory") from None
