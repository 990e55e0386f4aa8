"""What an apply would change, in words: per artifact, and for the endpoints that serve it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sqlalchemy import Connection

from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.store.config import find_config
from tidemill.store.endpoints import list_endpoints
from tidemill.store.prepare import Prepared

Action: TypeAlias = Literal["create", "update", "unchanged"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """What would happen to one artifact. `before` and `after` are labels such as `v3`; None for what has no versions."""

    ref: str
    action: Action
    path: str
    before: str | None = None
    after: str | None = None
    details: tuple[str, ...] = ()
    digest: str | None = None

    def as_json(self) -> JsonObject:
        """The change as the API answers it."""
        names = ("ref", "action", "path", "before", "after", "digest")
        return {**{name: getattr(self, name) for name in names}, "details": list(self.details)}


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A document with all its references resolved; `version` is None for configuration."""

    item: Prepared
    version: Version | None


def version_change(item: Prepared, version: Version, latest: Version | None) -> Change:
    """What would happen to an artifact whose latest version is `latest`."""
    after = f"v{version.number}"
    document = item.document
    if latest is None:
        return Change(ref=version.bare, action="create", path=document.path, after=after, digest=version.digest)
    details = _details(item, version, latest)
    return Change(
        ref=version.bare,
        action="update" if details else "unchanged",
        path=document.path,
        before=f"v{latest.number}",
        after=after,
        details=details,
        digest=version.digest,
    )


def config_change(db: Connection, project: str, item: Prepared) -> Change:
    """What would happen to a connection or an endpoint's configuration."""
    document, spec = item.document, item.parsed.spec
    place = () if document.environment is None else (f"environment {document.environment}",)
    old = find_config(db, project, document.kind, document.name, document.environment)
    if old is None:
        return Change(ref=document.bare, action="create", path=document.path, details=place)
    now = (document.description, dict(document.tags), document.owner)
    if old.spec == spec and (old.description, old.tags, old.owner) == now:
        return Change(ref=document.bare, action="unchanged", path=document.path, details=place)
    what = tuple(item.kind.diff(old.spec, spec)) or ("description, tags or owner changed",)
    return Change(ref=document.bare, action="update", path=document.path, details=(*place, *what))


def affected(db: Connection, project: str, changes: Sequence[Change], entries: Sequence[Entry]) -> tuple[str, ...]:
    """A line for each endpoint that would go on serving what this apply replaces."""
    digests = {each.ref: each.digest for each in changes if each.action == "update" and each.before != each.after}
    own = _changed_themselves(changes, entries)
    lines: list[str] = []
    for endpoint in list_endpoints(db, project):
        root = endpoint.root.partition("@")[0]
        if root in digests:
            old = ", ".join(sorted({each.partition("/")[0] for each in _needs(root, entries) & own})) or root.partition("/")[0]
            name = root.partition("/")[2]
            lines.append(f"release {name} (endpoint/{endpoint.name} serves {endpoint.release[:11]}… with the old {old})")
    return tuple(lines)


def _details(item: Prepared, version: Version, latest: Version) -> tuple[str, ...]:
    lines: list[str] = []
    if version.digest != latest.digest:
        lines.extend(item.kind.diff(latest.spec, version.spec))
        old = {written.partition("@")[0]: digest for written, digest in latest.refs.items()}
        for written, digest in version.refs.items():
            bare = written.partition("@")[0]
            if old.get(bare, digest) != digest:
                lines.append(f"{bare} changed")
        lines = (
            lines or [f"{role} changed" for role in sorted(_changed_keys(latest.blobs, version.blobs))] or ["content changed"]
        )
    names = ("description", "tags", "owner")
    lines.extend(f"{name} changed" for name in names if getattr(version, name) != getattr(latest, name))
    return tuple(lines)


def _changed_keys(old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    return {key for key in {*old, *new} if old.get(key) != new.get(key)}


def _changed_themselves(changes: Sequence[Change], entries: Sequence[Entry]) -> set[str]:
    """The changed artifacts that changed by more than what they refer to."""
    updated = {each.ref: each for each in changes if each.action == "update"}
    found: set[str] = set()
    for entry in entries:
        if entry.version is not None and (change := updated.get(entry.version.bare)) is not None:
            by_reference = {f"{written.partition('@')[0]} changed" for written in entry.version.refs}
            if set(change.details) - by_reference:
                found.add(entry.version.bare)
    return found


def _needs(root: str, entries: Sequence[Entry]) -> set[str]:
    """`root` and all it needs among these entries."""
    refs = {each.version.bare: each.version.refs for each in entries if each.version is not None}
    found: set[str] = set()
    waiting = [root]
    while waiting:
        bare = waiting.pop()
        if bare not in found:
            found.add(bare)
            waiting.extend(parse_ref(written).bare for written in refs.get(bare, ()))
    return found
