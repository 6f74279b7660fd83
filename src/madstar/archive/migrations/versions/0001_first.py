"""The first schema.

Column types are spelled out as the database stores them, not taken from schema.py, which will change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "runs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("version", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sa.UniqueConstraint("name", name="uq_runs_name"),
    )
    op.create_table(
        "architectures",
        sa.Column("hash", sa.String(128), nullable=False),
        sa.Column("genome", sa.Text(), nullable=False),
        sa.Column("spec", sa.JSON(), nullable=True),
        sa.Column("created", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_architectures"),
    )
    _create_candidates()
    _create_parents()
    _create_evaluations()


def _create_candidates() -> None:
    op.create_table(
        "candidates",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("candidate", sa.Integer(), nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("genome", sa.Text(), nullable=False),
        sa.Column("architecture", sa.String(128), nullable=True),
        sa.Column("operator", sa.Text(), nullable=False),
        sa.Column("validity", sa.String(16), nullable=False),
        sa.Column("repaired_genes", sa.JSON(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("proposed_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_candidates"),
        sa.UniqueConstraint("run_id", "candidate", name="uq_candidates_run_id_candidate"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_candidates_run_id"),
        sa.ForeignKeyConstraint(["architecture"], ["architectures.hash"], name="fk_candidates_architecture"),
    )
    op.create_index("ix_candidates_architecture", "candidates", ["architecture"])


def _create_parents() -> None:
    op.create_table(
        "parents",
        sa.Column("run_id", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("candidate", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("ordinal", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("parent", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "candidate", "ordinal", name="pk_parents"),
        sa.ForeignKeyConstraint(
            ["run_id", "candidate"],
            ["candidates.run_id", "candidates.candidate"],
            name="fk_parents_run_id_candidate",
        ),
        sa.ForeignKeyConstraint(
            ["run_id", "parent"],
            ["candidates.run_id", "candidates.candidate"],
            name="fk_parents_run_id_parent",
        ),
    )
    op.create_index("ix_parents_run_id_parent", "parents", ["run_id", "parent"])


def _create_evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("candidate", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("steps", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("values", sa.JSON(), nullable=False),
        sa.Column("errors", sa.JSON(), nullable=False),
        sa.Column("curve", sa.JSON(), nullable=False),
        sa.Column("timings", sa.JSON(), nullable=False),
        sa.Column("worker", sa.Integer(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("finished_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_evaluations"),
        sa.UniqueConstraint(
            "run_id", "candidate", "rung", "seed", name="uq_evaluations_run_id_candidate_rung_seed"
        ),
        sa.UniqueConstraint("run_id", "sequence", name="uq_evaluations_run_id_sequence"),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], name="fk_evaluations_run_id"),
        sa.ForeignKeyConstraint(
            ["run_id", "candidate"],
            ["candidates.run_id", "candidates.candidate"],
            name="fk_evaluations_run_id_candidate",
        ),
    )
