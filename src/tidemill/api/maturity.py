"""How mature the project's way of working is, from what the platform has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Caller
from tidemill.api.router import Router
from tidemill.core.errors import MissingExtra
from tidemill.core.json import JsonObject
from tidemill.govern.maturity import maturity, with_scores
from tidemill.store.census import newest_names, scorers_run, take_census

router = Router(tags=["maturity"])
_MOST_TRACES = 1000


@router.get("/maturity", response_model=None)
async def get_maturity(call: AnyCaller) -> JsonObject:
    """MLOps and GenAIOps apart: a level from 0 to 4, each criterion with its count, and three next steps."""

    def work(db: Database) -> tuple[Mapping[str, int], Mapping[str, str]]:
        return with_scores(take_census(db, call.project), scorers_run(db, call.project)), newest_names(db, call.project)

    census, names = await call.platform.database.read(work)
    traces, known = await _traces(call)
    found = maturity({**census, "traces": traces}, names=names)
    return found if known else {**found, "unknown": ["traces: they are kept, and counted with the extra analytics"]}


async def _traces(call: Caller) -> tuple[int, bool]:
    """How many traces there are, at most a thousand; whether they can be counted here."""
    telemetry = call.platform.telemetry
    try:
        await telemetry.flush()
        found = await telemetry.list_traces(call.project, limit=_MOST_TRACES)
    except MissingExtra:
        return 0, False
    return len(cast("Sequence[object]", found["items"])), True
