"""Every proposal of the run with what became of it, and every evaluation that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ...archive import CandidateRow, EvaluationRow
from ...errors import GenomeError
from ...genome import Genome
from ...objectives import Objective
from ...search import RunSummary
from ..measures import look_up, reported
from ..quantities import amount
from ..words import letters
from .cells import Cell, cell, figure_cells


@dataclass(frozen=True)
class CandidateLine:
    """A line of the table of all proposals."""

    index: int
    name: str
    parents: str
    operator: str
    generation: int
    validity: str
    repaired: str
    outcome: str
    reason: str
    rung: Cell
    figures: list[Cell]
    letters: str
    genome: str
    on_front: bool


@dataclass(frozen=True)
class Failure:
    """An evaluation that failed, and what it said."""

    label: str
    rung: str
    status: str
    error: str


def candidate_lines(summary: RunSummary) -> list[CandidateLine]:
    """The proposals, in their order."""
    measures = reported(summary)
    entries = {entry.index: entry for entry in summary.entries}
    last: dict[int, EvaluationRow] = {
        row.candidate: row for row in summary.evaluations if row.stage == "search"
    }
    front = {entry.index for entry in summary.front}
    lines = []
    for row in summary.candidates:
        entry = entries.get(row.index)
        outcome, reason = _outcome(row, last.get(row.index))
        lines.append(
            CandidateLine(
                index=row.index,
                name=row.name or "",
                parents=", ".join(f"#{parent}" for parent in row.parents),
                operator=row.operator,
                generation=row.generation,
                validity=row.validity,
                repaired=", ".join(f"{g} ×{n}" if n > 1 else g for g, n in _counted(row.repaired_genes)),
                outcome=outcome,
                reason=reason,
                rung=cell(entry.rung, str(entry.rung + 1)) if entry else Cell(""),
                figures=figure_cells(entry, measures) if entry else _known(row, measures),
                letters=_letters(row.genome),
                genome=row.genome,
                on_front=row.index in front,
            )
        )
    return lines


def failures(summary: RunSummary) -> list[Failure]:
    """The evaluations that failed, in their order; those of repeats and validations too."""
    names = {row.index: row.name or f"#{row.index}" for row in summary.candidates}
    return [
        Failure(names.get(row.candidate, f"#{row.candidate}"), _rung(row), row.status, row.error or "")
        for row in summary.evaluations
        if row.status != "ok"
    ]


def _rung(row: EvaluationRow) -> str:
    return row.stage if row.stage == "validation" else str(row.rung + 1)


def _outcome(row: CandidateRow, last: EvaluationRow | None) -> tuple[str, str]:
    """What became of a proposal, and why."""
    if row.status != "pending":
        return row.status, row.reason or ""
    if last is None:
        return "not evaluated", ""
    return ("measured", "") if last.status == "ok" else (last.status, last.error or "")


def _known(row: CandidateRow, measures: Sequence[Objective]) -> list[Cell]:
    """Figures of a proposal that was never measured: those known before training."""
    figures = ((look_up(m.name, row.values), m.unit) for m in measures)
    return [cell(number, amount(number, unit)) for number, unit in figures]


def _letters(genome: str) -> str:
    """Nothing for a rejected proposal, which may not be a genome at all."""
    try:
        return letters(Genome.parse(genome))
    except GenomeError:
        return ""


def _counted(names: Sequence[str]) -> list[tuple[str, int]]:
    return Counter(names).most_common()
