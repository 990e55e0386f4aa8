# Made by scripts/sync_client.py from src/tidemill/client/tune.py; change that file and run the script.
"""Tuning, as calls."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.sync.waiting import Waiting
from tidemill.client.tune import EstimateJson, TuneJson


class TuneCalls(Waiting):
    """Calls for tuning a model that runs here."""

    def estimate_tune(self, tune: str, *, data: str | None = None, output: str | None = None) -> EstimateJson:
        """What a run would take. Raises `Invalid` for data that is unfit, its rows named."""
        return self._wait(lambda: self._client.estimate_tune(tune, data=data, output=output))

    def start_tune(self, tune: str, *, data: str | None = None, output: str | None = None) -> tuple[str, EstimateJson]:
        """Start a run; the id of its job, and what it takes. The same run under way is answered, not started again."""
        return self._wait(lambda: self._client.start_tune(tune, data=data, output=output))

    def tune(self, job_id: str) -> TuneJson:
        """A run by its job's id: how far it is, the loss of each step, the adapter and the model."""
        return self._wait(lambda: self._client.tune(job_id))

    def tunes(self, *, limit: int = 20) -> Sequence[TuneJson]:
        """Runs, newest first."""
        return self._wait(lambda: self._client.tunes(limit=limit))
