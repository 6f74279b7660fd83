"""Between row values and table columns: checks before writing, and the shapes given back on reading."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from madstar.archive import rows
from madstar.archive.rows import CandidateRow, EvaluationRow, RunRow
from madstar.archive.schema import KEY_LENGTH
from madstar.errors import ArchiveError


def check_candidate(row: CandidateRow) -> CandidateRow:
    """The row as reading would give it back: plain numbers and tuples. Raises ArchiveError."""
    what = f"candidate {row.index}"
    check_word(f"{what}: role", row.role, rows.ROLES)
    check_word(f"{what}: validity", row.validity, rows.VALIDITIES)
    check_word(f"{what}: status", row.status, rows.CANDIDATE_STATUSES)
    if row.index < 0:
        raise ArchiveError(f"{what}: the index must be 0 or more")
    if len(row.architecture) > KEY_LENGTH:
        raise ArchiveError(f"{what}: an architecture's hash may have {KEY_LENGTH} characters at most")
    return replace(
        row,
        run_id=int(row.run_id),
        index=int(row.index),
        parents=tuple(int(parent) for parent in row.parents),
        repaired_genes=tuple(row.repaired_genes),
        reason=clean_text(row.reason),
        values=_floats(f"{what}: values", row.values),
        staleness=int(row.staleness),
        generation=int(row.generation),
        proposed_at=_time(f"{what}: proposed_at", row.proposed_at),
    )


def check_evaluation(row: EvaluationRow) -> EvaluationRow:
    """The row as reading would give it back: plain numbers and tuples. Raises ArchiveError."""
    what = f"evaluation of candidate {row.candidate}"
    check_word(f"{what}: stage", row.stage, rows.STAGES)
    for name in ("setting", "point"):
        if len(getattr(row, name)) > KEY_LENGTH // 2:
            raise ArchiveError(f"{what}: {name} may have {KEY_LENGTH // 2} characters at most")
    check_word(f"{what}: status", row.status, rows.EVALUATION_STATUSES)
    return replace(
        row,
        run_id=int(row.run_id),
        candidate=int(row.candidate),
        rung=int(row.rung),
        steps=int(row.steps),
        tokens=int(row.tokens),
        seed=int(row.seed),
        error=clean_text(row.error),
        values=_floats(f"{what}: values", row.values),
        errors=_floats(f"{what}: errors", row.errors),
        curve=_curve(f"{what}: curve", row.curve),
        timings=_floats(f"{what}: timings", row.timings),
        worker=int(row.worker),
        started_at=_time(f"{what}: started_at", row.started_at),
        finished_at=_time(f"{what}: finished_at", row.finished_at),
    )


def run_row(record: Any) -> RunRow:
    """From a record of table runs."""
    return RunRow(**record._mapping)


def run_columns(row: RunRow) -> dict[str, Any]:
    """To the columns of table runs, all but the key."""
    fields = asdict(row)
    del fields["id"]
    return fields


def candidate_row(record: Any, parents: Sequence[int]) -> CandidateRow:
    """From a record of table candidates and the indices in table parents."""
    fields = dict(record._mapping)
    fields["index"] = fields.pop("candidate")
    fields["architecture"] = fields["architecture"] or ""
    return CandidateRow(**fields, parents=tuple(parents))


def candidate_columns(row: CandidateRow) -> dict[str, Any]:
    """To the columns of table candidates, all but the key."""
    fields = asdict(row)
    del fields["id"], fields["parents"]
    fields["candidate"] = fields.pop("index")
    fields["architecture"] = fields["architecture"] or None
    return fields


def evaluation_row(record: Any) -> EvaluationRow:
    """From a record of table evaluations."""
    return EvaluationRow(**record._mapping)


def evaluation_columns(row: EvaluationRow) -> dict[str, Any]:
    """To the columns of table evaluations, all but the key."""
    fields = asdict(row)
    del fields["id"]
    return fields


def check_word(what: str, word: str, known: Sequence[str]) -> str:
    """Return `word` if it is one of the `known`; raises ArchiveError otherwise."""
    if word not in known:
        raise ArchiveError(f"{what} {word!r} is unknown: use one of {', '.join(known)}")
    return word


def clean_text(text: str | None) -> str | None:
    """A message as every database can hold it: what it cannot (NUL, lone surrogates) is spelled out.

    Messages come from anywhere, a worker's dying words included, and must never fail to be kept.
    """
    if text is None:
        return None
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\x00", "\\x00")


def check_seconds(what: str, seconds: float) -> float:
    """Return a span of time as a float. Raises ArchiveError for one that is negative or not finite."""
    if not (math.isfinite(seconds) and seconds >= 0):
        raise ArchiveError(f"{what} {seconds} is not a span of time: give seconds, 0 or more")
    return float(seconds)


def _floats(what: str, values: Mapping[str, float]) -> dict[str, float]:
    if not all(isinstance(name, str) for name in values):
        raise ArchiveError(f"{what}: names must be strings")
    try:
        return {name: float(value) for name, value in values.items()}
    except (TypeError, ValueError, OverflowError) as failure:
        raise ArchiveError(f"{what} must all be numbers: {failure}") from failure


def _curve(what: str, curve: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    try:
        return tuple((float(step), float(loss)) for step, loss in curve)
    except (TypeError, ValueError, OverflowError) as failure:
        raise ArchiveError(f"{what} must be pairs of numbers: {failure}") from failure


def _time(what: str, seconds: float) -> float:
    if not math.isfinite(seconds):
        raise ArchiveError(f"{what} is {seconds}: give the seconds since 1970")
    return float(seconds)
