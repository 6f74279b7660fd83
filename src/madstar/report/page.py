"""What stands in the report's page, as plain data for its template: words and numbers, no markup.

Only drawings are markup; everything else is escaped by the template.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..archive import CandidateRow, EvaluationRow
from ..errors import GenomeError
from ..genome import Genome, compile_genome
from ..objectives import Objective
from ..search import Entry, RunSummary
from .advice import no_front
from .architecture import draw
from .comparison import beaten
from .measures import error, heading, look_up, reported, units, value
from .quantities import amount, duration, plural
from .words import LEGEND, letters


@dataclass(frozen=True)
class Cell:
    """A table's cell: what it says, and the number it is sorted by ("" for the end of the list)."""

    text: str
    order: str


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
class FrontRow:
    """A line of the table of front and baselines."""

    label: str
    role: str
    figures: list[Cell]
    beats: str
    loses: str


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
    rung: int
    status: str
    error: str


@dataclass(frozen=True)
class Share:
    """A count beside others, and its share of them in percent."""

    name: str
    count: int
    percent: float


def page(summary: RunSummary) -> dict[str, Any]:
    """Everything the template names."""
    measures = reported(summary)
    fair = [entry for entry in summary.baselines if entry.rung == summary.rung]
    return {
        "run": summary.run,
        "task": summary.task,
        "facts": _facts(summary),
        "settings": _flat(summary.settings.model_dump(mode="json")),
        "headings": [heading(measure) for measure in measures],
        "units": units(measures),
        "front": [_front_row(entry, measures, fair, summary) for entry in (*summary.front, *fair)],
        "late": [entry.label for entry in summary.baselines if entry.rung != summary.rung],
        "advice": "" if summary.front else no_front(summary),
        "cards": [_card(entry, measures, fair, summary) for entry in (*summary.front, *summary.baselines)],
        "legend": LEGEND,
        "candidates": _candidate_lines(summary, measures),
        "failures": _failures(summary),
        "failure_counts": _shares(summary.failures, len(summary.evaluations)),
        "validity": _validity(summary),
        "repaired_genes": _repaired_genes(summary),
        "rung": summary.rung + 1,
        "budget": summary.settings.rungs[summary.rung],
        "budgets": summary.settings.rungs,
        "objectives": [(heading(o), o.meaning, o.direction) for o in summary.objectives],
    }


def _facts(summary: RunSummary) -> list[tuple[str, str]]:
    settings, run = summary.settings, summary.run
    depth = f"{settings.min_depth}"
    if settings.max_depth > settings.min_depth:
        depth += f" to {settings.max_depth}"
    searched = sum(c.role == "search" for c in summary.candidates)
    front = f"{len(summary.front)} at rung {summary.rung + 1}" if summary.front else "none"
    return [
        ("status", f"{run.status} after {duration(run.seconds)}"),
        ("begun", f"{run.created:%Y-%m-%d %H:%M} UTC"),
        ("front", front),
        ("proposals", f"{searched:,}"),
        ("evaluations", f"{len(summary.evaluations):,}, {summary.failed} failed"),
        ("hypervolume", f"{summary.hypervolume:.4g}" if summary.hypervolumes else "none yet"),
        ("models", f"{depth} layers, width {settings.width}, {plural(settings.heads, 'head')}"),
        ("rungs", ", ".join(settings.rungs)),
        ("constraints", ", ".join(settings.constraints) or "none"),
        ("strategy", f"{settings.strategy}, {settings.mode}, seed {settings.seed}"),
        ("version", f"madstar {run.version}"),
    ]


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as (name, value), those within others with a dot."""
    rows: list[tuple[str, str]] = []
    for key, setting in settings.items():
        if isinstance(setting, dict):
            rows += _flat(setting, f"{prefix}{key}.")
        elif isinstance(setting, list):
            rows.append((prefix + key, ", ".join(map(str, setting)) or "none"))
        else:
            rows.append((prefix + key, "none" if setting is None else f"{setting}"))
    return rows


def _cell(number: float | None, text: str) -> Cell:
    return Cell(text, repr(number) if number is not None and math.isfinite(number) else "")


def _figures(entry: Entry, measures: Sequence[Objective]) -> list[Cell]:
    return [_cell(value(entry, m), amount(value(entry, m), m.unit, error(entry, m))) for m in measures]


def _front_row(
    entry: Entry, measures: Sequence[Objective], fair: Sequence[Entry], summary: RunSummary
) -> FrontRow:
    if entry.candidate.role == "baseline":
        return FrontRow(entry.label, "baseline", _figures(entry, measures), "", "")
    beats = [f"{b.baseline.label}{'' if b.sure else ' (~)'}" for b in beaten(entry, fair, summary.objectives)]
    loses = [other.label for other in fair if beaten(other, [entry], summary.objectives)]
    return FrontRow(entry.label, "front", _figures(entry, measures), ", ".join(beats), ", ".join(loses))


def _card(entry: Entry, measures: Sequence[Objective], fair: Sequence[Entry], summary: RunSummary) -> Card:
    row = _front_row(entry, measures, fair, summary)
    note = ""
    if entry.rung != summary.rung:
        note = f"Measured at rung {entry.rung + 1} only, so not compared."
    return Card(
        label=entry.label,
        role=row.role,
        drawing=_drawing(entry, summary),
        letters=letters(entry.genome),
        genome=str(entry.genome),
        figures=[(heading(m), cell.text) for m, cell in zip(measures, row.figures, strict=True)],
        note=note,
    )


def _drawing(entry: Entry, summary: RunSummary) -> str:
    vocabulary = int(summary.run.config.get("task", {}).get("vocabulary_size", 256))
    spec = compile_genome(entry.genome, summary.settings.sizes(vocabulary))
    return draw(entry.genome, spec, f"{entry.label}: {letters(entry.genome)}")


def _candidate_lines(summary: RunSummary, measures: Sequence[Objective]) -> list[CandidateLine]:
    entries = {entry.index: entry for entry in summary.entries}
    last: dict[int, EvaluationRow] = {row.candidate: row for row in summary.evaluations}
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
                rung=_cell(entry.rung, str(entry.rung + 1)) if entry else Cell("", ""),
                figures=_figures(entry, measures) if entry else _known(row, measures),
                letters=_letters(row.genome),
                genome=row.genome,
                on_front=row.index in front,
            )
        )
    return lines


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
    return [_cell(number, amount(number, unit)) for number, unit in figures]


def _letters(genome: str) -> str:
    """Nothing for a rejected proposal, which may not be a genome at all."""
    try:
        return letters(Genome.parse(genome))
    except GenomeError:
        return ""


def _counted(names: Sequence[str]) -> list[tuple[str, int]]:
    return Counter(names).most_common()


def _failures(summary: RunSummary) -> list[Failure]:
    names = {row.index: row.name or f"#{row.index}" for row in summary.candidates}
    return [
        Failure(names.get(row.candidate, f"#{row.candidate}"), row.rung + 1, row.status, row.error or "")
        for row in summary.evaluations
        if row.status != "ok"
    ]


def _validity(summary: RunSummary) -> list[Share]:
    counts = summary.validity
    total = counts.valid + counts.repaired + counts.rejected
    named = {
        "valid as they were": counts.valid,
        "repaired": counts.repaired,
        "rejected": counts.rejected,
        "duplicates among them": counts.duplicate,
    }
    return _shares(named, total)


def _repaired_genes(summary: RunSummary) -> list[Share]:
    counts = summary.validity
    return _shares(counts.repaired_genes, counts.valid + counts.repaired + counts.rejected)


def _shares(counts: Mapping[str, int], total: int) -> list[Share]:
    return [Share(name, count, 100 * count / total if total else 0.0) for name, count in counts.items()]
