"""Deleting versions, restoring them, and purging what was deleted long ago."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import anyio.to_thread
from sqlalchemy import Connection as Database

from tidemill.api.artifacts import artifact_tag, version_tag
from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.etags import IfMatch, Precondition
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.core.errors import Denied, Invalid, NotFound, TidemillError, Unavailable
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.data.build import read_manifest
from tidemill.govern.changes import check_latest_moved
from tidemill.govern.environments import check_deleted
from tidemill.govern.policy import may_operate
from tidemill.store import purge
from tidemill.store.delete import LatestMoves, Removed, delete_versions, restore_versions
from tidemill.store.delete_config import delete_config, forms_of
from tidemill.store.endpoints import get_endpoint
from tidemill.store.erase import finish_erasures

router = Router(tags=["artifacts"])
_log = logging.getLogger(__name__)


class Restore(Body):
    """Why, and which version: all that are deleted when none is named."""

    version: str | None = None
    why: str = ""


@router.delete("/artifacts/{kind}/{name}")
async def delete_artifact(
    call: AnyCaller,
    kind: str,
    name: str,
    if_match: IfMatch,
    why: str = "",
    environment: str | None = None,
    *,
    although_evaluated: bool = False,
) -> dict[str, Any]:
    """Delete an artifact with all its versions, unless anything depends on one. It can be restored for a while.

    What has no versions, such as a connection, goes for good: in every environment, or in the one that is named.
    """
    ref = parse_ref(f"{kind}/{name}")
    found = call.platform.kinds.get(ref.kind)
    if found is not None and not found.versioned:
        return await _delete_config(call, ref, if_match, environment, why=why)
    if environment is not None:
        raise Invalid(f"{ref} is the same in every environment", where="environment", hint="Leave it out.")
    return await _delete(call, ref, if_match, why=why, although_evaluated=although_evaluated)


@router.delete("/artifacts/{kind}/{name}/versions/{version}")
async def delete_version(
    call: AnyCaller,
    kind: str,
    name: str,
    version: str,
    if_match: IfMatch,
    why: str = "",
    *,
    although_evaluated: bool = False,
) -> dict[str, Any]:
    """Delete one version, `v3` or a digest, unless anything depends on it. It can be restored for a while."""
    ref = parse_ref(f"{kind}/{name}@{version}")
    if ref.alias:
        raise Invalid(f"{ref} names a version by an alias, which may move", hint=f"Write {ref.bare}@v3, or its digest.")
    return await _delete(call, ref, if_match, why=why, although_evaluated=although_evaluated)


@router.post("/artifacts/{kind}/{name}:restore")
async def restore(call: AnyCaller, kind: str, name: str, body: Restore) -> dict[str, Any]:
    """Restore a deleted version, or every one of the artifact."""
    ref = parse_ref(f"{kind}/{name}" + (f"@{body.version}" if body.version else ""))
    now_ns = call.platform.clock.now_ns()
    done = await call.platform.database.write(
        lambda db: restore_versions(db, call.project, ref, by=call.who, now_ns=now_ns, may=_guard(call, now_ns), why=body.why)
    )
    return _removed_json(done, "restored")


@router.post("/artifacts:purge")
async def purge_now(call: AnyCaller) -> dict[str, Any]:
    """Remove for good what was deleted longer ago than the retention window, and the blobs that nothing uses."""
    gone, blobs = await purge_deleted(call.platform, by=call.who)
    return {"purged": [each.ref for each in gone if each.project == call.project], "blobs": blobs}


class PurgeLook:
    """Purges, for `Schedules.also`."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def look(self) -> Sequence[str]:
        """Purge now; it starts nothing that anybody would follow."""
        platform = self._platform
        await anyio.to_thread.run_sync(finish_erasures, platform.database, platform.blobs)  # what a kill left undone
        await purge_deleted(platform, by="retention")
        return ()


async def purge_deleted(platform: Platform, *, by: str) -> tuple[list[Version], int]:
    """Purge every project; the versions that went, and how many blobs."""
    now_ns = platform.clock.now_ns()
    before_ns = now_ns - int(platform.settings.retention * 10**9)
    gone: list[Version] = []
    removed = 0

    def inside(version: Version) -> Iterable[str]:
        return blobs_inside(platform, version)

    def known_inside(version: Version) -> Iterable[str]:
        with contextlib.suppress(NotFound, Unavailable, Invalid):  # it cannot be read: what it named stays
            return inside(version)
        return ()

    while True:
        purged = await platform.database.write(
            lambda db: purge.purge_versions(db, before_ns=before_ns, by=by, now_ns=now_ns, inside=known_inside)
        )
        if not purged.versions:
            return gone, removed
        gone += purged.versions
        for project, candidates in purged.blobs.items():
            blobs = platform.blobs(project)
            try:
                found = await platform.database.write(
                    lambda db, blobs=blobs, left=candidates: purge.remove_unused(db, blobs, left, inside=inside)
                )
            except TidemillError as error:
                _log.warning("purge: no blob of project %s was removed: %s", project, error)
            else:
                removed += len(found)


def blobs_inside(platform: Platform, version: Version) -> Iterable[str]:
    """The documents of an index, which stand in the manifest that it names. Raises what reading it raises."""
    if version.kind != "index" or "documents" not in version.blobs:
        return ()
    return [each.blob for each in read_manifest(platform.blobs(version.project).get(version.blobs["documents"]))]


async def _delete(call: Caller, ref: Ref, if_match: Precondition, *, why: str, although_evaluated: bool) -> dict[str, Any]:
    found = call.platform.kinds.get(ref.kind)
    if found is not None and not found.versioned:
        raise Invalid(f"{ref} has no versions", hint=f"Delete all of it: tidemill delete {ref.bare}")
    now_ns = call.platform.clock.now_ns()
    may = _guard(call, now_ns)

    def work(db: Database) -> Removed:
        if_match.check_state(lambda: version_tag(db, call.project, ref) if ref.version else artifact_tag(db, call.project, ref))
        return delete_versions(
            db, call.project, ref, by=call.who, now_ns=now_ns, may=may, why=why, although_evaluated=although_evaluated
        )

    return _removed_json(await call.platform.database.write(work), "deleted")


async def _delete_config(
    call: Caller, ref: Ref, if_match: Precondition, environment: str | None, *, why: str
) -> dict[str, Any]:
    now_ns, who, role = call.platform.clock.now_ns(), call.who, call.principal.role
    if ref.kind == "endpoint":
        call.check("deploy", ref.bare)

    def work(db: Database) -> None:
        if_match.check_state(lambda: "")  # it has no tag that could match
        forms = forms_of(db, call.project, ref.kind, ref.name, environment)
        check_deleted(db, call.project, ref.kind, ref.name, [each.environment for each in forms], who=who, role=role)
        if ref.kind == "endpoint" and environment is None:
            _check_protected(db, call, ref)
        delete_config(db, call.project, ref.kind, ref.name, environment=environment, by=who, now_ns=now_ns, why=why)

    await call.platform.database.write(work)
    if ref.kind == "endpoint" and environment is None:
        call.platform.live.forget(call.project, ref.name)
    return {"deleted": [ref.bare], "latest": None}


def _check_protected(db: Database, call: Caller, ref: Ref) -> None:
    """Raise `Denied` when a policy protects the endpoint, and they are no operator."""
    try:
        served = get_endpoint(db, call.project, ref.name).release
    except NotFound:  # it is a document, and was never served
        return
    who, role = call.who, call.principal.role
    decided = call.platform.policies.decide(
        db, call.project, door="deploy", target=ref.bare, release=served, who=who, role=role
    )
    if decided.policies and not may_operate(db, call.project, who, role):
        names = ", ".join(each.version.bare for each in decided.policies)
        raise Denied(f"{ref.bare} is protected by {names}", hint="Only an operator or an admin deletes it: ask one.")


def _guard(call: Caller, now_ns: int) -> LatestMoves:
    def may(db: Database, before: Version | None, after: Version | None) -> None:
        role = call.principal.role
        check_latest_moved(db, call.project, before, after, who=call.who, role=role, now_ns=now_ns)

    return may


def _removed_json(done: Removed, verb: str) -> dict[str, Any]:
    return {verb: [each.ref for each in done.versions], "latest": done.latest and done.latest.ref}
