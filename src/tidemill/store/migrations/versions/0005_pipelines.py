"""Runs of pipelines, and schedules."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, BigInteger, Boolean, Column, Integer, String

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_JSON = JSON(none_as_null=True)
_SERIAL = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "pipeline_runs",
        Column("id", String, primary_key=True),
        Column("project", String, nullable=False),
        Column("pipeline", String, nullable=False),
        Column("version", Integer, nullable=False),
        Column("digest", String, nullable=False),
        Column("status", String, nullable=False),
        Column("inputs", _JSON, nullable=False),
        Column("trigger", String, nullable=False),
        Column("trigger_key", String, nullable=False),
        Column("who", String, nullable=False),
        Column("role", String, nullable=False),
        Column("error", String, nullable=True),
        Column("owner", String, nullable=True),
        Column("cancel_requested", Boolean, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("updated_ns", BigInteger, nullable=False),
        Column("ended_ns", BigInteger, nullable=True),
    )
    op.create_index("pipeline_runs_once", "pipeline_runs", ["project", "pipeline", "trigger_key"], unique=True)
    op.create_index("pipeline_runs_by_project", "pipeline_runs", ["project", "id"])
    op.create_index("pipeline_runs_by_status", "pipeline_runs", ["status"])
    _steps()
    op.create_table(
        "schedules",
        Column("project", String, primary_key=True),
        Column("kind", String, primary_key=True),
        Column("name", String, primary_key=True),
        Column("trigger", String, primary_key=True),
        Column("rule", String, nullable=False),
        Column("mark_ns", BigInteger, nullable=False),
        Column("last_ns", BigInteger, nullable=True),
    )


def _steps() -> None:
    op.create_table(
        "pipeline_steps",
        Column("run", String, primary_key=True),
        Column("step", String, primary_key=True),
        Column("position", Integer, nullable=False),
        Column("project", String, nullable=False),
        Column("kind", String, nullable=False),
        Column("status", String, nullable=False),
        Column("attempt", Integer, nullable=False),
        Column("key", String, nullable=True),
        Column("inputs", _JSON, nullable=True),
        Column("output", _JSON, nullable=True),
        Column("output_digest", String, nullable=True),
        Column("cached_from", String, nullable=True),
        Column("error", String, nullable=True),
        Column("note", String, nullable=False),
        Column("started_ns", BigInteger, nullable=True),
        Column("ended_ns", BigInteger, nullable=True),
    )
    op.create_index("pipeline_steps_by_key", "pipeline_steps", ["project", "key"])
    op.create_table(
        "pipeline_logs",
        Column("id", _SERIAL, primary_key=True, autoincrement=True),
        Column("run", String, nullable=False),
        Column("step", String, nullable=False),
        Column("at_ns", BigInteger, nullable=False),
        Column("line", String, nullable=False),
    )
    op.create_index("pipeline_logs_by_run", "pipeline_logs", ["run", "id"])
