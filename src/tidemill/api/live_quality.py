"""The trend of scores of live traces, over all of a monitor's runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio.to_thread

from tidemill.api.platform import Platform
from tidemill.api.times import iso
from tidemill.core.durations import parse_duration
from tidemill.evaluation.scorers.choose import Chosen
from tidemill.monitor.spec import MonitorSpec
from tidemill.store import monitors

_WINDOWS = 30


async def quality_json(platform: Platform, project: str, spec: MonitorSpec, scorers: Sequence[Chosen]) -> dict[str, Any]:
    """`{"bucket_s", "trend": {METRIC: [{"from", "mean", "interval", "n", "errors"}]}}` over the last thirty windows."""
    from tidemill.monitor.quality import trend  # noqa: PLC0415  (statistics)

    assert spec.quality is not None
    bucket_s = parse_duration(spec.quality.bucket, what="bucket")
    since_ns = platform.clock.now_ns() - round(_WINDOWS * parse_duration(spec.window, what="window") * 1e9)
    digests = [each.digest for each in scorers]
    endpoint = (spec.endpoint or "").removeprefix("endpoint/")
    rows = await platform.database.read(
        lambda db: monitors.list_live_scores(db, project, digests, endpoint=endpoint, since_ns=since_ns)
    )
    found = await anyio.to_thread.run_sync(lambda: {each.metric: trend(rows, each, bucket_s=bucket_s) for each in scorers})
    shown = {
        metric: [{"from": iso(int(str(each["from_ns"]))), **{k: v for k, v in each.items() if k != "from_ns"}} for each in rows]
        for metric, rows in found.items()
    }
    return {"bucket_s": bucket_s, "trend": shown}
