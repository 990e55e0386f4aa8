# Made by scripts/sync_client.py from src/tidemill/client/feedback.py; change that file and run the script.
"""Calls about feedback, and about datasets that are made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tidemill.client.feedback import AppendedJson, FromTracesJson
from tidemill.client.shapes import FeedbackJson, FeedbackKind
from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import Json, JsonObject


class FeedbackCalls(Waiting):
    """Feedback."""

    def add_feedback(
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
        return self._wait(lambda: self._client.add_feedback(trace, kind, value, name=name, span=span, user=user, id=id))

    def add_feedback_batch(self, items: Sequence[JsonObject]) -> Sequence[FeedbackJson]:
        """Say several things, all or none: `{"trace", "kind", "value", "name", "span", "user", "id"}` each."""
        return self._wait(lambda: self._client.add_feedback_batch(items))

    def feedback(
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
        return self._wait(lambda: self._client.feedback(trace=trace, kind=kind, name=name, user=user, since=since, limit=limit))

    def add_samples(
        self, dataset: str, rows: Sequence[JsonObject], *, roles: Mapping[str, str | Sequence[str]] | None = None
    ) -> AppendedJson:
        """Append rows to a dataset as a new version; the dataset is made when it is missing. Rows it has are not doubled."""
        return self._wait(lambda: self._client.add_samples(dataset, rows, roles=roles))

    def samples_from_traces(  # noqa: PLR0913  (each is a way to narrow it)
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
        return self._wait(
            lambda: self._client.samples_from_traces(
                dataset,
                filter=filter,
                q=q,
                since=since,
                until=until,
                limit=limit,
                pairs=pairs,
                labelled=labelled,
                dry_run=dry_run,
                apart=apart,
            )
        )
