"""Jobs of the platform as spans of its own project: those that fail or take longer than a second, or as the settings say."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from tidemill.api.metrics import OWN_PROJECT
from tidemill.core.extend import JobContext, JobHandler
from tidemill.core.json import Json, JsonObject
from tidemill.telemetry.recorder import Recorder

_SLOW_SECONDS: Final = 1.0


class RecordedJob:
    """Does a job and records it. What a job did for a user, such as a call of a model, is in traces of its own."""

    def __init__(self, kind: str, handler: JobHandler, *, recorder: Recorder, own: str) -> None:
        self._kind = kind
        self._handler = handler
        self._recorder = recorder
        self._own = own

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Do the work; what it raises goes on."""
        attributes: dict[str, Json] = {"tidemill.job": context.job_id, "tidemill.job.project": context.project}
        span = self._recorder.trace(f"job {self._kind}", kind="other", project=OWN_PROJECT, attributes=attributes)
        started = time.perf_counter()
        try:
            result = await self._handler(payload, context)
        except BaseException as error:
            if self._own != "off":
                with_error = str(error) or type(error).__name__
                span.set(error=with_error)
                span.end()
            raise
        if self._own == "all" or (self._own == "slow" and time.perf_counter() - started > _SLOW_SECONDS):
            span.end()
        return result


def recorded(handlers: Mapping[str, JobHandler], *, recorder: Recorder, own: str) -> dict[str, JobHandler]:
    """The same handlers, recorded."""
    return {kind: RecordedJob(kind, each, recorder=recorder, own=own) for kind, each in handlers.items()}
