# Made by scripts/sync_client.py from src/tidemill/client/privacy.py; change that file and run the script.
"""Calls about what is kept of people: erasing traces, and the whole of a value too large for a list."""

from __future__ import annotations

from typing import Literal

from tidemill.client.sync.waiting import Waiting
from tidemill.core.json import Json


class PrivacyCalls(Waiting):
    """Erase what is kept of a user, a session or a trace; read a value that is kept apart."""

    def erase_traces(self, *, user: str | None = None, session: str | None = None, trace: str | None = None, why: str) -> str:
        """Begin to erase all that is kept of one of these, for good; the job to follow, whose result says what went.

        From the answer on nothing of it is stored, also when it is sent again. Raises `Invalid` unless exactly one is named.
        """
        return self._wait(lambda: self._client.erase_traces(user=user, session=session, trace=trace, why=why))

    def payload(self, trace: str, span: str, *, field: Literal["input", "output"] = "input") -> Json:
        """The whole input or output of a span, also of one too large to be shown in its trace.

        Raises `NotFound` when its time is over or it was erased, `Unavailable` when it is damaged.
        """
        return self._wait(lambda: self._client.payload(trace, span, field=field))
