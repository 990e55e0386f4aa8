"""Answers of models that are kept for a while."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "kept_answers",
        sa.Column("project", sa.String(), primary_key=True),
        sa.Column("key", sa.String(), primary_key=True),
        sa.Column("context", sa.String(), nullable=True),
        sa.Column("vector", sa.LargeBinary(), nullable=True),
        sa.Column("user", sa.String(), nullable=True),
        sa.Column("session", sa.String(), nullable=True),
        sa.Column("trace", sa.String(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("size", sa.Integer(), nullable=False),
        sa.Column("cost", sa.Float(), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
    )
    op.create_index("kept_answers_by_age", "kept_answers", ["project", "created_ns"])
    op.create_index("kept_answers_by_end", "kept_answers", ["expires_ns"])
    op.create_index("kept_answers_by_context", "kept_answers", ["project", "context"])
    op.create_index("kept_answers_by_user", "kept_answers", ["project", "user"])
