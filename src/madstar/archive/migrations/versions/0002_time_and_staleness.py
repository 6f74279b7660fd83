"""Runs know the seconds they spent; candidates know how stale the history was that proposed them."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("runs", sa.Column("seconds", sa.Double(), nullable=False, server_default="0"))
    op.add_column("candidates", sa.Column("staleness", sa.Integer(), nullable=False, server_default="0"))
