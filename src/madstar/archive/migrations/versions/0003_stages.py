"""Evaluations say in which stage of a run they were made: search, repeat or validation.

The same candidate may be trained at the same rung with the same seed in several stages, so the stage
joins the unique key. SQLite cannot change a constraint: there the table is written anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("evaluations") as table:
        table.add_column(sa.Column("stage", sa.String(16), nullable=False, server_default="search"))
        table.drop_constraint("uq_evaluations_run_id_candidate_rung_seed", type_="unique")
        table.create_unique_constraint(
            "uq_evaluations_run_id_candidate_stage_rung_seed",
            ["run_id", "candidate", "stage", "rung", "seed"],
        )
