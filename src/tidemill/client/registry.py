"""Artifacts, versions, aliases and releases, as calls."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import cast

from tidemill.client import shapes
from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.core.json import JsonObject
from tidemill.core.refs import Ref, parse_ref


class RegistryCalls(Calls):
    """Artifacts and releases."""

    async def artifacts(
        self,
        *,
        kind: str | None = None,
        q: str | None = None,
        tags: Mapping[str, str] | None = None,
        owner: str | None = None,
        limit: int | None = None,
    ) -> Sequence[shapes.VersionJson]:
        """The latest version of every artifact, of one kind or of all; `q` finds words in names, descriptions and tags."""
        wanted = [f"{key}={value}" for key, value in (tags or {}).items()] or None
        params = {"kind": kind, "q": q, "tag": wanted, "owner": owner}
        return await self._list("/artifacts", shapes.VersionJson, params=params, limit=limit)

    async def iter_artifacts(self, *, kind: str | None = None, q: str | None = None) -> AsyncIterator[shapes.VersionJson]:
        """The same one by one, a page at a time as they are asked for: for more than fits in memory."""
        async for each in self._iterate("/artifacts", shapes.VersionJson, params={"kind": kind, "q": q}):
            yield each

    async def artifact(self, ref: str) -> shapes.VersionJson:
        """One version: the one that `ref` names, else the latest."""
        parsed = parse_ref(ref)
        tail = f"/versions/{segment(parsed.version)}" if parsed.version else ""
        return cast("shapes.VersionJson", await self._line.send("GET", _artifact_path(parsed) + tail))

    async def versions(self, ref: str, *, limit: int | None = None) -> Sequence[shapes.VersionJson]:
        """Every version of an artifact, newest first."""
        return await self._list(f"{_artifact_path(parse_ref(ref))}/versions", shapes.VersionJson, limit=limit)

    async def set_alias(
        self, ref: str, alias: str, *, why: str = "", expected: str | None = None, if_match: str | None = None
    ) -> JsonObject:
        """Move an alias to the version that `ref` names; with `expected`, only when it still points there.

        `if_match`, an entity tag of the alias, says the same: `PreconditionFailed` when it was moved since.
        """
        parsed = parse_ref(ref)
        body = {"version": parsed.version or "latest", "why": why, **({"expected": expected} if expected else {})}
        path = f"{_artifact_path(parsed)}/aliases/{segment(alias)}"
        return cast("JsonObject", await self._line.send("PUT", path, body=body, if_match=if_match))

    async def make_release(self, root: str) -> shapes.ReleaseJson:
        """Lock an app with everything that it needs; the same content gives the same release."""
        return cast("shapes.ReleaseJson", await self._line.send("POST", "/releases", body={"root": root}))

    async def release(self, digest: str) -> shapes.ReleaseJson:
        """A release by its digest."""
        return cast("shapes.ReleaseJson", await self._line.send("GET", f"/releases/{segment(digest)}"))

    async def release_diff(self, a: str, b: str) -> JsonObject:
        """What differs between two releases."""
        return cast("JsonObject", await self._line.send("GET", f"/releases/{segment(a)}/diff/{segment(b)}"))


def _artifact_path(ref: Ref) -> str:
    return f"/artifacts/{segment(ref.kind)}/{segment(ref.name)}"
