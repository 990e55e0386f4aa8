"""What files last said of each artifact."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, String

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "applied",
        Column("project", String, primary_key=True, nullable=False),
        Column("kind", String, primary_key=True, nullable=False),
        Column("name", String, primary_key=True, nullable=False),
        Column("environment", String, primary_key=True, nullable=False),
        Column("path", String, nullable=False),
        Column("digest", String, nullable=False),
        Column("described", String, nullable=False),
        Column("applied_by", String, nullable=False),
        Column("applied_ns", BigInteger, nullable=False),
    )
