"""Calls about feedback, and about datasets that are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.shapes import FeedbackJson, FeedbackKind
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import parse_ref


class AppendedJson(TypedDict, total=False):
    """What an append did: the dataset's version now, rows that are new, rows that it had already or filled in."""

    dataset: str
    digest: str
    rows: int
    added: int
    filled: int
    known: int


class FromTracesJson(AppendedJson, total=False):
    """What traces gave: `samples` as rows, why traces were left out, and (unless it was a trial) what was appended."""

    samples: Sequence[JsonObject]
    traces: int
    joined: int
    skipped: Mapping[str, int]


class FeedbackCalls(Calls):
    """Feedback."""

    async def add_feedback(
        self,
        trace: str,
        kind: FeedbackKind,
        value: Json = None,
        *,
        name: str = "",
        span: str | None = None,
        user: str = "",
        id: str | None = None,  # noqa: A002  (the field's name)
    ) -> FeedbackJson:
        """Say something of a trace. With an `id` of your own, saying it again changes nothing."""
        body: JsonObject = {"trace": trace, "kind": kind, "value": value, "name": name, "span": span, "user": user, "id": id}
        return cast("FeedbackJson", await self._line.send("POST", "/feedback", body=body))

    async def add_feedback_batch(self, items: Sequence[JsonObject]) -> Sequence[FeedbackJson]:
        """Say several things, all or none: `{"trace", "kind", "value", "name", "span", "user", "id"}` each."""
        kept = await self._line.send("POST", "/feedback:batch", body={"items": list(items)})
        return cast("Mapping[str, Sequence[FeedbackJson]]", kept)["items"]

    async def feedback(
        self,
        *,
        trace: str | None = None,
        kind: FeedbackKind | None = None,
        name: str | None = None,
        user: str | None = None,
        since: str | None = None,
        limit: int | None = None,
    ) -> Sequence[FeedbackJson]:
        """Feedback, newest first; `since` is a time as in 2026-01-31T12:00:00Z."""
        params = {"trace": trace, "kind": kind, "name": name, "user": user, "since": since}
        return await self._list("/feedback", FeedbackJson, params=params, limit=limit)

    async def add_samples(
        self, dataset: str, rows: Sequence[JsonObject], *, roles: Mapping[str, str | Sequence[str]] | None = None
    ) -> AppendedJson:
        """Append rows to a dataset as a new version; the dataset is made when it is missing. Rows it has are not doubled."""
        name = parse_ref(dataset, kind="dataset").name
        body: JsonObject = {"rows": list(rows), "roles": cast("JsonObject", roles)}
        return cast("AppendedJson", await self._line.send("POST", f"/datasets/{segment(name)}/samples", body=body))

    async def samples_from_traces(  # noqa: PLR0913  (each is a way to narrow it)
        self,
        dataset: str,
        *,
        filter: str | None = None,  # noqa: A002  (the API's name)
        q: str | None = None,
        since: str | None = None,
        until: str | None = None,
        limit: int = 1000,
        pairs: bool = False,
        labelled: bool = False,
        dry_run: bool = False,
        apart: Sequence[str] = (),
    ) -> FromTracesJson:
        """Make samples of traces and what was said of them, and append them; with `dry_run` only say which.

        What asks the same as a sample of the datasets `apart` is left out.
        """
        name = parse_ref(dataset, kind="dataset").name
        body: JsonObject = {
            "filter": filter, "q": q, "since": since, "until": until, "limit": limit, "pairs": pairs, "labelled": labelled,
            "dry_run": dry_run, "apart": list(apart),
        }  # fmt: skip
        return cast("FromTracesJson", await self._line.send("POST", f"/datasets/{segment(name)}:from-traces", body=body))
