"""Calls about what differs, what was, and who brought it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.shapes import Change
from tidemill.core.json import JsonObject
from tidemill.core.refs import parse_ref


class MoveJson(TypedDict, total=False):
    """An alias that came to a version; `before` is where it was."""

    alias: str
    before: str | None
    by: str
    why: str
    at: str


class DifferenceJson(Change, total=False):
    """One thing that differs; of what moved in a project also by whom, why and when."""

    was: str | None
    by: str | None
    why: str | None
    at: str | None


class DiffJson(TypedDict, total=False):
    """What differs from one thing to another. `from` and `to` name both as they were found."""

    changes: Sequence[DifferenceJson]
    from_ref: str
    to_ref: str
    from_digest: str | None
    to_digest: str | None
    from_at: str | None
    to_at: str | None


class PastJson(TypedDict, total=False):
    """A version and its past: who made it when, from which, what changed, where its aliases were, and where it is served."""

    ref: str
    version: str
    number: int
    digest: str
    description: str
    created: str
    by: str
    parent: str | None
    summary: str
    details: Sequence[str]
    aliases: Sequence[str]
    moves: Sequence[MoveJson]
    served: Sequence[str]


class BlamedJson(TypedDict, total=False):
    """A line of a prompt and the version that brought it."""

    message: int
    role: str
    line: int
    text: str
    version: str
    ref: str
    by: str
    at: str


class BlameJson(TypedDict, total=False):
    """A prompt line by line."""

    ref: str
    digest: str
    lines: Sequence[BlamedJson]


class ChangeCalls(Calls):
    """What differs between any two references or points in time; the past of an artifact and of a prompt's lines."""

    async def diff(
        self,
        a: str | None = None,
        b: str | None = None,
        *,
        since: str | None = None,
        until: str | None = None,
        zone: str | None = None,
        environment: str | None = None,
        deep: bool = False,
    ) -> DiffJson:
        """What differs from `a` to `b`; or what `a` led to at `since` and at `until` (now); or all that moved since.

        Times are as in `2026-11-17`, `7d`, `last tuesday`, in `zone` or UTC. `deep` follows the references that moved.
        """
        given = {"a": a, "b": b, "since": since, "until": until, "zone": zone, "environment": environment}
        body: JsonObject = {key: value for key, value in given.items() if value is not None} | {"deep": deep}
        return cast("DiffJson", await self._line.send("POST", "/diff", body=body))

    async def history(self, ref: str, *, limit: int | None = None) -> Sequence[PastJson]:
        """Every version of an artifact with its past, newest first."""
        parsed = parse_ref(ref)
        path = f"/artifacts/{segment(parsed.kind)}/{segment(parsed.name)}/history"
        return await self._list(path, PastJson, limit=limit)

    async def blame(self, prompt: str) -> BlameJson:
        """Each line of a prompt with the version that brought it."""
        parsed = parse_ref(prompt, kind="prompt")
        return cast(
            "BlameJson",
            await self._line.send("GET", f"/prompts/{segment(parsed.name)}/blame", params={"version": parsed.version}),
        )
