"""Releases: an application locked under one digest."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response
from sqlalchemy import Connection as Database

from tidemill.api.artifacts import version_json
from tidemill.api.caller import AnyCaller, Body, Caller
from tidemill.api.etags import immutable
from tidemill.core.records import Bundle
from tidemill.core.refs import is_digest, parse_ref
from tidemill.store import release
from tidemill.store.endpoints import get_endpoint

router = APIRouter(tags=["releases"])


class NewRelease(Body):
    """The application to lock, as in `chain/handbook`."""

    root: str


def release_json(made: release.Release) -> dict[str, Any]:
    """A release as everyone sees it: its digest, root and lock."""
    return {"digest": made.digest, "root": made.root.ref, "ref": made.version.ref, "lock": made.lock}


@router.post("/releases", status_code=201)
async def make_release(call: AnyCaller, body: NewRelease) -> dict[str, Any]:
    """Lock an application. The same content gives the same release."""
    root = parse_ref(body.root)
    now_ns = call.platform.clock.now_ns()
    made = await call.platform.database.write(
        lambda db: release.make_release(db, call.project, root, now_ns=now_ns, by=call.who, signer=call.platform.sign)
    )
    return release_json(made)


@router.get("/releases/{digest}")
async def get_release(call: AnyCaller, digest: str, response: Response) -> dict[str, Any]:
    """A release and everything that it locks."""
    bundle = await load_bundle(call, digest)
    if is_digest(digest):
        response.headers.update(immutable(bundle.release, [(each.ref, each.description) for each in bundle.versions.values()]))
    artifacts = [version_json(each) for each in bundle.versions.values()]
    return {"digest": bundle.release, "root": bundle.root.ref, "hermetic": bundle.hermetic, "artifacts": artifacts}


@router.get("/releases/{digest}/diff/{other}")
async def diff_releases(call: AnyCaller, digest: str, other: str) -> dict[str, Any]:
    """What changed between two releases, component by component."""
    old, new = await load_bundle(call, digest), await load_bundle(call, other)
    before = {each.bare: each for each in old.versions.values()}
    after = {each.bare: each for each in new.versions.values()}
    changes: list[dict[str, Any]] = []
    for bare in sorted(before | after):
        a, b = before.get(bare), after.get(bare)
        if a is not None and b is not None and a.digest == b.digest:
            continue
        action = "create" if a is None else "remove" if b is None else "update"
        details = list(call.platform.kinds[a.kind].diff(a.spec, b.spec)) if a and b else []
        changes.append({"ref": bare, "action": action, "details": details})
    return {"from": old.release, "to": new.release, "changes": changes}


async def load_bundle(call: Caller, reference: str) -> Bundle:
    """The application that a release digest, or a reference such as `chain/x@production`, names."""
    return await call.platform.database.read(lambda db: release.load_bundle(db, call.project, _served(db, call, reference)))


async def lock_bundle(call: Caller, reference: str) -> Bundle:
    """The same, and its release is kept, so that its digest can be asked for from now on."""
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> Bundle:
        named = _served(db, call, reference)
        if not is_digest(named) and not named.startswith("release/"):
            signer = call.platform.sign
            named = release.make_release(db, call.project, named, now_ns=now_ns, by=call.who, signer=signer).digest
        return release.load_bundle(db, call.project, named)

    return await call.platform.database.write(work)


def _served(db: Database, call: Caller, reference: str) -> str:
    """For `endpoint/x` the digest that it serves now; anything else as it is."""
    return get_endpoint(db, call.project, reference).release if reference.startswith("endpoint/") else reference
