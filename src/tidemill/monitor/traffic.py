"""Live traffic: the traces of an endpoint or a release in a window of time, the newest first."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, cast

from tidemill.core.json import Json, JsonObject

_PAGE: Final = 500


class TraceList(Protocol):
    """Where traces are listed; `tidemill.telemetry.store.Telemetry` is one."""

    async def list_traces(
        self,
        project: str,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        limit: int = 50,
        cursor: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
    ) -> JsonObject:
        """`{"items": […], "next"}`, newest first."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveTrace:
    """One request as it was served."""

    id: str
    input: Json
    output: Json
    failed: bool
    release: str
    endpoint: str
    start_ns: int
    user: str | None = None
    tags: Sequence[str] = ()


async def read_traffic(
    telemetry: TraceList, project: str, *, endpoint: str | None, release: str | None, from_ns: int, to_ns: int, most: int
) -> tuple[list[LiveTrace], bool]:
    """Traces that began in [from_ns, to_ns), at most so many; whether there were more.

    Of a release, only what came by an endpoint counts: evaluations of it are not traffic.
    """
    wanted = f"endpoint={endpoint.removeprefix('endpoint/')}" if endpoint else f"release={release} endpoint!="
    found: list[LiveTrace] = []
    cursor: str | None = None
    while len(found) < most:
        page = await telemetry.list_traces(
            project, filter=wanted, limit=min(_PAGE, most - len(found)), cursor=cursor, from_ns=from_ns, to_ns=to_ns
        )
        found += [_trace(each) for each in cast("Sequence[JsonObject]", page["items"])]
        cursor = cast("str | None", page.get("next"))
        if cursor is None:
            break
    return found, cursor is not None


def _trace(item: JsonObject) -> LiveTrace:
    start = dt.datetime.fromisoformat(str(item["start"]))
    since = start - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
    microseconds = since // dt.timedelta(microseconds=1)
    return LiveTrace(
        id=str(item["id"]),
        input=item.get("input"),
        output=item.get("output"),
        failed=item.get("status") == "error",
        release=str(item.get("release") or ""),
        endpoint=str(item.get("endpoint") or ""),
        start_ns=microseconds * 1000,
        user=cast("str | None", item.get("user")),
        tags=cast("Sequence[str]", item.get("tags") or ()),
    )
