"""Server processes that share a database, and which of them does a job."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, String

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "processes",
        Column("id", String, primary_key=True),
        Column("host", String, nullable=False),
        Column("pid", Integer, nullable=False),
        Column("blobs", String, nullable=False),
        Column("started_ns", BigInteger, nullable=False),
        Column("heartbeat_ns", BigInteger, nullable=False),
    )
    op.add_column("jobs", Column("owner", String, nullable=True))
    op.add_column("jobs", Column("starts", Integer, nullable=False, server_default="0"))
