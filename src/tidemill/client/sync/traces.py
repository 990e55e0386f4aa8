# Made by scripts/sync_client.py from src/tidemill/client/traces.py; change that file and run the script.
"""Traces, as calls: listed, shown, searched, exported, followed; sessions, users, scores, saved queries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from tidemill.client.score_shapes import TraceScoreJson
from tidemill.client.shapes import SpanJson, TraceJson
from tidemill.client.sync.waiting import Waiting
from tidemill.client.traces import ExportForm, GroupJson, MeaningJson, Order, SavedQueryJson, SessionJson
from tidemill.core.json import JsonObject


class TraceCalls(Waiting):
    """See what ran. `filter` is an expression: see the reference of filters. Times are ISO 8601, or so long ago as in `2h`."""

    def traces(
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
        return self._wait(
            lambda: self._client.traces(q=q, filter=filter, saved=saved, from_=from_, to=to, order=order, limit=limit)
        )

    def iter_traces(
        self,
        *,
        q: str | None = None,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
    ) -> Iterator[TraceJson]:
        """Every trace, newest first, a page at a time as they are asked for."""
        return self._each(lambda: self._client.iter_traces(q=q, filter=filter, from_=from_, to=to))

    def trace(self, trace_id: str, *, full: bool = False) -> TraceJson:
        """A trace with its spans, by its id or the beginning of it; `full` with inputs and outputs that are kept apart."""
        return self._wait(lambda: self._client.trace(trace_id, full=full))

    def search_spans(
        self,
        text: str = "",
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
        limit: int = 50,
    ) -> Sequence[SpanJson]:
        """Spans that hold every word of `text` and meet the filter, newest first, each with its `trace_id`."""
        return self._wait(lambda: self._client.search_spans(text, filter=filter, from_=from_, to=to, limit=limit))

    def search_by_meaning(
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
        return self._wait(
            lambda: self._client.search_by_meaning(
                text, filter=filter, from_=from_, to=to, limit=limit, budget=budget, embedder=embedder
            )
        )

    def trace_sessions(
        self,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
        limit: int | None = None,
    ) -> Sequence[GroupJson]:
        """Conversations, the last active first."""
        return self._wait(lambda: self._client.trace_sessions(filter=filter, from_=from_, to=to, limit=limit))

    def trace_session(self, session: str, *, limit: int = 100, cursor: str | None = None) -> SessionJson:
        """A conversation, a page of its traces at a time."""
        return self._wait(lambda: self._client.trace_session(session, limit=limit, cursor=cursor))

    def trace_users(
        self,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        from_: str | None = None,
        to: str | None = None,
        limit: int | None = None,
    ) -> Sequence[GroupJson]:
        """Whom traces were done for, the last seen first."""
        return self._wait(lambda: self._client.trace_users(filter=filter, from_=from_, to=to, limit=limit))

    def add_scores(self, trace: str, items: Sequence[JsonObject]) -> Sequence[TraceScoreJson]:
        """Keep scores of a trace: `{"name", "value", "text"?, "span"?, "by"?}` each; all that it has now."""
        return self._wait(lambda: self._client.add_scores(trace, items))

    def saved_queries(self) -> Sequence[SavedQueryJson]:
        """Saved filters, by name."""
        return self._wait(self._client.saved_queries)

    def save_query(self, name: str, filter: str, *, description: str = "") -> SavedQueryJson:  # noqa: A002  (as above)
        """Keep a filter under a name."""
        return self._wait(lambda: self._client.save_query(name, filter, description=description))

    def delete_saved_query(self, name: str) -> None:
        """Take a name away."""
        return self._wait(lambda: self._client.delete_saved_query(name))

    def export_traces(
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
        return self._wait(
            lambda: self._client.export_traces(file, format=format, q=q, filter=filter, saved=saved, from_=from_, to=to)
        )

    def tail_traces(
        self,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        saved: str | None = None,
    ) -> Iterator[TraceJson]:
        """Traces as they come, until the iteration is left."""
        return self._each(lambda: self._client.tail_traces(filter=filter, saved=saved))
