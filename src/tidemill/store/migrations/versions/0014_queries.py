"""Filters of traces under a name."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, String

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "saved_queries",
        Column("project", String, primary_key=True),
        Column("name", String, primary_key=True),
        Column("filter", String, nullable=False),
        Column("description", String, nullable=False),
        Column("created_by", String, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("changed_ns", BigInteger, nullable=False),
    )
