"""A run as a user looks at it: its figures, its front, its models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..archive import Archive, RunRow
from ..errors import ArchiveError
from ..genome import Genome
from ..liv import Backbone
from ..objectives import find_objective
from ..training import load_weights
from .admission import ALWAYS_KEPT
from .evaluation import TEST, weights_path
from .settings import SearchSettings
from .summary import Entry, RunSummary, summarise

ARCHIVE_NAME = "archive.sqlite"
DEFAULT_HOME = "runs"


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
            return cls(home, archive.run(name, kind="search"))

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
        return self.settings.text.directory(self.home)

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
        units = {"bits_per_byte": "bits per byte", TEST: "bits per byte", "perplexity": "per token"}
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
