"""What to say where a run has no front: why, and what to do."""

from __future__ import annotations

from ..search import RunSummary
from .quantities import one_line, plural

_REMEDIES = {
    "diverged": "lower the learning rate",
    "timeout": "raise the time limit, or give smaller rungs",
    "memory": "raise the memory limit, or lower width, length or batch",
    "crash": "see the errors of the failures; where memory is short, use fewer workers",
    "error": "see the errors of the failures, and try your own objectives on one model first",
    "infeasible": "relax the constraints",
}


def no_front(summary: RunSummary) -> str:
    """Why a run has no front and what to do about it, in one or two sentences."""
    role = {candidate.index: candidate.role for candidate in summary.candidates}
    failed = [
        row for row in summary.evaluations if role.get(row.candidate) == "search" and row.status != "ok"
    ]
    if failed:
        commonest = max(_REMEDIES, key=lambda status: sum(row.status == status for row in failed))
        last = one_line(next((row.error for row in reversed(failed) if row.error), ""))
        saying = f" The last said: {last}." if last else ""
        return (
            f"No front: {plural(len(failed), 'evaluation')} of candidates failed and none succeeded, "
            f"mostly with '{commonest}'.{saying} What to do: {_REMEDIES[commonest]}."
        )
    if summary.run.status == "running":
        return "No front yet: no candidate has been evaluated to the end of its first rung. Look again later."
    return (
        "No front: the run ended before a candidate was evaluated to the end of its first rung. "
        "What to do: resume it with more minutes, or begin one with smaller rungs."
    )
