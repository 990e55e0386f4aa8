"""Releases: an application locked under one digest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import anyio.to_thread
from fastapi import Response
from sqlalchemy import Connection as Database

from tidemill.api.artifacts import version_json
from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.diff import differences
from tidemill.api.etags import immutable
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import is_digest, parse_ref
from tidemill.store import audit, release
from tidemill.store.endpoints import get_endpoint
from tidemill.store.signatures import find_signature, signature_json
from tidemill.store.verify import Stored, verify_lock

router = Router(tags=["releases"])


class NewRelease(Body):
    """The application to lock, as in `chain/handbook`."""

    root: str


class Verify(Body):
    """A release by its digest, its root or its reference, or the content of its lock file; `key` must have signed it."""

    release: str | None = None
    lock: dict[str, Any] | None = None
    key: str = ""


def release_json(made: release.Release) -> dict[str, Any]:
    """A release as everyone sees it: its digest, root and lock."""
    return {
        "digest": made.digest,
        "root": made.root.ref,
        "ref": made.version.ref,
        "lock": made.lock,
        "signature": None if made.signature is None else signature_json(made.signature),
    }


@router.post("/releases", status_code=201)
async def make_release(call: AnyCaller, body: NewRelease) -> dict[str, Any]:
    """Lock an application. The same content gives the same release."""
    root = parse_ref(body.root)
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> dict[str, Any]:
        made = release.make_release(db, call.project, root, now_ns=now_ns, by=call.who, signer=call.platform.sign)
        bundle = release.load_bundle(db, call.project, made.digest)
        if made.version.created_ns == now_ns:
            told: JsonObject = {"root": made.root.ref, "digest": made.digest}
            target = made.version.ref
            audit.append(db, call.project, who=call.who, action="release.made", target=target, detail=told, now_ns=now_ns)
        return release_json(made) | {"why_not_hermetic": release.why_not_hermetic(bundle.versions.values())}

    return await call.platform.database.write(work)


@router.get("/releases")
async def list_releases(call: AnyCaller, root: str | None = None, limit: Limit = 100, cursor: str | None = None) -> Page:
    """The releases that were made, by name, the newest of a name first; with `root`, those of `chain/x`."""

    def work(db: Database) -> Page:
        found = release.list_releases(db, call.project, root=root, limit=limit, cursor=cursor)
        return page([_listed(db, each) for each in found.items], found.next)

    return await call.platform.database.read(work)


@router.post("/releases:verify")
async def verify_release(call: AnyCaller, body: Verify) -> dict[str, Any]:
    """Recompute every digest of a release from what is kept, hash the bytes of every blob, and check the signature."""
    project, blobs = call.project, call.platform.blobs(call.project)

    def read(db: Database) -> tuple[JsonObject, Stored]:
        lock = body.lock
        if lock is None:
            named = _served(db, call, body.release or "")
            is_made = is_digest(named) or named.startswith("release/")
            lock = release.lock_of(db, project, named if is_made else release.load_bundle(db, project, named).release)
        return lock, Stored(db, project, lock, blobs)

    if (body.lock is None) == (body.release is None):
        raise Invalid("name a release, or give a lock", hint='Send {"release": "chain/handbook"}.')
    lock, source = await call.platform.database.read(read)
    found = await anyio.to_thread.run_sync(lambda: verify_lock(lock, source, key=body.key))
    own = await anyio.to_thread.run_sync(lambda: call.platform.sign(b"").fingerprint)
    return dict(found.as_json()) | {"own_key": found.fingerprint == own}


@router.get("/releases/{digest}")
async def get_release(call: AnyCaller, digest: str, response: Response) -> dict[str, Any]:
    """A release and everything that it locks."""
    bundle = await load_bundle(call, digest)
    if is_digest(digest):
        response.headers.update(immutable(bundle.release, [(each.ref, each.description) for each in bundle.versions.values()]))
    signature = await call.platform.database.read(lambda db: find_signature(db, call.project, bundle.release))
    return {
        "digest": bundle.release,
        "root": bundle.root.ref,
        "hermetic": bundle.hermetic,
        "why_not_hermetic": release.why_not_hermetic(bundle.versions.values()),
        "signature": None if signature is None else signature_json(signature),
        "artifacts": [version_json(each) for each in bundle.versions.values()],
    }


@router.get("/releases/{digest}/diff/{other}")
async def diff_releases(call: AnyCaller, digest: str, other: str) -> dict[str, Any]:
    """What changed between two releases, component by component."""
    return await differences(call, digest, other, as_releases=True)


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


def _listed(db: Database, each: Version) -> dict[str, Any]:
    signature = find_signature(db, each.project, each.digest)
    return {
        "ref": each.ref,
        "digest": each.digest,
        "root": each.spec["root"],
        "hermetic": each.spec["hermetic"],
        "artifacts": len(cast("Mapping[str, Json]", each.spec["artifacts"])),
        "fingerprint": None if signature is None else signature.fingerprint,
        "created": iso(each.created_ns),
    }


def _served(db: Database, call: Caller, reference: str) -> str:
    """For `endpoint/x` the digest that it serves now; anything else as it is."""
    return get_endpoint(db, call.project, reference).release if reference.startswith("endpoint/") else reference
