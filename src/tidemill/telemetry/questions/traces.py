"""What is asked of the stored traces: lists, search, sessions, users, export, tail; and scores that come late."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from tidemill.core.json import JsonObject
from tidemill.telemetry.engine.protocol import Engine
from tidemill.telemetry.expression import Expression
from tidemill.telemetry.questions import export, listing, scores, semantic, sessions, tail
from tidemill.telemetry.questions import spans as query
from tidemill.telemetry.questions.listing import Listing
from tidemill.telemetry.spool.gathering import AllMoves
from tidemill.telemetry.spool.projector import Projector


class TraceQuestions:
    """The part of `Telemetry` that answers about traces. `filter` is an expression or its text: see `telemetry/expression`."""

    _engine: Engine
    _projector: Projector | None
    _moves: AllMoves | None

    async def _ready(self) -> None:
        raise NotImplementedError

    async def append_rows(self, table: str, rows: Sequence[bytes]) -> None:
        """Take rows of any table: see `Telemetry`."""
        raise NotImplementedError

    async def flush(self) -> None:
        """Return when all that was taken can be queried: see `Telemetry`."""
        raise NotImplementedError

    async def list_traces(  # noqa: PLR0913  (each is a way to narrow it)
        self,
        project: str,
        *,
        filter: str | Expression | None = None,  # noqa: A002  (the API's name)
        q: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
        among: Sequence[str] | None = None,
        served: bool = False,
        order: str = "-start",
        now_ns: int | None = None,
    ) -> JsonObject:
        """`{"items": […], "next"}`, newest first; `order` may be `-latency`, `-cost` or `-tokens`.

        `q` is words to find in any span. `from_ns` (included) and `to_ns` (not included; default: a day from `now_ns`, which is
        the clock's time unless given) bound the start, in nanoseconds since the epoch. `among` narrows it to traces by their
        ids, `served` to what others than evaluations asked. Raises `Invalid`.
        """
        now_ns = time.time_ns() if now_ns is None else now_ns
        wanted = Listing(
            project=project, now_ns=now_ns, filter=listing.read_filter(filter, q, now_ns=now_ns), limit=limit, cursor=cursor,
            from_ns=from_ns, to_ns=to_ns, among=among, served=served, order=listing.order_of(order),
        )  # fmt: skip
        await self._ready()
        return await listing.list_traces(self._engine, wanted)

    async def search_spans(
        self,
        project: str,
        text: str = "",
        *,
        filter: str | Expression | None = None,  # noqa: A002  (the API's name)
        limit: int = 50,
        from_ns: int | None = None,
        to_ns: int | None = None,
        now_ns: int | None = None,
    ) -> Sequence[JsonObject]:
        """Spans that hold every word of `text` in name, error, input or output and meet the filter, newest first.

        Each has its `trace_id`.
        """
        now_ns = time.time_ns() if now_ns is None else now_ns
        wanted = listing.read_filter(filter, text, now_ns=now_ns)
        await self._ready()
        return await query.search_spans(self._engine, project, wanted, limit=limit, now_ns=now_ns, from_ns=from_ns, to_ns=to_ns)

    async def put_scores(self, found: Sequence[scores.TraceScore]) -> None:
        """Keep what was scored or said of traces, now or long after them; safe on disk when it returns."""
        if found:
            await self.append_rows(scores.TABLE, [scores.encode_score(each) for each in found])

    async def scores_of(self, project: str, traces: Sequence[str]) -> Mapping[str, Sequence[JsonObject]]:
        """What was scored and said of these traces (whole ids), by trace, the newest first."""
        await self._ready()
        return await scores.scores_of(self._engine, project, traces)

    async def list_groups(
        self,
        project: str,
        by: sessions.Grouping,
        *,
        filter: str | Expression | None = None,  # noqa: A002  (the API's name)
        limit: int = 50,
        cursor: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
        now_ns: int | None = None,
    ) -> JsonObject:
        """Sessions or users with their totals, the last seen first: `{"items", "next"}`. Bounds as of `list_traces`."""
        now_ns = time.time_ns() if now_ns is None else now_ns
        wanted = Listing(
            project=project, now_ns=now_ns, filter=listing.read_filter(filter, None, now_ns=now_ns), limit=limit,
            cursor=cursor, from_ns=from_ns, to_ns=to_ns,
        )  # fmt: skip
        await self._ready()
        return await sessions.list_groups(self._engine, by, wanted)

    async def get_session(self, project: str, session: str, *, limit: int = 100, cursor: str | None = None) -> JsonObject:
        """A session's totals and its traces in the order in which they began. Raises `NotFound`."""
        await self._ready()
        return await sessions.get_session(self._engine, project, session, limit=limit, cursor=cursor)

    async def tail(
        self,
        project: str,
        *,
        filter: str | Expression | None = None,  # noqa: A002  (the API's name)
        now_ns: int,
    ) -> AsyncGenerator[tuple[Sequence[JsonObject], int]]:
        """Traces that come after `now_ns` and meet the filter, as they are stored, and how many more there were each time."""
        wanted = Listing(project=project, now_ns=now_ns, filter=listing.read_filter(filter, None, now_ns=now_ns))
        await self._ready()
        moves = self._moves or self._projector
        if moves is not None:
            async for each in tail.follow(self._engine, moves, wanted):
                yield each

    async def export_traces(
        self,
        project: str,
        form: export.Form,
        *,
        filter: str | Expression | None = None,  # noqa: A002  (the API's name)
        q: str | None = None,
        from_ns: int | None = None,
        to_ns: int | None = None,
        now_ns: int,
    ) -> AsyncIterator[bytes]:
        """Whole traces, newest first, as JSON lines, Parquet or OTLP in JSON lines; no more than a few in memory at a time."""
        wanted = Listing(
            project=project, now_ns=now_ns, filter=listing.read_filter(filter, q, now_ns=now_ns), from_ns=from_ns, to_ns=to_ns
        )
        await self._ready()
        async for piece in export.export_traces(self._engine, wanted, form):
            yield piece

    async def search_by_meaning(  # noqa: PLR0913  (each is a way to narrow it)
        self,
        project: str,
        text: str,
        *,
        embedder: semantic.TextEmbedder,
        filter: str | Expression | None = None,  # noqa: A002  (the API's name)
        limit: int = 50,
        budget: int = 256,
        from_ns: int | None = None,
        to_ns: int | None = None,
        now_ns: int,
    ) -> FoundByMeaning:
        """Traces whose input or output is nearest to a text, each with `similarity` and `in` (`input` or `output`).

        At most `budget` texts that have no vector yet are embedded first, the newest first.
        """
        wanted = Listing(
            project=project, now_ns=now_ns, filter=listing.read_filter(filter, None, now_ns=now_ns), limit=limit,
            from_ns=from_ns, to_ns=to_ns,
        )  # fmt: skip
        await self._ready()
        meaning = await semantic.search(self._engine, self, embedder, wanted, text, budget=budget)
        ids = [trace for trace, _, _ in meaning.found]
        page = await listing.list_traces(self._engine, replace(wanted, among=ids, limit=max(1, len(ids))))
        by_id = {str(each["id"]): each for each in cast("Sequence[JsonObject]", page["items"])}
        items: list[JsonObject] = [
            {**by_id[trace], "similarity": round(near, 4), "in": side} for trace, near, side in meaning.found if trace in by_id
        ]
        return FoundByMeaning(items=items, texts=meaning.texts, covered=meaning.covered, embedded=meaning.embedded)


@dataclass(frozen=True, kw_only=True, slots=True)
class FoundByMeaning:
    """Traces, nearest first. `covered` of `texts` inputs and outputs have a vector, `embedded` of them since this question."""

    items: Sequence[JsonObject]
    texts: int
    covered: int
    embedded: int
