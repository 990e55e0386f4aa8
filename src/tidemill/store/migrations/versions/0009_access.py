"""Projects' members, grants, sessions and what keys may do."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.add_column("projects", sa.Column("description", sa.String(), server_default="", nullable=False))
    op.add_column("projects", sa.Column("created_by", sa.String(), server_default="", nullable=False))
    op.add_column("projects", sa.Column("archived_ns", sa.BigInteger(), nullable=True))
    op.add_column("keys", sa.Column("rights", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("keys", sa.Column("expires_ns", sa.BigInteger(), nullable=True))
    op.add_column("keys", sa.Column("used_ns", sa.BigInteger(), nullable=True))
    op.create_index("keys_by_person", "keys", ["person"], unique=False)
    _create_members()
    _create_sessions()


def _create_members() -> None:
    op.create_table(
        "members",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_service", sa.Boolean(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("disabled_ns", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "grants",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("member", sa.String(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("effect", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=True),
        sa.Column("rights", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("pattern", sa.String(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("grants_by_member", "grants", ["member", "project"], unique=False)
    op.create_index("grants_by_project", "grants", ["project", "id"], unique=False)


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("agent", sa.String(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("seen_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sessions_by_hash", "sessions", ["hash"], unique=True)
    op.create_index("sessions_by_subject", "sessions", ["subject", "id"], unique=False)
    op.create_table(
        "login_links",
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("created_by", sa.String(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("hash"),
    )
