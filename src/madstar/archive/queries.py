"""What reports and strategies ask of rows: pure functions, no database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from madstar.archive.rows import (
    CANDIDATE_STATUSES,
    EVALUATION_STATUSES,
    VALIDITIES,
    CandidateRow,
    EvaluationRow,
)


def top_rung(evaluations: Iterable[EvaluationRow]) -> dict[int, EvaluationRow]:
    """For each candidate with an "ok" evaluation in the search, the one at its highest rung.

    Repeats and validations are left out: they train with other seeds and budgets. Of several at that
    rung (other seeds), the one observed first. Candidates are in ascending order.
    """
    best: dict[int, EvaluationRow] = {}
    for row in evaluations:
        if row.status != "ok" or row.stage != "search":
            continue
        held = best.get(row.candidate)
        if held is None or (row.rung, -row.sequence) > (held.rung, -held.sequence):
            best[row.candidate] = row
    return dict(sorted(best.items()))


def by_rung(evaluations: Iterable[EvaluationRow]) -> dict[int, tuple[EvaluationRow, ...]]:
    """The search's evaluations, whatever their status, by ascending rung; within one in the order given."""
    rungs: defaultdict[int, list[EvaluationRow]] = defaultdict(list)
    for row in evaluations:
        if row.stage == "search":
            rungs[row.rung].append(row)
    return {rung: tuple(rungs[rung]) for rung in sorted(rungs)}


def candidate_status_counts(candidates: Iterable[CandidateRow]) -> dict[str, int]:
    """How many candidates have each status; every status is there, if only with 0."""
    counts = Counter(row.status for row in candidates)
    return {status: counts[status] for status in CANDIDATE_STATUSES}


def evaluation_status_counts(evaluations: Iterable[EvaluationRow]) -> dict[str, int]:
    """How many evaluations have each status; every status is there, if only with 0."""
    counts = Counter(row.status for row in evaluations)
    return {status: counts[status] for status in EVALUATION_STATUSES}


@dataclass(frozen=True)
class ValidityCounts:
    """How proposals came out of variation.

    `valid`, `repaired` and `rejected` add up to all candidates; `duplicate` counts those among them whose
    status is "duplicate". `repaired_genes` counts, for each gene, the candidates in which it was
    repaired, the most frequent first.
    """

    valid: int
    repaired: int
    rejected: int
    duplicate: int
    repaired_genes: dict[str, int]


def validity_counts(candidates: Iterable[CandidateRow]) -> ValidityCounts:
    """Count validities, duplicates and repaired genes."""
    rows = tuple(candidates)
    validity = Counter(row.validity for row in rows)
    genes = Counter(gene for row in rows for gene in dict.fromkeys(row.repaired_genes))
    return ValidityCounts(
        **{name: validity[name] for name in VALIDITIES},
        duplicate=sum(row.status == "duplicate" for row in rows),
        repaired_genes=dict(sorted(genes.items(), key=lambda item: (-item[1], item[0]))),
    )
