"""Runs are of a kind, and evaluations may be of a setting at a sweep point.

A benchmark trains the same candidate on many settings of synthetic tasks, each at several points of a
sweep, so both join the unique key. SQLite cannot change a constraint: there the table is written anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("runs") as table:
        table.add_column(sa.Column("kind", sa.String(16), nullable=False, server_default="search"))
    with op.batch_alter_table("evaluations") as table:
        table.add_column(sa.Column("setting", sa.String(64), nullable=False, server_default=sa.text("''")))
        table.add_column(sa.Column("point", sa.String(64), nullable=False, server_default=sa.text("''")))
        table.drop_constraint("uq_evaluations_run_id_candidate_stage_rung_seed", type_="unique")
        table.create_unique_constraint(
            "uq_evaluations_run_id_candidate_stage_rung_seed_setting_point",
            ["run_id", "candidate", "stage", "rung", "seed", "setting", "point"],
        )
