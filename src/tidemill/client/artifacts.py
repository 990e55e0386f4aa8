"""Artifacts, as calls: tags, aliases, deleting and restoring, erasing rows, verifying releases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.shapes import ReleaseJson, VersionJson
from tidemill.core.json import Json, JsonObject
from tidemill.core.refs import Ref, parse_ref


class AliasJson(TypedDict, total=False):
    """Where an alias points, since when, by whom and why."""

    alias: str
    ref: str
    version: str
    digest: str
    moved_by: str | None
    moved: str
    why: str


class AliasMoveJson(TypedDict, total=False):
    """One move of an alias; `before` is None for the first, `after` None when it was removed."""

    alias: str
    before: str | None
    after: str | None
    by: str
    why: str
    at: str


class DeletedJson(VersionJson, total=False):
    """A deleted version; `until` is when it can be purged."""

    deleted: str
    deleted_by: str
    why: str
    until: str


class RemovedJson(TypedDict, total=False):
    """What was deleted, restored or purged, and the version that is the latest now."""

    deleted: Sequence[str]
    restored: Sequence[str]
    purged: Sequence[str]
    blobs: int
    latest: str | None


class VerifiedLine(TypedDict, total=False):
    """One thing that was checked."""

    what: str
    name: str
    state: str
    detail: str


class VerificationJson(TypedDict, total=False):
    """Whether a release holds."""

    digest: str
    root: str
    holds: bool
    fingerprint: str | None
    own_key: bool
    lines: Sequence[VerifiedLine]


class ErasedJson(TypedDict, total=False):
    """What was erased: rows, the blobs that held them, the versions, what else was purged."""

    rows: int
    blobs: int
    versions: Sequence[str]
    evaluation_samples: int
    steps: int
    scores: int


class ArtifactCalls(Calls):
    """Calls about artifacts and their versions."""

    async def tag(
        self,
        ref: str,
        tags: Mapping[str, str | None] | None = None,
        *,
        description: str | None = None,
        owner: str | None = None,
    ) -> VersionJson:
        """Set tags (None removes one), description and owner of a version, the latest by default; the digest stays."""
        parsed = parse_ref(ref)
        body: JsonObject = {
            "tags": dict(tags or {}),
            "description": description,
            "owner": owner,
            "version": parsed.version,
        }
        return cast("VersionJson", await self._line.send("PATCH", _path(parsed), body=body))

    async def aliases(self, ref: str) -> Sequence[AliasJson]:
        """The aliases of an artifact, `latest` too."""
        return await self._list(f"{_path(parse_ref(ref))}/aliases", AliasJson)

    async def alias_moves(self, ref: str, *, alias: str | None = None, limit: int | None = None) -> Sequence[AliasMoveJson]:
        """Where an artifact's aliases pointed over time, newest first."""
        return await self._list(f"{_path(parse_ref(ref))}/moves", AliasMoveJson, params={"alias": alias}, limit=limit)

    async def remove_alias(self, ref: str, alias: str, *, why: str = "", expected: str | None = None) -> VersionJson:
        """Take an alias away; the version that it pointed to."""
        path = f"{_path(parse_ref(ref))}/aliases/{segment(alias)}"
        return cast("VersionJson", await self._line.send("DELETE", path, params={"why": why, "expected": expected}))

    async def delete(
        self, ref: str, *, why: str = "", although_evaluated: bool = False, environment: str | None = None
    ) -> RemovedJson:
        """Delete a version, or an artifact with all of them, unless anything depends on it. It can be restored for a while.

        What has no versions, such as a connection, goes for good: in every environment, or in the one that is named.
        """
        parsed = parse_ref(ref)
        tail = f"/versions/{segment(parsed.version)}" if parsed.version else ""
        params = {"why": why, "although_evaluated": "true" if although_evaluated else None, "environment": environment}
        return cast("RemovedJson", await self._line.send("DELETE", _path(parsed) + tail, params=params))

    async def restore(self, ref: str, *, why: str = "") -> RemovedJson:
        """Restore a deleted version, or every one of an artifact."""
        parsed = parse_ref(ref)
        body: JsonObject = {"version": parsed.version, "why": why}
        return cast("RemovedJson", await self._line.send("POST", f"{_path(parsed)}:restore", body=body))

    async def deleted(self, *, kind: str | None = None, limit: int | None = None) -> Sequence[DeletedJson]:
        """The deleted versions that can be restored."""
        return await self._list("/artifacts", DeletedJson, params={"kind": kind, "deleted": "true"}, limit=limit)

    async def purge(self) -> RemovedJson:
        """Remove for good what was deleted longer ago than the retention window."""
        return cast("RemovedJson", await self._line.send("POST", "/artifacts:purge"))

    async def erase_rows(self, dataset: str, samples: Sequence[str], *, why: str) -> ErasedJson:
        """Erase rows of a dataset from every version and every place that holds them. It cannot be undone."""
        ref = parse_ref(dataset, kind="dataset")
        body: JsonObject = {"samples": list(samples), "why": why, "version": ref.version}
        return cast("ErasedJson", await self._line.send("POST", f"/datasets/{segment(ref.name)}/samples:erase", body=body))

    async def releases(self, *, root: str | None = None, limit: int | None = None) -> Sequence[ReleaseJson]:
        """The releases that were made, of one app or of all, the newest of a name first."""
        return await self._list("/releases", ReleaseJson, params={"root": root}, limit=limit)

    async def verify_release(
        self, release: str | None = None, *, lock: Mapping[str, Json] | None = None, key: str = ""
    ) -> VerificationJson:
        """Recompute every digest of a release, by its digest, its root or its lock file, from what is kept."""
        body: JsonObject = {"release": release, "lock": None if lock is None else dict(lock), "key": key}
        return cast("VerificationJson", await self._line.send("POST", "/releases:verify", body=body))


def _path(ref: Ref) -> str:
    return f"/artifacts/{segment(ref.kind)}/{segment(ref.name)}"
