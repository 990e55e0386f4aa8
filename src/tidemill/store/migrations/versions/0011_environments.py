"""Environments and promotions."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.add_column("endpoints", sa.Column("environment", sa.String(), nullable=True))
    op.create_table(
        "promotions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("environment", sa.String(), nullable=False),
        sa.Column("root", sa.String(), nullable=False),
        sa.Column("release", sa.String(), nullable=False),
        sa.Column("before", sa.String(), nullable=True),
        sa.Column("origin", sa.String(), nullable=True),
        sa.Column("promoted_by", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("promoted_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("promotions_by_environment", "promotions", ["project", "environment", "id"], unique=False)
    op.create_index("promotions_by_release", "promotions", ["project", "release", "environment"], unique=False)
