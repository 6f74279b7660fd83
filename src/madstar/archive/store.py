"""The archive: everything tried is a row."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import Connection, false, select, update

from madstar.archive import naming, records, rows, statements
from madstar.archive.columns import decode_document, encode_document
from madstar.archive.failures import readable, told_plainly
from madstar.archive.location import Location, check_file, connect, held, writing
from madstar.archive.migration import prepare
from madstar.archive.rows import CandidateRow, EvaluationRow, RunRow
from madstar.archive.schema import Architecture, Base, Candidate, Evaluation, Run
from madstar.errors import ArchiveError
from madstar.version import __version__

_RUNS = Base.metadata.tables[Run.__tablename__]
_ARCHITECTURES = Base.metadata.tables[Architecture.__tablename__]
_CANDIDATES = Base.metadata.tables[Candidate.__tablename__]
_EVALUATIONS = Base.metadata.tables[Evaluation.__tablename__]


class Archive:
    """All runs, candidates and evaluations, in one SQLite file or on one database server.

    Consistency: each method is one transaction. What it returns or raises is final: a method that has
    returned has committed, one that has raised has changed nothing. A method that reads several tables
    sees no row whose companions are missing. Rows are only ever added, save for a run's status, config
    and seconds and a candidate's status and reason.

    Who may call it at once: any number of processes may read while others write, and readers never wait.
    Writers take turns, each for milliseconds; one that waits longer than `busy_seconds` gets an
    ArchiveError and may try again. Two searches may write different runs into one archive. Two searches
    must not write the same run: rows would stay consistent (indices and sequence numbers are unique), but
    neither search would know what the other did. Threads may share an Archive; a forked process may not
    use its parent's and must open its own.

    Durability: a row is on disk before the method returns (SQLite in WAL mode with synchronous=FULL). A
    process killed at any moment loses no row it was told of, and a power cut loses none either, unless
    the disk claims to have written what it has not. The files ending in -wal and -shm beside an archive
    belong to it: copy all of them, or copy when no process has it open.

    Where: WAL needs memory shared between all processes, so an SQLite archive must not lie on a network
    file system that several machines use at once; give a PostgreSQL URL there.
    """

    def __init__(self, location: Location, busy_seconds: float) -> None:
        self._where = str(location)
        self._engine = connect(location, busy_seconds)
        self._writer = writing(self._engine)
        self._process = os.getpid()
        self._closed = False
        self._held: tuple[int, int] | None = None

    @classmethod
    def open(cls, location: str | Path, *, create: bool = True, busy_seconds: float = 30.0) -> Archive:
        """Open the archive at a file path or SQLAlchemy URL, upgrading an older schema.

        With `create`, a missing archive is made, with its directory. Before an upgrade a SQLite file is
        copied to `<name>.bak-<revision>`. `busy_seconds` bounds the wait for other writers. Raises
        ArchiveError where there is no archive, or one that is damaged, foreign, newer than this madstar or
        locked; OutputError where the place cannot be written.
        """
        place = Location.parse(location)
        if place.path is not None:
            check_file(place, place.path, create)
        archive = cls(place, busy_seconds)
        try:
            with told_plainly(archive._where):
                prepare(archive._engine, place, create)
            if place.path is not None:
                archive._held = held.add(place.path)
        except BaseException:
            archive.close()
            raise
        return archive

    def close(self) -> None:
        """Let go of all connections. Closing again does nothing."""
        self._closed = True
        self._engine.dispose(close=self._process == os.getpid())
        if self._held is not None:
            held.remove(self._held)
            self._held = None

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Runs

    def create_run(
        self,
        name: str | None,
        config: Mapping[str, Any],
        *,
        kind: str = "search",
        token: Callable[[int], str] = secrets.token_hex,
    ) -> RunRow:
        """Add a run with status "running"; a `name` of None makes one up from the date (in UTC).

        `token(n)` gives 2n random hexadecimal digits, for names that must be repeatable. Raises
        ArchiveError for a name that is taken or cannot be used, or a config that is not JSON data.
        """
        document = encode_document(dict(config), "config")
        if name is not None:
            naming.check_name(name)
        now = datetime.now(UTC)
        with self._write() as connection:
            taken = connection.scalars(select(Run.name)).all()
            if name in taken:
                raise ArchiveError(f"{self._where} has a run named {name!r} already: choose another name")
            row = RunRow(
                id=0,
                name=name or naming.generate_name(now.date(), taken, token),
                created=now,
                status="running",
                config=decode_document(document),
                version=__version__,
                seconds=0.0,
                kind=records.check_word("run kind", kind, rows.RUN_KINDS),
            )
            return replace(row, id=statements.insert_row(connection, Run, records.run_columns(row)))

    def run(self, name_or_id: str | int, *, kind: str | None = None) -> RunRow:
        """The run of that name or id; "latest" is the one created last. Raises ArchiveError.

        With a `kind`, one of another kind is an error, and "latest" passes over it.
        """
        with self._read() as connection:
            if name_or_id == naming.LATEST:
                chosen = select(_RUNS).order_by(Run.id.desc()).limit(1)
                chosen = chosen if kind is None else chosen.where(Run.kind == kind)
            elif isinstance(name_or_id, int) or name_or_id.isdecimal():
                key = int(name_or_id)
                chosen = select(_RUNS).where(Run.id == key if abs(key) < 2**31 else false())
            else:
                chosen = select(_RUNS).where(Run.name == name_or_id)
            found = connection.execute(chosen).first()
            if found is None:
                known = select(Run.name).order_by(Run.id)
                names = connection.scalars(known if kind is None else known.where(Run.kind == kind)).all()
                raise naming.unknown_run(name_or_id, names, self._where)
            row = records.run_row(found)
        if kind not in (None, row.kind):
            raise ArchiveError(f"run {row.name!r} is a {row.kind}, not a {kind}: name another run")
        return row

    def runs(self) -> tuple[RunRow, ...]:
        """All runs, oldest first."""
        with self._read() as connection:
            return tuple(
                records.run_row(found) for found in connection.execute(select(_RUNS).order_by(Run.id))
            )

    def update_run(
        self,
        run_id: int,
        *,
        status: str | None = None,
        add_seconds: float | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> RunRow:
        """Change what is given and return the run. `add_seconds` adds to the seconds spent."""
        changes: dict[str, Any] = {}
        if status is not None:
            changes["status"] = records.check_word("run status", status, rows.RUN_STATUSES)
        if add_seconds is not None:
            changes["seconds"] = Run.seconds + records.check_seconds("add_seconds", add_seconds)
        if config is not None:
            encode_document(dict(config), "config")  # here, where a complaint can name it
            changes["config"] = dict(config)
        with self._write() as connection:
            self._check_run(connection, run_id, lock=True)
            if changes:
                connection.execute(update(Run).where(Run.id == run_id).values(changes))
            return records.run_row(connection.execute(select(_RUNS).where(Run.id == run_id)).one())

    # Candidates

    def add_candidate(
        self,
        run_id: int,
        *,
        index: int,
        genome: str,
        architecture: str,
        operator: str,
        role: str = "search",
        name: str | None = None,
        parents: Sequence[int] = (),
        validity: str = "valid",
        repaired_genes: Sequence[str] = (),
        status: str = "pending",
        reason: str | None = None,
        values: Mapping[str, float] | None = None,
        staleness: int = 0,
        generation: int = 0,
        proposed_at: float | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> CandidateRow:
        """Add a proposal; see `CandidateRow` for the fields. `proposed_at` is by default now.

        A new `architecture` is kept with this genome and `spec` (JSON data that describes it). Raises
        ArchiveError for an index that is taken, unknown parents, or values that cannot be stored.
        """
        row = records.check_candidate(
            CandidateRow(
                id=0,
                run_id=run_id,
                index=index,
                role=role,
                name=name,
                genome=genome,
                architecture=architecture,
                operator=operator,
                parents=tuple(parents),
                validity=validity,
                repaired_genes=tuple(repaired_genes),
                status=status,
                reason=reason,
                values=dict(values or {}),
                staleness=staleness,
                generation=generation,
                proposed_at=time.time() if proposed_at is None else proposed_at,
            )
        )
        encode_document(spec, "spec")  # here, where a complaint can name it
        with self._write() as connection:
            run_name = self._check_run(connection, run_id, lock=True)
            statements.check_new_candidate(connection, row, run_name)
            if row.architecture:
                statements.keep_architecture(connection, row, spec)
            row = replace(
                row, id=statements.insert_row(connection, Candidate, records.candidate_columns(row))
            )
            statements.insert_parents(connection, row)
        return row

    def set_candidate_status(self, run_id: int, index: int, status: str, reason: str | None = None) -> None:
        """Change a candidate's status and reason. Raises ArchiveError for an unknown candidate or status."""
        records.check_word("candidate status", status, rows.CANDIDATE_STATUSES)
        change = {"status": status, "reason": records.clean_text(reason)}
        with self._write() as connection:
            run_name = self._check_run(connection, run_id, lock=True)
            one = (Candidate.run_id == run_id) & (Candidate.candidate == index)
            if connection.execute(update(Candidate).where(one).values(change)).rowcount != 1:
                raise ArchiveError(f"run {run_name!r} has no candidate {index}: add it first")

    def candidates(self, run_id: int) -> tuple[CandidateRow, ...]:
        """All candidates of a run in index order."""
        with self._read() as connection:
            self._check_run(connection, run_id)
            chosen = select(_CANDIDATES).where(Candidate.run_id == run_id).order_by(Candidate.candidate)
            found = connection.execute(chosen).all()
            parents = statements.parents_of(connection, run_id)
            return tuple(records.candidate_row(record, parents.get(record.candidate, ())) for record in found)

    # Architectures

    def architecture(self, hash: str) -> str:
        """The first genome that gave the architecture of that hash. Raises ArchiveError if unknown."""
        return str(self._architecture(hash).genome)

    def spec(self, hash: str) -> dict[str, Any] | None:
        """The JSON data kept with an architecture, if any. Raises ArchiveError if it is unknown."""
        spec: dict[str, Any] | None = self._architecture(hash).spec
        return spec

    def _architecture(self, hash: str) -> Any:
        with self._read() as connection:
            found = connection.execute(select(_ARCHITECTURES).where(Architecture.hash == hash)).first()
        if found is None:
            raise ArchiveError(f"{self._where} has no architecture {hash!r}: check the hash")
        return found

    def known_architectures(self, run_id: int) -> frozenset[str]:
        """The hashes of all candidates of a run, whatever became of them."""
        with self._read() as connection:
            self._check_run(connection, run_id)
            chosen = select(Candidate.architecture).where(Candidate.run_id == run_id).distinct()
            return frozenset(hash for hash in connection.scalars(chosen) if hash is not None)

    # Evaluations

    def add_evaluation(
        self,
        run_id: int,
        *,
        candidate: int,
        rung: int,
        steps: int,
        tokens: int,
        seed: int,
        status: str,
        started_at: float,
        finished_at: float,
        error: str | None = None,
        values: Mapping[str, float] | None = None,
        errors: Mapping[str, float] | None = None,
        curve: Sequence[tuple[float, float]] = (),
        timings: Mapping[str, float] | None = None,
        worker: int = 0,
        stage: str = "search",
        setting: str = "",
        point: str = "",
    ) -> EvaluationRow:
        """Add what became of one training, with the run's next sequence number; see `EvaluationRow`.

        Raises ArchiveError for an unknown candidate, for one evaluated already in this stage at this
        rung with this seed, and for values that cannot be stored.
        """
        row = records.check_evaluation(
            EvaluationRow(
                id=0,
                run_id=run_id,
                candidate=candidate,
                sequence=0,
                stage=stage,
                setting=setting,
                point=point,
                rung=rung,
                steps=steps,
                tokens=tokens,
                seed=seed,
                status=status,
                error=error,
                values=dict(values or {}),
                errors=dict(errors or {}),
                curve=tuple(curve),
                timings=dict(timings or {}),
                worker=worker,
                started_at=started_at,
                finished_at=finished_at,
            )
        )
        with self._write() as connection:
            run_name = self._check_run(connection, run_id, lock=True)
            statements.check_new_evaluation(connection, row, run_name)
            row = replace(row, sequence=statements.next_sequence(connection, run_id))
            return replace(
                row, id=statements.insert_row(connection, Evaluation, records.evaluation_columns(row))
            )

    def evaluations(self, run_id: int) -> tuple[EvaluationRow, ...]:
        """All evaluations of a run in the order in which they were added."""
        with self._read() as connection:
            self._check_run(connection, run_id)
            chosen = select(_EVALUATIONS).where(Evaluation.run_id == run_id).order_by(Evaluation.sequence)
            return tuple(records.evaluation_row(found) for found in connection.execute(chosen))

    # Transactions

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        self._check_usable()
        with told_plainly(self._where), readable(self._where), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[Connection]:
        self._check_usable()
        with told_plainly(self._where), self._writer.begin() as connection:
            yield connection

    def _check_usable(self) -> None:
        if self._closed:
            raise ArchiveError(f"{self._where} has been closed: open it again")
        if self._process != os.getpid():
            raise ArchiveError(f"{self._where} was opened by another process: open it again in this one")

    def _check_run(self, connection: Connection, run_id: int, lock: bool = False) -> str:
        """Return the run's name; with `lock`, let no one else write the run until the transaction ends."""
        # SQLite ignores FOR UPDATE, but there a writer has locked the whole archive already.
        chosen = select(Run.name).where(Run.id == run_id)
        name = connection.scalar(chosen.with_for_update() if lock else chosen)
        if name is None:
            names = connection.scalars(select(Run.name).order_by(Run.id)).all()
            raise naming.unknown_run(run_id, names, self._where)
        return name
