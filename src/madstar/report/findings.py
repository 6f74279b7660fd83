"""All that is known of a run, gathered for its report."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MadstarError
from ..search import Run, RunSummary
from .html import write_html

if TYPE_CHECKING:
    from ..studies.lineage import Lineage
    from ..studies.motifs import MotifStudy
    from ..studies.retrained import Validation

PAGE_NAME = "report.html"
# Fewer winners than this share too much by chance for motifs to tell anything.
_FEWEST_WINNERS = 8
# Random genomes and replicates of a report's motifs: fewer than those of a study, to write it quickly.
_BACKGROUND, _REPLICATES = 500, 100


@dataclass(frozen=True)
class Findings:
    """A run's summary and lineage; its latest validation and its motifs, where it has any."""

    summary: RunSummary
    lineage: Lineage
    validation: Validation | None
    motifs: MotifStudy | None

    def write(self, path: str | Path) -> Path:
        """Write the page. Raises OutputError where it cannot be written."""
        return write_html(
            self.summary, path, lineage=self.lineage, validation=self.validation, motifs=self.motifs
        )

    def to_dict(self) -> dict[str, Any]:
        """One JSON document: the summary's, with "lineage" and, where there is one, "validation"."""
        document = {**self.summary.to_dict(), "lineage": self.lineage.to_dict()}
        if self.validation is not None:
            document["validation"] = self.validation.to_dict()
        return document


def gather(run: Run) -> Findings:
    """What is known of a run, from its rows."""
    # Here, because they take a while to load and a search in a terminal needs none of them.
    from ..studies.lineage import lineage_of
    from ..studies.validation import read_validation

    summary = run.summary()
    validated = bool(summary.run.config.get("validations"))
    return Findings(
        summary,
        lineage_of(summary),
        read_validation(run) if validated else None,
        _motifs(summary),
    )


def full_report(run: Run, path: str | Path | None = None) -> Path:
    """Write a run's page with all its sections, and return where it is.

    It is report.html in the run's directory unless a path is given. Raises OutputError where it
    cannot be written.
    """
    return gather(run).write(path or run.directory / PAGE_NAME)


def _motifs(summary: RunSummary) -> MotifStudy | None:
    """What recurs in the winners; None where there are too few, or where it cannot be told."""
    from ..studies.motifs import motifs
    from ..studies.winners import winners_of

    if not summary.front:
        return None
    try:
        if len(winners_of(summary)) < _FEWEST_WINNERS:
            return None
        return motifs([summary], background=_BACKGROUND, replicates=_REPLICATES)
    except MadstarError:  # no random genome of the space keeps the run's constraints
        return None
    except Exception as error:  # The report must not be lost with one of its sections.
        warnings.warn(f"no motifs in the report: {error!r}", stacklevel=2)
        return None
