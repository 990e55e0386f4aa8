"""What an apply would change, in words: per artifact, and for the endpoints that serve it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Literal, TypeAlias

from sqlalchemy import Connection, select

from tidemill.core.difference import Difference, field_changes
from tidemill.core.errors import TidemillError
from tidemill.core.extend import ArtifactKind, BlobReader, ExplainsChanges
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.store.config import find_config
from tidemill.store.endpoints import list_endpoints
from tidemill.store.prepare import Prepared
from tidemill.store.tables import versions as version_rows
from tidemill.store.upsert import in_batches

Action: TypeAlias = Literal["create", "update", "unchanged"]
Explain: TypeAlias = Callable[[], Difference]
_OUTSIDE = ("description", "tags", "owner")
_SIZES = {"rows_count": "row", "columns": "column", "documents_count": "document", "steps": "step", "checks": "check"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Moved:
    """A reference that leads to another version than before, or came, or went. `before` and `after` are labels as `v3`."""

    ref: str
    before: str | None
    after: str | None
    before_digest: str | None
    after_digest: str | None

    def as_json(self) -> JsonObject:
        """As the API answers it."""
        return {name: getattr(self, name) for name in ("ref", "before", "after", "before_digest", "after_digest")}


def _nothing() -> Difference:
    return Difference()


@dataclass(frozen=True, kw_only=True)
class Change:
    """What would happen to one artifact. `before` and `after` are labels such as `v3`; None for what has no versions.

    `was` is the digest that it has now. `itself` says that more changed than what it refers to. In words it is told when
    first asked for, which may read blobs: ask on a worker thread, outside of transactions.
    """

    ref: str
    action: Action
    path: str
    before: str | None = None
    after: str | None = None
    digest: str | None = None
    was: str | None = None
    itself: bool = True
    environment: str | None = None
    references: tuple[Moved, ...] = ()
    identity: Json = None
    explain: Explain = field(default=_nothing, repr=False, compare=False)

    @functools.cached_property
    def difference(self) -> Difference:
        """All that changed, with the references that moved at the end of its lines."""
        return with_moves(self.explain(), self.references)

    @property
    def details(self) -> tuple[str, ...]:
        """Lines for a person."""
        place = () if self.environment is None else (f"environment {self.environment}",)
        lines = self.difference.bounded_lines()
        return (*place, *(lines or (("content changed",) if self.action == "update" else ())))

    def as_json(self) -> JsonObject:
        """The change as the API answers it."""
        names = ("ref", "action", "path", "before", "after", "digest")
        found: dict[str, Json] = {name: getattr(self, name) for name in names}
        found["details"] = list(self.details)
        if self.action == "update":
            found.update(self.difference.as_json())
            found["references"] = [each.as_json() for each in self.references]
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """A document with all its references resolved; `version` is None for configuration."""

    item: Prepared
    version: Version | None


def changes_of(
    db: Connection,
    project: str,
    entries: Sequence[Entry],
    *,
    latest: Mapping[str, Version],
    blobs: BlobReader | None = None,
) -> list[Change]:
    """What would happen to each entry; `latest` has the latest version of every artifact that exists, by `kind/name`."""
    planned = {(each.version.bare, each.version.digest): each.version.number for each in entries if each.version is not None}
    pairs = [
        (latest[each.version.bare], each.version)
        for each in entries
        if each.version is not None and each.version.bare in latest and latest[each.version.bare].digest != each.version.digest
    ]
    labels = Labels(db, project, pairs, planned)
    changes: list[Change] = []
    for entry in entries:
        item, version = entry.item, entry.version
        if version is None:
            changes.append(_config_change(db, project, item))
        else:
            changes.append(_version_change(item, version, latest.get(version.bare), labels=labels, blobs=blobs))
    return changes


class Labels:
    """The numbers of the versions that references lead to, looked up at once."""

    def __init__(
        self,
        db: Connection,
        project: str,
        pairs: Iterable[tuple[Version, Version]],
        planned: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        self._numbers = dict(planned or {})
        digests = {digest for pair in pairs for each in _moved(*pair) for digest in each[1:] if digest}
        wanted = sorted(digests - {digest for _, digest in self._numbers})
        rows = version_rows.c
        for batch in in_batches(wanted):
            query = select(rows.kind, rows.name, rows.digest, rows.number).where(
                rows.project == project, rows.digest.in_(batch)
            )
            for kind, name, digest, number in db.execute(query):
                self._numbers.setdefault((f"{kind}/{name}", digest), number)

    def moved(self, old: Version, new: Version) -> tuple[Moved, ...]:
        """The references that lead elsewhere in the new version."""
        return tuple(
            Moved(
                ref=bare, before=self._label(bare, before), after=self._label(bare, after), before_digest=before,
                after_digest=after,
            )
            for bare, before, after in _moved(old, new)
        )  # fmt: skip

    def _label(self, bare: str, digest: str | None) -> str | None:
        if digest is None:
            return None
        number = self._numbers.get((bare, digest))
        return f"v{number}" if number is not None else digest[:15]


def with_moves(difference: Difference, references: Iterable[Moved]) -> Difference:
    """The difference, and a line for each reference that leads to another version now."""
    moves = [f"{each.ref} {each.before} -> {each.after}" for each in references if each.before and each.after]
    return difference.with_lines(*moves) if moves else difference


def difference_between(kind: ArtifactKind | None, old: Version, new: Version, *, blobs: BlobReader | None) -> Difference:
    """What a kind says of two of its versions, and what stands outside the digest; never raises for a blob that is gone."""
    lines = [f"{name} changed" for name in _OUTSIDE if getattr(old, name) != getattr(new, name)]
    if old.digest == new.digest:
        return Difference(lines=tuple(lines))
    if isinstance(kind, ExplainsChanges) and blobs is not None:
        try:
            return kind.changes(old, new, blobs=blobs).with_lines(*lines)
        except TidemillError as error:
            lines = [f"its content cannot be compared: {error.message}", *lines]
    told = [] if kind is None else list(kind.diff(old.spec, new.spec))
    if not told:
        told = [f"{role} changed" for role in sorted({*old.blobs, *new.blobs}) if old.blobs.get(role) != new.blobs.get(role)]
    return Difference(lines=(*told, *lines), fields=tuple(field_changes(old.spec, new.spec)))


def affected(db: Connection, project: str, changes: Sequence[Change], entries: Sequence[Entry]) -> tuple[str, ...]:
    """A line for each endpoint that would go on serving what this apply replaces."""
    digests = {each.ref: each.digest for each in changes if each.action == "update" and each.before != each.after}
    own = {each.ref for each in changes if each.action == "update" and each.itself}
    lines: list[str] = []
    for endpoint in list_endpoints(db, project):
        root = endpoint.root.partition("@")[0]
        if root in digests:
            old = ", ".join(sorted({each.partition("/")[0] for each in _needs(root, entries) & own})) or root.partition("/")[0]
            name = root.partition("/")[2]
            lines.append(f"release {name} (endpoint/{endpoint.name} serves {endpoint.release[:11]}… with the old {old})")
    return tuple(lines)


def _version_change(
    item: Prepared, version: Version, latest: Version | None, *, labels: Labels, blobs: BlobReader | None
) -> Change:
    after, path = f"v{version.number}", item.document.path
    if latest is None:
        return Change(
            ref=version.bare,
            action="create",
            path=path,
            after=after,
            digest=version.digest,
            identity=_identity(version),
            explain=functools.partial(_size, version.spec),
        )
    same_content = version.digest == latest.digest
    same_outside = all(getattr(version, name) == getattr(latest, name) for name in _OUTSIDE)
    return Change(
        ref=version.bare,
        action="unchanged" if same_content and same_outside else "update",
        path=path,
        before=f"v{latest.number}",
        after=after,
        digest=version.digest,
        was=latest.digest,
        itself=not (same_outside and version.spec == latest.spec and version.blobs == latest.blobs),
        references=() if same_content else labels.moved(latest, version),
        identity=[_identity(latest), _identity(version)],
        explain=functools.partial(difference_between, item.kind, latest, version, blobs=blobs),
    )


def _config_change(db: Connection, project: str, item: Prepared) -> Change:
    """What would happen to a connection or an endpoint's configuration."""
    document, spec = item.document, item.parsed.spec
    old = find_config(db, project, document.kind, document.name, document.environment)
    now = (document.description, dict(document.tags), document.owner)
    if old is None:
        return Change(
            ref=document.bare,
            path=document.path,
            environment=document.environment,
            action="create",
            identity=[None, [spec, list(now)]],
        )
    was = (old.description, dict(old.tags), old.owner)
    return Change(
        ref=document.bare,
        path=document.path,
        environment=document.environment,
        action="unchanged" if old.spec == spec and was == now else "update",
        identity=[[old.spec, list(was)], [spec, list(now)]],
        explain=functools.partial(_config_difference, item.kind, old.spec, spec),
    )


def _config_difference(kind: ArtifactKind, old: JsonObject, new: JsonObject) -> Difference:
    lines = tuple(kind.diff(old, new)) or ("description, tags or owner changed",)
    return Difference(lines=lines, fields=tuple(field_changes(old, new)))


def _size(spec: JsonObject) -> Difference:
    """How much there is of something new: `62 rows, 4 columns`."""
    told: list[str] = []
    for key, unit in _SIZES.items():
        value = spec.get(key)
        number = value if isinstance(value, int) else len(value) if isinstance(value, Mapping | list | tuple) else 0
        if number:
            told.append(f"{number} {unit}{'' if number == 1 else 's'}")
    return Difference(lines=(", ".join(told),) if told else ())


def _identity(version: Version) -> Json:
    return [version.digest, version.description, dict(version.tags), version.owner]


def _moved(old: Version, new: Version) -> list[tuple[str, str | None, str | None]]:
    """The references whose target is another now: `kind/name`, the digest before and the one after."""
    before, after = _targets(old), _targets(new)
    found: list[tuple[str, str | None, str | None]] = []
    for bare in dict.fromkeys((*before, *after)):
        gone = [each for each in before.get(bare, ()) if each not in after.get(bare, ())]
        come = [each for each in after.get(bare, ()) if each not in before.get(bare, ())]
        found.extend((bare, before_one, after_one) for before_one, after_one in zip_longest(gone, come))
    return found


def _targets(version: Version) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for written, digest in version.refs.items():
        found.setdefault(parse_ref(written).bare, []).append(digest)
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
