"""Calls about pipelines: start a run, follow it, read what its steps wrote, stop it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypedDict, cast

import anyio

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import parse_ref

ENDED = frozenset({"done", "failed", "cancelled"})
_POLL = 0.25


class StepJson(TypedDict, total=False):
    """A step of a run. `cached`: its output was used again from `cached_from`."""

    id: str
    kind: str
    status: str
    cached: bool
    cached_from: str | None
    attempt: int
    key: str | None
    inputs: Json
    output: Json
    digest: str | None
    error: str | None
    note: str
    started: str | None
    ended: str | None
    duration_ms: float | None


class PipelineRunJson(TypedDict, total=False):
    """A run of a pipeline. `waiting`: what it does now is wait for a person or for traffic."""

    id: str
    pipeline: str
    version: str
    digest: str
    status: str
    trigger: str
    who: str
    inputs: Mapping[str, Json]
    error: str | None
    created: str | None
    ended: str | None
    duration_ms: float | None
    steps: Sequence[StepJson]


class PipelineJson(TypedDict, total=False):
    """A pipeline: what starts it, when next, and its last run."""

    name: str
    ref: str
    digest: str
    on: Mapping[str, Json]
    next: str | None
    inputs: Mapping[str, Json]
    last_run: PipelineRunJson | None


class LineJson(TypedDict, total=False):
    """A line that a step wrote; `cursor` asks for those after it."""

    cursor: str
    step: str
    at: str
    line: str


class PipelineCalls(Calls):
    """Pipelines and their runs."""

    async def pipelines(self) -> Sequence[PipelineJson]:
        """Every pipeline."""
        return await self._list("/pipelines", PipelineJson)

    async def run_pipeline(
        self, pipeline: str, inputs: JsonObject | None = None, *, run_id: str | None = None
    ) -> PipelineRunJson:
        """Start a run of the latest version, or of the one named. The same `run_id` again answers the same run."""
        ref = parse_ref(pipeline, kind="pipeline")
        name = ref.name + (f"@{ref.version}" if ref.version else "")
        body: JsonObject = {"inputs": dict(inputs or {}), "id": run_id}
        return cast("PipelineRunJson", await self._line.send("POST", f"/pipelines/{segment(name)}:run", body=body))

    async def pipeline_runs(self, pipeline: str | None = None, *, limit: int | None = None) -> Sequence[PipelineRunJson]:
        """Runs, newest first, without their steps."""
        return await self._list("/pipeline-runs", PipelineRunJson, params={"pipeline": pipeline}, limit=limit)

    async def pipeline_run(self, run: str) -> PipelineRunJson:
        """A run by its id, or the beginning of it."""
        return cast("PipelineRunJson", await self._line.send("GET", f"/pipeline-runs/{segment(run)}"))

    async def cancel_pipeline_run(self, run: str) -> PipelineRunJson:
        """Stop a run; what it finished stays."""
        return cast("PipelineRunJson", await self._line.send("POST", f"/pipeline-runs/{segment(run)}:cancel"))

    async def pipeline_lines(self, run: str, *, step: str | None = None, after: str | None = None) -> Sequence[LineJson]:
        """What the steps wrote, in order; with `after`, what came since that cursor."""
        found: list[LineJson] = []
        cursor = after
        while True:
            params = {"step": step, "cursor": cursor}
            page = cast(
                "Mapping[str, object]", await self._line.send("GET", f"/pipeline-runs/{segment(run)}/logs", params=params)
            )
            found += cast("list[LineJson]", page.get("items", []))
            cursor = cast("str | None", page.get("next"))
            if cursor is None:
                return found

    async def follow_pipeline_run(self, run: str) -> AsyncIterator[PipelineRunJson]:
        """Yield a run whenever it changes; the last one has ended."""
        last: PipelineRunJson = {}
        while True:
            found = await self.pipeline_run(run)
            if found != last:
                yield found
                last = found
            if found.get("status") in ENDED:
                return
            await anyio.sleep(_POLL)

    async def finish_pipeline_run(self, run: str) -> PipelineRunJson:
        """Wait for a run to end, however it ends."""
        last: PipelineRunJson = {}
        async for found in self.follow_pipeline_run(run):
            last = found
        return last
