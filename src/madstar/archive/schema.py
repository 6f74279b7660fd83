"""The tables of an archive, as this version of madstar knows them.

Every change here needs a new revision under migrations/versions and a new `REVISION`; a test compares
the two. Candidates and evaluations share the key (run_id, candidate), so SQL written by hand joins them
with `JOIN candidates USING (run_id, candidate)`. Lineage has a table of its own, which a recursive query
can walk in either direction.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from madstar.archive.columns import Curve, Document, Moment, Names, Numbers

REVISION = "0004"
"""The newest revision under migrations/versions."""

VERSION_TABLE = "madstar_version"
"""Where the revision is kept; not Alembic's default, so that another application's table is not met."""

KEY_LENGTH = 128
"""Longest run name and architecture hash, in characters."""


class Base(DeclarativeBase):
    """What all tables share: names for constraints, so that migrations can speak of them."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        }
    )


class Run(Base):
    """One search, or one benchmark."""

    __tablename__ = "runs"
    __table_args__ = (UniqueConstraint("name"),)

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    name: Mapped[str] = mapped_column(String(KEY_LENGTH))
    created: Mapped[datetime] = mapped_column(Moment)
    status: Mapped[str] = mapped_column(String(16))
    config: Mapped[dict[str, Any]] = mapped_column(Document)
    version: Mapped[str] = mapped_column(String(64))
    seconds: Mapped[float] = mapped_column(Double, server_default="0")
    kind: Mapped[str] = mapped_column(String(16), server_default="search")


class Architecture(Base):
    """What genomes compile to, once for all runs; `genome` is the first one seen to give it."""

    __tablename__ = "architectures"

    hash: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    genome: Mapped[str] = mapped_column(Text)
    spec: Mapped[dict[str, Any] | None] = mapped_column(Document, nullable=True)
    created: Mapped[datetime] = mapped_column(Moment)


class Candidate(Base):
    """One proposal; `candidate` is its index within the run."""

    __tablename__ = "candidates"
    __table_args__ = (
        UniqueConstraint("run_id", "candidate"),
        Index(None, "architecture"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    candidate: Mapped[int] = mapped_column(Integer)
    role: Mapped[str] = mapped_column(String(16))
    name: Mapped[str | None] = mapped_column(Text, nullable=True)
    genome: Mapped[str] = mapped_column(Text)
    architecture: Mapped[str | None] = mapped_column(ForeignKey("architectures.hash"), nullable=True)
    operator: Mapped[str] = mapped_column(Text)
    validity: Mapped[str] = mapped_column(String(16))
    repaired_genes: Mapped[tuple[str, ...]] = mapped_column(Names)
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text, nullable=True)
    values: Mapped[dict[str, float]] = mapped_column(Numbers)
    generation: Mapped[int] = mapped_column(Integer)
    proposed_at: Mapped[float] = mapped_column(Double)
    staleness: Mapped[int] = mapped_column(Integer, server_default="0")


class Parent(Base):
    """One step of lineage: `parent` is the `ordinal`-th parent of `candidate`."""

    __tablename__ = "parents"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "candidate"], ["candidates.run_id", "candidates.candidate"]),
        ForeignKeyConstraint(["run_id", "parent"], ["candidates.run_id", "candidates.candidate"]),
        Index(None, "run_id", "parent"),
    )

    run_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    candidate: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    ordinal: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    parent: Mapped[int] = mapped_column(Integer)


class Evaluation(Base):
    """One training of one candidate in one stage, at one rung with one seed; of a setting, if it has one."""

    __tablename__ = "evaluations"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "candidate"], ["candidates.run_id", "candidates.candidate"]),
        UniqueConstraint("run_id", "candidate", "stage", "rung", "seed", "setting", "point"),
        UniqueConstraint("run_id", "sequence"),
    )

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    candidate: Mapped[int] = mapped_column(Integer)
    sequence: Mapped[int] = mapped_column(Integer)
    rung: Mapped[int] = mapped_column(Integer)
    steps: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    seed: Mapped[int] = mapped_column(BigInteger)
    status: Mapped[str] = mapped_column(String(16))
    error: Mapped[str | None] = mapped_column(Text, nullable=True)
    values: Mapped[dict[str, float]] = mapped_column(Numbers)
    errors: Mapped[dict[str, float]] = mapped_column(Numbers)
    curve: Mapped[tuple[tuple[float, float], ...]] = mapped_column(Curve)
    timings: Mapped[dict[str, float]] = mapped_column(Numbers)
    worker: Mapped[int] = mapped_column(Integer)
    started_at: Mapped[float] = mapped_column(Double)
    finished_at: Mapped[float] = mapped_column(Double)
    stage: Mapped[str] = mapped_column(String(16), server_default="search")
    setting: Mapped[str] = mapped_column(String(KEY_LENGTH // 2), server_default=text("''"))
    point: Mapped[str] = mapped_column(String(KEY_LENGTH // 2), server_default=text("''"))
