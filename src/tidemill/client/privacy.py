"""Calls about what is kept of people: erasing traces, and the whole of a value too large for a list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject


class PrivacyCalls(Calls):
    """Erase what is kept of a user, a session or a trace; read a value that is kept apart."""

    async def erase_traces(
        self, *, user: str | None = None, session: str | None = None, trace: str | None = None, why: str
    ) -> str:
        """Begin to erase all that is kept of one of these, for good; the job to follow, whose result says what went.

        From the answer on nothing of it is stored, also when it is sent again. Raises `Invalid` unless exactly one is named.
        """
        named = {key: value for key, value in (("user", user), ("session", session), ("trace", trace)) if value is not None}
        if len(named) != 1:
            raise Invalid("one of user, session and trace must be named", hint="Erase one after another.")
        body: JsonObject = {**named, "why": why}
        return cast("Mapping[str, str]", await self._line.send("POST", "/traces:erase", body=body))["job"]

    async def payload(self, trace: str, span: str, *, field: Literal["input", "output"] = "input") -> Json:
        """The whole input or output of a span, also of one too large to be shown in its trace.

        Raises `NotFound` when its time is over or it was erased, `Unavailable` when it is damaged.
        """
        path = f"/traces/{segment(trace)}/spans/{segment(span)}/payload"
        return cast("Mapping[str, Json]", await self._line.send("GET", path, params={"field": field}))["value"]
