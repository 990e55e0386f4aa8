"""Nothing: roll-ups, prices and questions of numbers keep all they have in the span store and in documents."""

from __future__ import annotations

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Change nothing."""
