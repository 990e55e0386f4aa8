"""Traces, as calls: listed, shown, searched, exported, followed; sessions, users, scores, saved queries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypedDict, cast
from urllib.parse import urlencode

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.score_shapes import TraceScoreJson
from tidemill.client.shapes import SpanJson, TraceJson, UsageJson
from tidemill.core.json import Json, JsonObject, parse_json

Order = Literal["-start", "-latency", "-cost", "-tokens"]
ExportForm = Literal["jsonl", "parquet", "otlp"]
_EXPORT_SECONDS = 600.0


class GroupJson(TypedDict, total=False):
    """A session or a user, and what their traces come to."""

    id: str
    traces: int
    first: str
    last: str
    errors: int
    usage: UsageJson
    cost: float | None
    name: str
    users: Sequence[str]
    sessions: Sequence[str]


class SessionJson(GroupJson, total=False):
    """A conversation: its traces in the order in which they began."""

    items: Sequence[TraceJson]
    next: str | None


class SavedQueryJson(TypedDict, total=False):
    """A filter under a name."""

    name: str
    filter: str
    description: str
    by: str
    created: str
    changed: str


class MeaningJson(TypedDict, total=False):
    """Traces by what they mean; `covered` of `texts` inputs and outputs were compared, `embedded` of them since now."""

    items: Sequence[TraceJson]
    texts: int
    covered: int
    embedded: int


class TraceCalls(Calls):
    """See what ran. `filter` is an expression: see the reference of filters. Times are ISO 8601, or so long ago as in `2h`."""

    async def traces(
        self,
        *,
        q: str | None = None,
        filter: str | None = None,  # noqa: A002  (the API's name)
        saved: str | None = None,
        from_: str | None = None,
        to: str | None = None,
        order: Order = "-start",
        limit: int = 20,
    ) -> Sequence[TraceJson]:
        """Traces, newest first, or by `order`; `q` finds words in inputs and outputs, `saved` names a saved filter."""
        params = {"q": q, "filter": filter, "saved": saved, "from": from_, "to": to, "order": order}
        return await self._list("/traces", TraceJson, params=params, limit=limit)

    async def iter_traces(
        self,
        *,
        q: str | None = None,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
    ) -> AsyncIterator[TraceJson]:
        """Every trace, newest first, a page at a time as they are asked for."""
        params = {"q": q, "filter": filter, "from": from_, "to": to}
        async for each in self._iterate("/traces", TraceJson, params=params):
            yield each

    async def trace(self, trace_id: str, *, full: bool = False) -> TraceJson:
        """A trace with its spans, by its id or the beginning of it; `full` with inputs and outputs that are kept apart."""
        params = {"full": "true"} if full else None
        return cast("TraceJson", await self._line.send("GET", f"/traces/{segment(trace_id)}", params=params))

    async def search_spans(
        self,
        text: str = "",
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
        limit: int = 50,
    ) -> Sequence[SpanJson]:
        """Spans that hold every word of `text` and meet the filter, newest first, each with its `trace_id`."""
        body: JsonObject = {"text": text, "filter": filter, "from": from_, "to": to, "limit": limit}
        found = await self._line.send("POST", "/spans:search", body=body)
        return cast("Mapping[str, Sequence[SpanJson]]", found)["items"]

    async def search_by_meaning(
        self,
        text: str,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
        limit: int = 20,
        budget: int = 256,
        embedder: str | None = None,
    ) -> MeaningJson:
        """Traces whose input or output is nearest to a text, each with its `similarity`.

        At most `budget` texts that were not looked at before are embedded first, by `embedder` or the one that runs there.
        """
        body: JsonObject = {
            "text": text, "mode": "semantic", "filter": filter, "from": from_, "to": to, "limit": limit, "budget": budget,
            "embedder": embedder,
        }  # fmt: skip
        return cast("MeaningJson", await self._line.send("POST", "/spans:search", body=body))

    async def trace_sessions(
        self,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
        limit: int | None = None,
    ) -> Sequence[GroupJson]:
        """Conversations, the last active first."""
        return await self._list("/sessions", GroupJson, params={"filter": filter, "from": from_, "to": to}, limit=limit)

    async def trace_session(self, session: str, *, limit: int = 100, cursor: str | None = None) -> SessionJson:
        """A conversation, a page of its traces at a time."""
        params = {"limit": limit, "cursor": cursor}
        return cast("SessionJson", await self._line.send("GET", f"/sessions/{segment(session)}", params=params))

    async def trace_users(
        self,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
        limit: int | None = None,
    ) -> Sequence[GroupJson]:
        """Whom traces were done for, the last seen first."""
        return await self._list("/trace-users", GroupJson, params={"filter": filter, "from": from_, "to": to}, limit=limit)

    async def add_scores(self, trace: str, items: Sequence[JsonObject]) -> Sequence[TraceScoreJson]:
        """Keep scores of a trace: `{"name", "value", "text"?, "span"?, "by"?}` each; all that it has now."""
        kept = await self._line.send("POST", f"/traces/{segment(trace)}/scores", body={"items": list(items)})
        return cast("Mapping[str, Sequence[TraceScoreJson]]", kept)["items"]

    async def saved_queries(self) -> Sequence[SavedQueryJson]:
        """Saved filters, by name."""
        return await self._list("/saved-queries", SavedQueryJson)

    async def save_query(self, name: str, filter: str, *, description: str = "") -> SavedQueryJson:  # noqa: A002  (as above)
        """Keep a filter under a name."""
        body: Json = {"filter": filter, "description": description}
        return cast("SavedQueryJson", await self._line.send("PUT", f"/saved-queries/{segment(name)}", body=body))

    async def delete_saved_query(self, name: str) -> None:
        """Take a name away."""
        await self._line.send("DELETE", f"/saved-queries/{segment(name)}")

    async def export_traces(
        self,
        file: Path,
        *,
        format: ExportForm = "jsonl",  # noqa: A002  (the API's name)
        q: str | None = None,
        filter: str | None = None,  # noqa: A002  (the API's name)
        saved: str | None = None,
        from_: str | None = None,
        to: str | None = None,
    ) -> int:
        """Write whole traces to a file, newest first, a piece at a time; its size in bytes."""
        params = {"format": format, "q": q, "filter": filter, "saved": saved, "from": from_, "to": to}
        return await self._line.save("/traces:export", file, params=params, seconds=_EXPORT_SECONDS)

    async def tail_traces(
        self,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        saved: str | None = None,
    ) -> AsyncIterator[TraceJson]:
        """Traces as they come, until the iteration is left."""
        given = {name: value for name, value in (("filter", filter), ("saved", saved)) if value is not None}
        async for event in self._line.events("GET", f"/traces:tail?{urlencode(given)}"):
            if event.name == "trace":
                yield cast("TraceJson", parse_json(event.data, what="the server's event"))
