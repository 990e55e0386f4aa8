"""The lineage graph."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, BigInteger, Column, Integer, String

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_JSON = JSON(none_as_null=True)
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "lineage_nodes",
        Column("id", _SERIAL, primary_key=True, autoincrement=True),
        Column("project", String, nullable=False),
        Column("kind", String, nullable=False),
        Column("key", String, nullable=False),
        Column("label", String, nullable=False),
        Column("attributes", _JSON, nullable=True),
        Column("first_ns", BigInteger, nullable=False),
        Column("last_ns", BigInteger, nullable=False),
    )
    op.create_index("lineage_nodes_once", "lineage_nodes", ["project", "kind", "key"], unique=True)
    op.create_table(
        "lineage_edges",
        Column("id", _SERIAL, primary_key=True, autoincrement=True),
        Column("project", String, nullable=False),
        Column("source", BigInteger, nullable=False),
        Column("target", BigInteger, nullable=False),
        Column("relation", String, nullable=False),
        Column("at_ns", BigInteger, nullable=False),
    )
    op.create_index("lineage_edges_once", "lineage_edges", ["source", "target", "relation"], unique=True)
    op.create_index("lineage_edges_back", "lineage_edges", ["target", "source"])
    op.create_table(
        "lineage_events",
        Column("project", String, primary_key=True),
        Column("run", String, primary_key=True),
        Column("type", String, primary_key=True),
        Column("at", String, primary_key=True),
        Column("job", String, nullable=False),
        Column("body", _JSON, nullable=False),
        Column("received_ns", BigInteger, nullable=False),
    )
