"""Costs of stored spans made anew, when a price was wrong or a project has agreed on others."""

from __future__ import annotations

from typing import Any, Final, cast

from pydantic import Field

from tidemill.api.caller import AnyCaller, Body
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.api.times import since_ns
from tidemill.core.errors import Invalid
from tidemill.core.extend import JobContext
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Progress
from tidemill.telemetry.reprice import Repriced, Wanted

router = Router(tags=["traces"])
KIND: Final = "reprice"
"""The kind of job."""


class NewPrices(Body):
    """Which spans: of models that match `model`, where `*` stands for anything, from one time to another.

    `overrule` also takes those whose cost the sender gave, which is kept beside the new one. `dry_run` only counts.
    """

    model: str = Field(min_length=1, max_length=300)
    from_: str = Field(alias="from")
    to: str | None = None
    overrule: bool = False
    dry_run: bool = False


@router.post("/spans:reprice", status_code=202)
async def reprice_spans(call: AnyCaller, body: NewPrices) -> dict[str, Any]:
    """Start the job; its result says how many spans change, and their cost before and after."""
    now_ns = call.platform.clock.now_ns()
    start, end = since_ns(body.from_, now_ns=now_ns), since_ns(body.to, now_ns=now_ns)
    if start is None or start >= (now_ns if end is None else end):
        raise Invalid("the time asked for ends before it begins", hint="Give a `from` that is before `to`.")
    payload: JsonObject = {
        "model": body.model, "from": start, "to": now_ns if end is None else end, "overrule": body.overrule,
        "dry_run": body.dry_run,
    }  # fmt: skip
    job = await call.platform.jobs.submit(KIND, payload, project=call.project, by=call.who)
    return {"job": job.id}


class RepriceJob:
    """The job: started again after a kill it finds what is left to change, and counts only that."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Make the costs of the payload's spans anew by the project's prices and the list's."""
        wanted = Wanted(
            project=context.project, model=str(payload["model"]), from_ns=cast("int", payload["from"]),
            to_ns=cast("int", payload["to"]), overrule=bool(payload["overrule"]),
        )  # fmt: skip
        done = Repriced()
        async for done in self._platform.telemetry.reprice(wanted, dry_run=bool(payload["dry_run"])):
            await context.report(Progress(done=done.spans, unit="spans"))
        return done.as_json()
