"""The front beside the baselines: figures, who dominates whom, and the architectures as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ...genome import compile_genome
from ...objectives import Objective
from ...search import Entry, RunSummary
from ..advice import no_front
from ..architecture import draw
from ..comparison import beaten
from ..measures import heading, reported, units
from ..method import seeds_note
from ..words import LEGEND, letters
from .cells import Cell, figure_cells


@dataclass(frozen=True)
class FrontRow:
    """A line of the table of front and baselines. `seeds` is empty for figures of one training."""

    label: str
    role: str
    seeds: str
    figures: list[Cell]
    beats: str
    loses: str


@dataclass(frozen=True)
class Card:
    """An architecture: its picture and figures, and how it stands to the baselines."""

    label: str
    role: str
    drawing: str
    letters: str
    genome: str
    figures: list[tuple[str, str]]
    note: str


@dataclass(frozen=True)
class Front:
    """The section: the table, why there is none (`advice`), and the cards."""

    rung: int
    budget: str
    headings: list[str]
    units: str
    rows: list[FrontRow]
    late: list[str]
    advice: str
    cards: list[Card]
    legend: str


def front(summary: RunSummary) -> Front:
    """The front of a run, and its baselines."""
    measures = reported(summary)
    fair = [entry for entry in summary.baselines if entry.rung == summary.rung]
    return Front(
        rung=summary.rung + 1,
        budget=summary.settings.rungs[summary.rung],
        headings=[heading(measure) for measure in measures],
        units=units(measures),
        rows=[_row(entry, measures, fair, summary) for entry in (*summary.front, *fair)],
        late=[entry.label for entry in summary.baselines if entry.rung != summary.rung],
        advice="" if summary.front else no_front(summary),
        cards=[_card(entry, measures, fair, summary) for entry in (*summary.front, *summary.baselines)],
        legend=LEGEND,
    )


def _row(entry: Entry, measures: Sequence[Objective], fair: Sequence[Entry], summary: RunSummary) -> FrontRow:
    figures, seeds = figure_cells(entry, measures), seeds_note(entry)
    if entry.candidate.role == "baseline":
        return FrontRow(entry.label, "baseline", seeds, figures, "", "")
    beats = [f"{b.baseline.label}{'' if b.sure else ' (~)'}" for b in beaten(entry, fair, summary.objectives)]
    loses = [other.label for other in fair if beaten(other, [entry], summary.objectives)]
    return FrontRow(entry.label, "front", seeds, figures, ", ".join(beats), ", ".join(loses))


def _card(entry: Entry, measures: Sequence[Objective], fair: Sequence[Entry], summary: RunSummary) -> Card:
    row = _row(entry, measures, fair, summary)
    notes = [f"Figures are means, {row.seeds}."] if row.seeds else []
    if entry.rung != summary.rung:
        notes.append(f"Measured at rung {entry.rung + 1} only, so not compared.")
    return Card(
        label=entry.label,
        role=row.role,
        drawing=_drawing(entry, summary),
        letters=letters(entry.genome),
        genome=str(entry.genome),
        figures=[(heading(m), cell.text) for m, cell in zip(measures, row.figures, strict=True)],
        note=" ".join(notes),
    )


def _drawing(entry: Entry, summary: RunSummary) -> str:
    vocabulary = int(summary.run.config.get("task", {}).get("vocabulary_size", 256))
    spec = compile_genome(entry.genome, summary.settings.sizes(vocabulary))
    return draw(entry.genome, spec, f"{entry.label}: {letters(entry.genome)}")
