"""Events that other systems sent about their runs (OpenLineage), each kept once."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, String, Table

from tidemill.store.tables import metadata

lineage_events = Table(
    "lineage_events",
    metadata,
    Column("project", String, primary_key=True),
    Column("run", String, primary_key=True),
    Column("type", String, primary_key=True),
    Column("at", String, primary_key=True),
    Column("job", String, nullable=False),
    Column("body", JSON(none_as_null=True), nullable=False),
    Column("received_ns", BigInteger, nullable=False),
)
