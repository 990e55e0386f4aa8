"""Which rights were asked when an answer was made, so that they are asked again before it is repeated."""

from __future__ import annotations

from alembic import op
from sqlalchemy import JSON, Column

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("idempotent_answers", Column("asked", JSON(none_as_null=True), nullable=False, server_default="[]"))
