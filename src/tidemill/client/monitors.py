"""Calls about monitors, what they found, and alerts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.json import JsonObject
from tidemill.core.refs import parse_ref


class MonitorCalls(Calls):
    """Watch live traffic, accept what it taught, see and acknowledge alerts."""

    async def monitors(self) -> Sequence[JsonObject]:
        """Every monitor, with its newest runs."""
        return await self._list("/monitors", JsonObject)

    async def monitor(self, name: str) -> JsonObject:
        """A monitor with its newest runs and the trend of its live scores."""
        found = parse_ref(name, kind="monitor").name
        return cast("JsonObject", await self._line.send("GET", f"/monitors/{segment(found)}"))

    async def start_monitor(
        self,
        monitor: str | None = None,
        *,
        spec: JsonObject | None = None,
        window: str | None = None,
        from_: str | None = None,
        to: str | None = None,
    ) -> str:
        """Start a look by a monitor, or by a `spec` of one that is kept nowhere; the id of the run and of its job.

        `window` is a length of time that ends at `to` (default: now), or begins at `from_`. Times are ISO 8601.
        """
        given = {"monitor": monitor, "spec": spec, "window": window, "from": from_, "to": to}
        body: JsonObject = {key: value for key, value in given.items() if value is not None}
        return str(cast("Mapping[str, object]", await self._line.send("POST", "/monitor-runs", body=body))["run"])

    async def monitor_runs(self, *, monitor: str | None = None, limit: int | None = None) -> Sequence[JsonObject]:
        """Runs, newest first; of one monitor, or of all."""
        return await self._list("/monitor-runs", JsonObject, params={"monitor": monitor}, limit=limit)

    async def monitor_run(self, run: str) -> JsonObject:
        """A run by its id or the beginning of it, with what it found and proposes."""
        return cast("JsonObject", await self._line.send("GET", f"/monitor-runs/{segment(run)}"))

    async def accept_samples(self, run: str, *, to: str, ids: Sequence[int] | None = None) -> JsonObject:
        """Make proposals of a run (default: all) samples of a dataset's next version."""
        body: JsonObject = {"to": to, "ids": None if ids is None else list(ids)}
        return cast("JsonObject", await self._line.send("POST", f"/monitor-runs/{segment(run)}:accept", body=body))

    async def alerts(
        self, *, monitor: str | None = None, status: str | None = None, limit: int | None = None
    ) -> Sequence[JsonObject]:
        """Alerts, newest first; `status` is open or acknowledged."""
        return await self._list("/alerts", JsonObject, params={"monitor": monitor, "status": status}, limit=limit)

    async def alert(self, alert: str) -> JsonObject:
        """One alert, with what became of all it set off."""
        return cast("JsonObject", await self._line.send("GET", f"/alerts/{segment(alert)}"))

    async def acknowledge_alert(self, alert: str, *, note: str = "") -> JsonObject:
        """Note that somebody has seen it."""
        return cast("JsonObject", await self._line.send("POST", f"/alerts/{segment(alert)}:ack", body={"note": note}))
