"""What makes deleted rows leave the disk soon: parts that nothing needs any more are looked for every few seconds.

Erasure and retention rewrite parts without the rows that go; without this the old ones would lie there for minutes.
"""

from __future__ import annotations

from typing import Final

from tidemill.telemetry.engine.migrate import Step

_SOON: Final = (
    "old_parts_lifetime = 1, cleanup_delay_period = 2, max_cleanup_delay_period = 5, cleanup_delay_period_random_add = 0"
)
TABLES: Final = ("spans", "scores", "metric_points", "vectors", "rollup_user_hour")
"""The tables that may hold what is personal."""

# A table looks for such parts by its settings of when it was loaded, so it is loaded again.
PRIVACY: Final = tuple(
    Step(f"ALTER TABLE {table} MODIFY SETTING {_SOON}", f"DETACH TABLE {table}", f"ATTACH TABLE IF NOT EXISTS {table}")
    for table in TABLES
)
