"""Keys of projects, what was erased of traces, and who must stay erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "project_keys",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
    )
    op.create_table(
        "trace_erasures",
        sa.Column("id", sa.String(), primary_key=True),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("erased_by", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
        sa.Column("done_ns", sa.BigInteger(), nullable=True),
        sa.Column("counts", sa.JSON(none_as_null=True), nullable=True),
    )
    op.create_index("trace_erasures_by_subject", "trace_erasures", ["project", "what", "subject"])
    op.create_table(
        "erased_traces",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("trace_id", sa.String(), primary_key=True),
        sa.Column("erasure", sa.String(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), nullable=False),
    )
