"""Lineage and validity: operators of variation, the ancestry of the front, genes, staleness, workers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ...objectives import Objective
from ...search import RunSummary
from ...studies.ancestry import Ancestry
from ...studies.lineage import GeneRecord, Lineage, OperatorRecord
from ...studies.progress import Staleness
from ...studies.statistics import Interval, verdict
from ..measures import heading
from ..pedigree import draw_pedigree
from ..quantities import MISSING, duration, plural, scale
from .cells import Cell, Share, cell

_MOST_FOUNDERS = 4
# Columns of the table of operators: what each is called, and those that are left out where nobody has any.
_BEFORE = ("valid", "repaired", "rejected", "duplicate", "infeasible", "trained", "failed")
_AFTER = {"front": "on front", "ancestors": "ancestors"}
_LEFT_OUT_IF_NONE = ("repaired", "rejected", "duplicate", "infeasible", "failed")


@dataclass(frozen=True)
class OperatorLine:
    """A line of the table of operators of variation."""

    operator: str
    cells: list[Cell]


@dataclass(frozen=True)
class ChangeCell:
    """What an operator changed in one objective: mean, interval, "better", "worse" or "tie", children."""

    text: str
    within: str = ""
    verdict: str = ""
    improved: str = "–"


@dataclass(frozen=True)
class ChangeLine:
    """A line of the table of children against their parents, a cell for each objective."""

    operator: str
    changes: list[ChangeCell]


@dataclass(frozen=True)
class AncestryLine:
    """A member of the front and what its ancestry comes to."""

    label: str
    generations: int
    ancestors: int
    founders: str


@dataclass(frozen=True)
class WorkerLine:
    """What a worker did."""

    worker: int
    cells: list[str]


@dataclass(frozen=True)
class LineageSection:
    """The section. `headings` are those of the table of operators, `objectives` of that of changes."""

    headings: list[str]
    objectives: list[str]
    operators: list[OperatorLine]
    compared: list[ChangeLine]
    ancestries: list[AncestryLine]
    drawn: str
    drawing: str
    left_out: str
    genes: list[Share]
    sound_genes: str
    staleness: list[Share]
    association: str
    workers: list[WorkerLine]


def lineage_section(summary: RunSummary, lineage: Lineage) -> LineageSection:
    """The lineage of a run as its page shows it."""
    rungs = range(len(summary.settings.rungs))
    before = [
        fate
        for fate in _BEFORE
        if fate not in _LEFT_OUT_IF_NONE or any(getattr(record, fate) for record in lineage.operators)
    ]
    labels = {entry.index: entry.label for entry in summary.front}
    # The first of the front that has any ancestors: a founder alone makes no picture.
    best = next((each for each in lineage.ancestries if each.generations), None)
    drawing, left_out = draw_pedigree(best) if best else ("", 0)
    troubled = [record for record in lineage.genes if record.valid < record.proposals]
    return LineageSection(
        headings=["proposals", *before, *(f"rung {rung + 1}" for rung in rungs), *_AFTER.values()],
        objectives=[heading(o) for o in summary.objectives],
        operators=[_operator_line(record, before, rungs) for record in lineage.operators],
        compared=[
            ChangeLine(record.operator, [_change(record, objective) for objective in summary.objectives])
            for record in lineage.operators
            if record.changes
        ],
        ancestries=[_ancestry_line(each, labels) for each in lineage.ancestries],
        drawn=labels.get(best.member, "") if best else "",
        drawing=drawing,
        left_out=f"{plural(left_out, 'earlier ancestor')} not drawn." if left_out else "",
        genes=[_gene_share(record) for record in troubled],
        sound_genes=", ".join(r.gene for r in lineage.genes if r not in troubled),
        staleness=_staleness_shares(lineage.staleness),
        association=_association(lineage.staleness),
        workers=[
            WorkerLine(
                record.worker,
                [
                    f"{record.evaluations:,}",
                    f"{record.failed:,}",
                    duration(record.seconds),
                    _of(record.improved),
                ],
            )
            for record in lineage.workers
        ],
    )


def _operator_line(record: OperatorRecord, before: Sequence[str], rungs: Sequence[int]) -> OperatorLine:
    return OperatorLine(
        operator=record.operator,
        cells=[
            cell(record.proposals, f"{record.proposals:,}"),
            *(_share_cell(getattr(record, fate), record.share(fate)) for fate in before),
            *(_share_cell(record.reached[rung], record.share_reached(rung)) for rung in rungs),
            *(_share_cell(getattr(record, fate), record.share(fate)) for fate in _AFTER),
        ],
    )


def _change(record: OperatorRecord, objective: Objective) -> ChangeCell:
    """The change in one objective from parents to child at the first rung."""
    change = record.change(objective.name)
    if change is None:
        return ChangeCell(MISSING)
    mean, low, high = _signed(change.change, objective.unit)
    better = "lower" if objective.direction == "min" else "higher"
    return ChangeCell(
        mean,
        f"{low} to {high}" if low else "",
        verdict(change.change, better) if low else "",
        _of(change.improved),
    )


def _signed(interval: Interval, unit: str) -> tuple[str, str, str]:
    """The mean and both bounds with their signs, in one scale and to the places the error allows.

    The bounds are empty where they are not known.
    """
    known = not math.isnan(interval.low)
    numbers = (interval.mean, interval.low, interval.high) if known else (interval.mean,)
    factor, suffix = scale(max(numbers, key=abs), unit)
    places = min(4, max(0, 1 - math.floor(math.log10(interval.error / factor)))) if interval.error > 0 else 3
    texts = [f"{number / factor:+.{places}f}{suffix}".replace("-", "−") for number in numbers]
    return (texts[0], texts[1], texts[2]) if known else (texts[0], "", "")


def _share_cell(count: int, share: Interval) -> Cell:
    return cell(count, f"{count:,}", _percent(share) if share.n else "")


def _percent(share: Interval) -> str:
    return f"{share.mean:.0%} ({100 * share.low:.0f}–{100 * share.high:.0f})"


def _of(share: Interval) -> str:
    return f"{round(share.mean * share.n)} of {share.n}" if share.n else "–"


def _ancestry_line(each: Ancestry, labels: dict[int, str]) -> AncestryLine:
    founders = list(each.founders.items())
    told = [f"#{index} {share:.0%}" for index, share in founders[:_MOST_FOUNDERS]]
    if len(founders) > _MOST_FOUNDERS:
        told.append(f"{len(founders) - _MOST_FOUNDERS} more")
    return AncestryLine(
        labels.get(each.member, f"#{each.member}"), each.generations, len(each.ancestors) - 1, ", ".join(told)
    )


def _gene_share(record: GeneRecord) -> Share:
    troubled = record.repaired + record.rejected
    kinds = {"repaired": record.repaired, "rejected": record.rejected}
    note = ", ".join(f"{fate} {_percent(record.share(fate))}" for fate, count in kinds.items() if count)
    return Share(record.gene, troubled, 100 * troubled / record.proposals, note)


def _staleness_shares(staleness: Staleness) -> list[Share]:
    total = sum(staleness.counts.values())
    return [Share(f"{stale} under way", n, 100 * n / total) for stale, n in staleness.counts.items()]


def _association(staleness: Staleness) -> str:
    if math.isnan(staleness.tau):
        return (
            "Staleness did not vary, or too few children can be compared with their parents, "
            "so no association can be told."
        )
    return (
        f"Kendall's tau of staleness with how much worse a child is than its parents in "
        f"{staleness.objective}: {staleness.tau:.2f} (p = {staleness.p:.2g}, n = {staleness.pairs}). "
        "Above 0: stale children did worse."
    )
