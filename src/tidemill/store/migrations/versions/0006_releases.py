"""Deleted versions, signatures of releases, and what was erased."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, String

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_JSON = JSON(none_as_null=True)


def upgrade() -> None:
    """Make the tables."""
    op.add_column("artifacts", Column("deleted", Integer, nullable=False, server_default="0"))
    op.create_table(
        "deleted_versions",
        Column("project", String, primary_key=True),
        Column("kind", String, primary_key=True),
        Column("name", String, primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("digest", String, nullable=False),
        Column("spec", _JSON, nullable=False),
        Column("refs", _JSON, nullable=False),
        Column("blobs", _JSON, nullable=False),
        Column("description", String, nullable=False),
        Column("tags", _JSON, nullable=False),
        Column("owner", String, nullable=False),
        Column("hermetic", Boolean, nullable=False),
        Column("created_by", String, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("deleted_by", String, nullable=False),
        Column("deleted_ns", BigInteger, nullable=False),
        Column("why", String, nullable=False),
        Column("was_latest", Boolean, nullable=False),
    )
    op.create_index("deleted_versions_by_digest", "deleted_versions", ["project", "digest"])
    _signatures_and_tombstones()


def _signatures_and_tombstones() -> None:
    op.create_table(
        "release_signatures",
        Column("project", String, primary_key=True),
        Column("release", String, primary_key=True),
        Column("public_key", String, nullable=False),
        Column("signature", String, nullable=False),
        Column("signed_ns", BigInteger, nullable=False),
    )
    op.create_table(
        "erased_rows",
        Column("project", String, primary_key=True),
        Column("blob", String, primary_key=True),
        Column("row", String, primary_key=True),
        Column("why", String, nullable=False),
        Column("erased_by", String, nullable=False),
        Column("erased_ns", BigInteger, nullable=False),
    )
