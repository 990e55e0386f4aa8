"""Plan and apply: what a project's files would change, and changing exactly that, all of it or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection

from tidemill.core.digests import digest_json
from tidemill.core.documents import SourceDocument
from tidemill.core.errors import Conflict, Invalid, Problem
from tidemill.core.extend import ArtifactKind, BlobReader
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import parse_ref
from tidemill.store import audit
from tidemill.store.changes import Change, Entry, affected, changes_of
from tidemill.store.config import list_configs, put_config
from tidemill.store.files import FilesFolder
from tidemill.store.known import Known
from tidemill.store.lineage_notes import note_files
from tidemill.store.prepare import Preparation, Prepared, placed, prepare
from tidemill.store.projects import ensure_project
from tidemill.store.registry import add_version, digest_of, is_same
from tidemill.store.resolve import Resolver, Target


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """`changes` are creates and updates; `unchanged` the rest; `affects` what serves old content after an apply.

    `notes` are problems that do not stop it, such as a document that could not be read while the rest could. `latest` is what
    the registry has now, by `kind/name`.
    """

    changes: tuple[Change, ...]
    unchanged: tuple[Change, ...]
    notes: tuple[Problem, ...]
    affects: tuple[str, ...]
    entries: tuple[Entry, ...]
    latest: Mapping[str, Version] = field(default_factory=dict[str, Version])

    @property
    def digest(self) -> str:
        """Names all that the plan would do, and to what: the same files over another registry have another."""
        return digest_json([[each.ref, each.environment, each.action, each.identity] for each in self.changes])

    def as_json(self) -> JsonObject:
        """The plan as the API answers it. Telling changes in words may read blobs, and take a while."""
        notes: list[Json] = [{"message": each.message, "where": each.where, "hint": each.hint} for each in self.notes]
        changes = [each.as_json() for each in self.changes]
        return {"changes": changes, "notes": notes, "affects": list(self.affects), "digest": self.digest}


@dataclass(frozen=True, kw_only=True, slots=True)
class Applied:
    """What was done, and the versions that the files' artifacts have now."""

    plan: Plan
    versions: tuple[Version, ...]


def make_plan(
    db: Connection,
    *,
    project: str,
    kinds: Mapping[str, ArtifactKind],
    environment: str,
    files: FilesFolder | None = None,
    documents: Iterable[SourceDocument] = (),
    preparation: Preparation | None = None,
    blobs: BlobReader | None = None,
) -> Plan:
    """What applying these files would change. Raises one `Invalid` with every problem of every document.

    Parsing may be slow: give its result as `preparation` (see `prepare`), or `files` and `documents` to have it done here.
    With `blobs`, what changed in them is told too, when the changes are asked for their words.
    """
    if preparation is None:
        if files is None:
            raise Invalid("a plan needs files")
        preparation = prepare(files=files, documents=documents, kinds=kinds)
    resolver = Resolver(db, project, preparation, kinds)
    targets = {bare: resolver.targets(item) for bare, item in resolver.items.items()}
    versions: dict[str, Version] = {}
    known = Known(db, project, [(each.document.kind, each.document.name) for each in resolver.items.values()])
    for bare in resolver.order(targets):
        version = _version(known, project, resolver.items[bare], targets[bare], versions)
        if version is not None:
            versions[bare] = version
            resolver.problems.extend(_check(resolver.items[bare], targets[bare], versions))
    entries = [Entry(item=resolver.items[bare], version=version) for bare, version in versions.items()]
    for item in preparation.items:
        if not item.kind.versioned:
            resolver.problems.extend(_check(item, resolver.targets(item), versions))
            entries.append(Entry(item=item, version=None))
    _raise_all([*preparation.problems, *resolver.problems])
    return _plan(db, project, entries, known.latest, environment=environment, blobs=blobs)


def apply_plan(  # noqa: PLR0913  (what a plan takes, and who and when)
    db: Connection,
    *,
    project: str,
    kinds: Mapping[str, ArtifactKind],
    environment: str,
    now_ns: int,
    by: str = "",
    files: FilesFolder | None = None,
    documents: Iterable[SourceDocument] = (),
    preparation: Preparation | None = None,
    blobs: BlobReader | None = None,
    check: Callable[[Connection, Plan], None] | None = None,
    expected: str | None = None,
) -> Applied:
    """Plan within this transaction and do what the plan says, unless `check` raises. The same files again change nothing.

    With `expected`, the digest of a plan that somebody saw, raises `Conflict` when this would do anything else.
    """
    plan = make_plan(
        db,
        project=project,
        kinds=kinds,
        environment=environment,
        files=files,
        documents=documents,
        preparation=preparation,
        blobs=blobs,
    )
    _check_expected(plan, expected)
    if check is not None:
        check(db, plan)
    ensure_project(db, project, now_ns=now_ns, by=by)
    versions = tuple(_keep(db, project, plan, by=by, now_ns=now_ns))
    if plan.changes:
        _note(db, project, plan.changes, by=by, now_ns=now_ns)
    return Applied(plan=plan, versions=versions)


def _check_expected(plan: Plan, expected: str | None) -> None:
    if expected is not None and plan.digest != expected:
        hint = "Look at what would change now: tidemill plan"
        raise Conflict("the registry changed since this plan was made, or the files did", hint=hint)


def _note(db: Connection, project: str, changes: Sequence[Change], *, by: str, now_ns: int) -> None:
    """Add a line to the audit: what changed from which version to which."""
    told: list[Json] = [
        {"ref": each.ref, "action": each.action, "before": each.before, "after": each.after, "digest": each.digest}
        for each in changes
    ]
    audit.append(db, project, who=by, action="apply", target=f"project/{project}", detail={"changes": told}, now_ns=now_ns)


def _keep(db: Connection, project: str, plan: Plan, *, by: str, now_ns: int) -> list[Version]:
    kept: list[Version] = []
    read: list[tuple[str, Version]] = []
    for entry in plan.entries:
        document, parsed = entry.item.document, entry.item.parsed
        if (same := _unchanged(plan, entry)) is not None:
            kept.append(same)
            continue
        outside = {"description": document.description, "owner": document.owner}
        if entry.version is None:
            put_config(
                db,
                project,
                document.kind,
                document.name,
                document.environment,
                parsed.spec,
                now_ns=now_ns,
                tags=document.tags,
                **outside,
            )
            continue
        version, is_new = add_version(
            db,
            project=project,
            kind=document.kind,
            name=document.name,
            parsed_spec=parsed.spec,
            refs=entry.version.refs,
            blobs=parsed.blobs,
            tags=document.tags,
            by=by,
            now_ns=now_ns,
            hermetic=parsed.hermetic,
            **outside,
        )
        kept.append(version)
        read += [(path, version) for path in _files_of(document)] if is_new else []
    note_files(db, project, read, now_ns=now_ns)
    return kept


def _unchanged(plan: Plan, entry: Entry) -> Version | None:
    """The latest version, where the document would change nothing of it."""
    latest = None if entry.version is None else plan.latest.get(entry.version.bare)
    return latest if latest is not None and entry.version is not None and is_same(latest, entry.version) else None


def _files_of(document: SourceDocument) -> list[str]:
    """The file that a document stands in, and the one that it takes its rows from."""
    path = document.body.get("path")
    return [document.path, *([path] if document.kind == "dataset" and isinstance(path, str) else [])]


def _version(
    known: Known, project: str, item: Prepared, targets: Mapping[str, Target], versions: Mapping[str, Version]
) -> Version | None:
    """The version that the document would be; None when something that it needs is broken."""
    document, parsed = item.document, item.parsed
    refs: dict[str, str] = {}
    for written in parsed.references.values():
        target = targets.get(written)
        if target is None:
            return None
        needed = versions.get(target.local) if target.local is not None else target.version
        if target.local is not None and needed is None:
            return None
        if needed is not None:
            refs[written] = needed.digest
    digest = digest_of(document.kind, spec=parsed.spec, refs=refs, blobs=parsed.blobs)
    return Version(
        project=project,
        kind=document.kind,
        name=document.name,
        number=known.number_of(document.kind, document.name, digest),
        digest=digest,
        spec=parsed.spec,
        refs=refs,
        blobs=parsed.blobs,
        description=document.description,
        tags=document.tags,
        owner=document.owner,
    )


def _check(item: Prepared, targets: Mapping[str, Target], versions: Mapping[str, Version]) -> list[Problem]:
    resolved: dict[str, Version] = {}
    for written, target in targets.items():
        version = versions.get(target.local) if target.local is not None else target.version
        if version is not None:
            resolved[written] = version
    return [placed(item.document, each) for each in item.kind.check(item.parsed.spec, resolved=resolved)]


def _plan(
    db: Connection,
    project: str,
    entries: Sequence[Entry],
    latest: Mapping[str, Version],
    *,
    environment: str,
    blobs: BlobReader | None = None,
) -> Plan:
    changes = changes_of(db, project, entries, latest=latest, blobs=blobs)
    notes = [placed(entry.item.document, each) for entry in entries for each in entry.item.parsed.notes]
    notes.extend(_connection_notes(db, project, entries, environment=environment))
    return Plan(
        changes=tuple(each for each in changes if each.action != "unchanged"),
        unchanged=tuple(each for each in changes if each.action == "unchanged"),
        notes=tuple(notes),
        affects=affected(db, project, changes, entries),
        entries=tuple(entries),
        latest=latest,
    )


def _connection_notes(db: Connection, project: str, entries: Sequence[Entry], *, environment: str) -> list[Problem]:
    """A note for each named connection that is not set for this environment."""
    set_here = {None, environment}
    known = {each.bare for each in list_configs(db, project, kind="connection") if each.environment in set_here}
    known |= {entry.item.document.bare for entry in entries if entry.item.document.environment in set_here}
    notes: list[Problem] = []
    for entry in entries:
        for place, written in entry.item.parsed.references.items():
            ref = parse_ref(written)
            if ref.kind == "connection" and ref.bare not in known:
                message = f"{ref.bare} is not set for environment {environment!r}"
                notes.append(placed(entry.item.document, Problem(message=message, where=place)))
    return notes


def _raise_all(problems: Sequence[Problem]) -> None:
    found = list(dict.fromkeys(problems))
    if len(found) == 1:
        only = found[0]
        raise Invalid(only.message, where=only.where, hint=only.hint, problems=found)
    if found:
        raise Invalid(f"{len(found)} problems", problems=found)
