# Made by scripts/sync_client.py from src/tidemill/client/monitors.py; change that file and run the script.
"""Calls about monitors, what they found, and alerts."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import JsonObject


class MonitorCalls(Waiting):
    """Watch live traffic, accept what it taught, see and acknowledge alerts."""

    def monitors(self) -> Sequence[JsonObject]:
        """Every monitor, with its newest runs."""
        return self._wait(self._client.monitors)

    def monitor(self, name: str) -> JsonObject:
        """A monitor with its newest runs and the trend of its live scores."""
        return self._wait(lambda: self._client.monitor(name))

    def start_monitor(
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
        return self._wait(lambda: self._client.start_monitor(monitor, spec=spec, window=window, from_=from_, to=to))

    def monitor_runs(self, *, monitor: str | None = None, limit: int | None = None) -> Sequence[JsonObject]:
        """Runs, newest first; of one monitor, or of all."""
        return self._wait(lambda: self._client.monitor_runs(monitor=monitor, limit=limit))

    def monitor_run(self, run: str) -> JsonObject:
        """A run by its id or the beginning of it, with what it found and proposes."""
        return self._wait(lambda: self._client.monitor_run(run))

    def accept_samples(self, run: str, *, to: str, ids: Sequence[int] | None = None) -> JsonObject:
        """Make proposals of a run (default: all) samples of a dataset's next version."""
        return self._wait(lambda: self._client.accept_samples(run, to=to, ids=ids))

    def alerts(
        self, *, monitor: str | None = None, status: str | None = None, limit: int | None = None
    ) -> Sequence[JsonObject]:
        """Alerts, newest first; `status` is open or acknowledged."""
        return self._wait(lambda: self._client.alerts(monitor=monitor, status=status, limit=limit))

    def alert(self, alert: str) -> JsonObject:
        """One alert, with what became of all it set off."""
        return self._wait(lambda: self._client.alert(alert))

    def acknowledge_alert(self, alert: str, *, note: str = "") -> JsonObject:
        """Note that somebody has seen it."""
        return self._wait(lambda: self._client.acknowledge_alert(alert, note=note))
