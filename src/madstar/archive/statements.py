"""The SQL that the store's methods share, each a step within a transaction that the caller holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import IntegrityError

from madstar.archive.rows import CandidateRow, EvaluationRow
from madstar.archive.schema import Architecture, Base, Candidate, Evaluation, Parent
from madstar.errors import ArchiveError


def insert_row(connection: Connection, table: type[Base], fields: Mapping[str, Any]) -> int:
    """Insert one row and return its id."""
    key: Any = connection.execute(insert(table).values(dict(fields))).inserted_primary_key
    return int(key[0])


def known_candidates(connection: Connection, run_id: int, indices: set[int]) -> set[int]:
    """Those of the `indices` that the run has."""
    chosen = select(Candidate.candidate).where(Candidate.run_id == run_id, Candidate.candidate.in_(indices))
    return set(connection.scalars(chosen))


def check_new_candidate(connection: Connection, row: CandidateRow, run_name: str) -> None:
    """Raise ArchiveError where the run has a candidate of that index, or lacks one of its parents."""
    known = known_candidates(connection, row.run_id, {row.index, *row.parents})
    if row.index in known:
        raise ArchiveError(f"run {run_name!r} has a candidate {row.index} already: nothing is proposed twice")
    if missing := set(row.parents) - known:
        raise ArchiveError(
            f"run {run_name!r} has no candidate {min(missing)}, which candidate {row.index} names as "
            "a parent: add parents first"
        )


def check_new_evaluation(connection: Connection, row: EvaluationRow, run_name: str) -> None:
    """Raise ArchiveError where the run lacks the candidate, or has this evaluation of it."""
    if not known_candidates(connection, row.run_id, {row.candidate}):
        raise ArchiveError(f"run {run_name!r} has no candidate {row.candidate}: add it before evaluating it")
    if is_evaluated(connection, row):
        where = f"at rung {row.rung} with seed {row.seed}"
        if row.stage != "search":
            where += f" in stage {row.stage}"
        if row.setting:
            where += f" of setting {row.setting} at {row.point}"
        raise ArchiveError(
            f"run {run_name!r} has candidate {row.candidate} {where} already: nothing runs twice"
        )


def keep_architecture(connection: Connection, row: CandidateRow, spec: Mapping[str, Any] | None) -> None:
    """Insert the candidate's architecture if it is new, with the candidate's genome."""
    if connection.scalar(select(Architecture.hash).where(Architecture.hash == row.architecture)) is not None:
        return
    fields = {
        "hash": row.architecture,
        "genome": row.genome,
        "spec": None if spec is None else dict(spec),
        "created": datetime.now(UTC),
    }
    try:
        with connection.begin_nested():
            connection.execute(insert(Architecture).values(fields))
    except IntegrityError:
        # On a server, a search in another run may have found it in this very moment.
        if connection.scalar(select(Architecture.hash).where(Architecture.hash == row.architecture)) is None:
            raise


def insert_parents(connection: Connection, row: CandidateRow) -> None:
    """Insert the candidate's lineage, in order."""
    for ordinal, parent in enumerate(row.parents):
        step = {"run_id": row.run_id, "candidate": row.index, "ordinal": ordinal, "parent": parent}
        connection.execute(insert(Parent).values(step))


def parents_of(connection: Connection, run_id: int) -> dict[int, tuple[int, ...]]:
    """The parents, in order, of each candidate that has any."""
    chosen = select(Parent.candidate, Parent.parent).where(Parent.run_id == run_id)
    parents: defaultdict[int, list[int]] = defaultdict(list)
    for candidate, parent in connection.execute(chosen.order_by(Parent.candidate, Parent.ordinal)):
        parents[candidate].append(parent)
    return {candidate: tuple(found) for candidate, found in parents.items()}


def is_evaluated(connection: Connection, row: EvaluationRow) -> bool:
    """Whether the run has an evaluation of the same candidate, stage, rung, seed, setting and point."""
    same = select(Evaluation.id).where(
        Evaluation.run_id == row.run_id,
        Evaluation.candidate == row.candidate,
        Evaluation.stage == row.stage,
        Evaluation.rung == row.rung,
        Evaluation.seed == row.seed,
        Evaluation.setting == row.setting,
        Evaluation.point == row.point,
    )
    return connection.scalar(same) is not None


def next_sequence(connection: Connection, run_id: int) -> int:
    """The sequence number of the run's next evaluation; right only while the run is locked."""
    last = connection.scalar(select(func.max(Evaluation.sequence)).where(Evaluation.run_id == run_id))
    return 0 if last is None else int(last) + 1
