"""What keys may call and use, and what was used by whom on which day."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table, and the columns of keys."""
    op.add_column("keys", sa.Column("models", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("keys", sa.Column("limits", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("keys", sa.Column("team", sa.String(), nullable=True))
    op.create_table(
        "usage_days",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("subject", sa.String(), primary_key=True),
        sa.Column("day", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.BigInteger(), nullable=False),
        sa.Column("input_tokens", sa.BigInteger(), nullable=False),
        sa.Column("output_tokens", sa.BigInteger(), nullable=False),
        sa.Column("cost", sa.BigInteger(), nullable=False),
    )
