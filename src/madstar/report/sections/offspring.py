"""What became of proposals and evaluations, in counts."""

from __future__ import annotations

from dataclasses import dataclass

from ...search import RunSummary
from .cells import Share, shares


@dataclass(frozen=True)
class Offspring:
    """Validity of all proposals, the genes that were repaired or rejected for, failed evaluations."""

    validity: list[Share]
    genes: list[Share]
    failures: list[Share]


def offspring(summary: RunSummary) -> Offspring:
    """The counts of a run."""
    counts = summary.validity
    total = counts.valid + counts.repaired + counts.rejected
    named = {
        "valid as they were": counts.valid,
        "repaired": counts.repaired,
        "rejected": counts.rejected,
        "duplicates among them": counts.duplicate,
    }
    return Offspring(
        validity=shares(named, total),
        genes=shares(counts.repaired_genes, total),
        failures=shares(summary.failures, len(summary.evaluations)),
    )
