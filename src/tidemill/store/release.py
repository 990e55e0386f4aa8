"""Releases: an application's lock file, every reference resolved to a digest, under one digest for the whole.

A release is an artifact of kind `release` under its root's name. Its digest is that of the spec `{root, artifacts, hermetic}`
without refs and blobs; the lock's `engine` and `signature` stand outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, and_, or_, select

from tidemill.core.digests import SCHEMA
from tidemill.core.errors import Invalid, NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Bundle, Version
from tidemill.core.refs import Ref, is_digest, parse_ref
from tidemill.store.deleted import deleted_with
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.registry import (
    add_version,
    digest_of,
    find_by_digest,
    find_by_digests,
    get_version,
    is_hermetic,
    version_of,
)
from tidemill.store.signatures import Signer, find_signature, sign_release, signature_json
from tidemill.store.signing import Signature
from tidemill.store.tables import versions

ENGINE = "tidemill-engine/1"
ROOT_KINDS = ("chain", "agent", "prompt", "model", "route", "function")


@dataclass(frozen=True, kw_only=True, slots=True)
class Release:
    """An application under one digest; `lock` is the content of `NAME.lock.json`."""

    digest: str
    root: Version
    lock: JsonObject
    version: Version
    signature: Signature | None = None


def make_release(
    db: Connection,
    project: str,
    root: Ref | str,
    *,
    now_ns: int,
    by: str = "",
    engine: str = ENGINE,
    signer: Signer | None = None,
) -> Release:
    """Lock `root` and all it needs, keep the release, and sign it. The same content gives the same release again."""
    bundle = load_bundle(db, project, root)
    spec = _lock_spec(bundle)
    version, _ = add_version(
        db,
        project=project,
        kind="release",
        name=bundle.root.name,
        parsed_spec=spec,
        refs={},
        blobs={},
        description=bundle.root.description,
        by=by,
        now_ns=now_ns,
        hermetic=bundle.hermetic,
    )
    if signer is None:
        signature = find_signature(db, project, version.digest)
    else:
        signature = sign_release(db, project, version.digest, signer=signer, now_ns=now_ns, by=by)
    lock = _lock(spec, version.digest, engine, signature)
    return Release(digest=version.digest, root=bundle.root, lock=lock, version=version, signature=signature)


def get_release(db: Connection, project: str, ref_or_digest: Ref | str, *, engine: str = ENGINE) -> Release:
    """A release that was made, by its digest or reference. Raises `NotFound`."""
    version = _release_version(db, project, ref_or_digest)
    bundle = _unlock(db, project, version)
    signature = find_signature(db, project, version.digest)
    lock = _lock(version.spec, version.digest, engine, signature)
    return Release(digest=version.digest, root=bundle.root, lock=lock, version=version, signature=signature)


def list_releases(
    db: Connection, project: str, *, root: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page[Version]:
    """Releases as artifacts, by name, the newest of a name first; of one root (`chain/x`) or of all."""
    query = select(versions).where(versions.c.project == project, versions.c.kind == "release")
    if root is not None:
        ref = parse_ref(root)
        written = versions.c.spec["root"].as_string()
        query = query.where(
            versions.c.name == ref.name, or_(written == ref.bare, written.startswith(f"{ref.bare}@", autoescape=True))
        )
    if cursor is not None:
        after = parse_ref(cursor, kind="release")
        if after.number is None:
            raise Invalid(f"cursor {cursor!r} is not one of this list")
        older = and_(versions.c.name == after.name, versions.c.number < after.number)
        query = query.where(or_(versions.c.name > after.name, older))
    rows = db.execute(query.order_by(versions.c.name, versions.c.number.desc()).limit(check_limit(limit) + 1))
    return make_page([version_of(row) for row in rows], limit=limit, cursor_of=lambda each: each.ref)


def lock_of(db: Connection, project: str, ref_or_digest: Ref | str) -> JsonObject:
    """The content of a release's lock file, also when something that it locks is gone. Raises `NotFound`."""
    version = _release_version(db, project, ref_or_digest)
    return _lock(version.spec, version.digest, ENGINE, find_signature(db, project, version.digest))


def why_not_hermetic(found: Iterable[Version]) -> list[str]:
    """For each version whose digest does not cover all that it runs, why not."""
    return [f"{each.bare}: {why}" for each in found for why in _reasons(each.spec)]


def _reasons(value: Json) -> Iterator[str]:
    if isinstance(value, Mapping):
        why = value.get("why")
        if value.get("hermetic") is False and isinstance(why, Sequence) and not isinstance(why, str):
            yield from map(str, why)
        for each in value.values():
            yield from _reasons(each)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for each in value:
            yield from _reasons(each)


def load_bundle(db: Connection, project: str, ref_or_digest: Ref | str) -> Bundle:
    """An application ready to run, by a release's digest or reference, or by its root's reference.

    For a root, the bundle carries the digest that its release has, or would have: nothing is written.
    """
    if isinstance(ref_or_digest, str) and is_digest(ref_or_digest):
        return _unlock(db, project, _release_version(db, project, ref_or_digest))
    ref = parse_ref(ref_or_digest) if isinstance(ref_or_digest, str) else ref_or_digest
    if ref.kind == "release":
        return _unlock(db, project, get_version(db, project, ref))
    if ref.kind not in ROOT_KINDS:
        raise Invalid(f"{ref} cannot be run", hint=f"An application is one of {', '.join(ROOT_KINDS)}, or a release.")
    root = get_version(db, project, ref)
    found = _closure(db, root)
    hermetic = all(is_hermetic(db, each) for each in found.values())
    bundle = Bundle(release="", root=root, versions=found, hermetic=hermetic)
    digest = digest_of("release", spec=_lock_spec(bundle), refs={}, blobs={})
    return Bundle(release=digest, root=root, versions=found, hermetic=hermetic)


def _release_version(db: Connection, project: str, ref_or_digest: Ref | str) -> Version:
    if isinstance(ref_or_digest, str) and is_digest(ref_or_digest):
        found = find_by_digest(db, project, ref_or_digest, kind="release")
        if found is None:
            for each in deleted_with(db, project, ref_or_digest, kind="release"):
                return get_version(db, project, Ref(kind="release", name=each.version.name, version=ref_or_digest))
            raise NotFound(
                f"there is no release {ref_or_digest} in project {project!r}", hint="List them: tidemill get release"
            )
        return found
    return get_version(
        db, project, parse_ref(ref_or_digest, kind="release") if isinstance(ref_or_digest, str) else ref_or_digest
    )


def _closure(db: Connection, root: Version) -> dict[str, Version]:
    """Every version that `root` needs, direct or not, and itself, by digest."""
    found = {root.digest: root}
    waiting = [root]
    while waiting:
        version = waiting.pop()
        for written, digest in version.refs.items():
            if digest in found:
                continue
            ref = parse_ref(written)
            needed = find_by_digest(db, version.project, digest, kind=ref.kind, name=ref.name)
            if needed is None:
                raise NotFound(f"{version.ref} needs {ref.bare}@{digest}, which is gone")
            found[digest] = needed
            waiting.append(needed)
    return found


def _lock_spec(bundle: Bundle) -> JsonObject:
    """What a release's digest covers. A key is `kind/name`, with the digest where two versions of one artifact are locked."""
    count: dict[str, int] = {}
    for each in bundle.versions.values():
        count[each.bare] = count.get(each.bare, 0) + 1

    def key(version: Version) -> str:
        return version.bare if count[version.bare] == 1 else f"{version.bare}@{version.digest}"

    locked = sorted((key(each), each) for each in bundle.versions.values())
    return {
        "root": key(bundle.root),
        "artifacts": {name: {"digest": each.digest, "blobs": dict(each.blobs)} for name, each in locked},
        "hermetic": bundle.hermetic,
    }


def _lock(spec: JsonObject, digest: str, engine: str, signature: Signature | None) -> JsonObject:
    lock: JsonObject = {"schema": SCHEMA, **spec, "engine": engine, "digest": digest}
    return lock if signature is None else {**lock, "signature": signature_json(signature)}


def _unlock(db: Connection, project: str, release: Version) -> Bundle:
    spec = cast("Mapping[str, Any]", release.spec)
    locked: dict[str, str] = {name: entry["digest"] for name, entry in spec["artifacts"].items()}
    stored: dict[tuple[str, str], Version] = {
        (each.bare, each.digest): each for each in find_by_digests(db, project, sorted(set(locked.values())))
    }
    found: dict[str, Version] = {}
    for name, digest in locked.items():
        version = stored.get((name.partition("@")[0], digest))
        if version is None:
            raise NotFound(f"{release.ref} locks {name}@{digest}, which is gone")
        found[digest] = version
    return Bundle(release=release.digest, root=found[locked[spec["root"]]], versions=found, hermetic=bool(spec["hermetic"]))
