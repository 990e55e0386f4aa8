"""Tuning, as calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.shapes import JobJson
from tidemill.core.json import Json


class EstimateJson(TypedDict, total=False):
    """What a run takes: `minutes` at `speed` tokens a second, `memory_mb` at its peak; `too_long` are ids of rows."""

    rows: int
    tokens: int
    tokens_per_row: int
    steps: int
    epochs: float
    minutes: float
    memory_mb: int
    speed: float
    measured: bool
    too_long: Sequence[str]
    notes: Sequence[str]


class TuneJson(JobJson, total=False):
    """A run: its job, and what came of it."""

    tune: str
    data: str
    output: str
    estimate: EstimateJson
    judging: Sequence[str]
    losses: Sequence[float]
    adapter: str | None
    model: str | None
    tokens_per_second: float | None
    seconds: float | None
    peak_mb: int | None
    reused: bool | None


class TuneCalls(Calls):
    """Calls for tuning a model that runs here."""

    async def estimate_tune(self, tune: str, *, data: str | None = None, output: str | None = None) -> EstimateJson:
        """What a run would take. Raises `Invalid` for data that is unfit, its rows named."""
        answer = cast("Mapping[str, Json]", await self._line.send("POST", "/tunes:estimate", body=_body(tune, data, output)))
        return cast("EstimateJson", answer["estimate"])

    async def start_tune(self, tune: str, *, data: str | None = None, output: str | None = None) -> tuple[str, EstimateJson]:
        """Start a run; the id of its job, and what it takes. The same run under way is answered, not started again."""
        answer = cast("Mapping[str, Json]", await self._line.send("POST", "/tunes", body=_body(tune, data, output)))
        return str(answer["job"]), cast("EstimateJson", answer["estimate"])

    async def tune(self, job_id: str) -> TuneJson:
        """A run by its job's id: how far it is, the loss of each step, the adapter and the model."""
        return cast("TuneJson", await self._line.send("GET", f"/tunes/{segment(job_id)}"))

    async def tunes(self, *, limit: int = 20) -> Sequence[TuneJson]:
        """Runs, newest first."""
        return await self._list("/tunes", TuneJson, limit=limit)


def _body(tune: str, data: str | None, output: str | None) -> dict[str, Json]:
    return {"tune": tune, "data": data, "output": output}
