"""What a project's files last said of each artifact, and where the registry went another way since.

The registry also changes without files: rows are appended, a model is tuned, a pipeline puts parts in the place of others. With
what the files said at the last apply beside it, three cases can be told apart: the files changed, the registry changed, both.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import BigInteger, Column, Connection, String, Table, and_, select
from sqlalchemy.engine import Row

from tidemill.core.digests import digest_json
from tidemill.core.errors import Conflict, Problem
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.store.audit import append, audit
from tidemill.store.changes import Entry
from tidemill.store.registry import LATEST
from tidemill.store.tables import alias_moves, artifacts, configs, metadata, versions
from tidemill.store.upsert import in_batches, upsert

Case: TypeAlias = Literal["registry", "both", "behind", "gone"]
Key: TypeAlias = tuple[str, str, str]
"""Kind, name, and the environment; empty for what is the same in all of them."""
Described: TypeAlias = tuple[str, Mapping[str, str], str]
"""Description, tags and owner: what stands outside a version's digest."""
_UNDONE: Final = frozenset({"registry", "both"})
_SHOWN: Final = 20

applied = Table(
    "applied",
    metadata,
    Column("project", String, primary_key=True, nullable=False),
    Column("kind", String, primary_key=True, nullable=False),
    Column("name", String, primary_key=True, nullable=False),
    Column("environment", String, primary_key=True, nullable=False),  # empty: every environment
    Column("path", String, nullable=False),
    Column("digest", String, nullable=False),
    Column("described", String, nullable=False),  # of description, tags and owner; empty when there are none
    Column("applied_by", String, nullable=False),
    Column("applied_ns", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """Where files and registry went apart.

    `case` is `registry` (it changed by another door since these files were applied), `both` (so did the files), `behind` (the
    files are of an apply before the last) or `gone` (the files said it once, and say it no more). `files` and `registry` are
    labels such as `v4`; `files` is None for content that the registry does not have. Who moved it, and when: `by`, `when_ns`.
    """

    ref: str
    case: Case
    path: str
    environment: str | None = None
    files: str | None = None
    registry: str | None = None
    by: str = ""
    when_ns: int | None = None

    @property
    def is_undone(self) -> bool:
        """Whether an apply of these files would undo what somebody did to the registry."""
        return self.case in _UNDONE

    def as_json(self) -> JsonObject:
        """The drift as the API answers it; `when` is ISO 8601."""
        when = None if self.when_ns is None else dt.datetime.fromtimestamp(self.when_ns / 1e9, dt.UTC)
        return {
            "ref": self.ref, "case": self.case, "files": self.files, "registry": self.registry, "by": self.by,
            "when": None if when is None else when.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "path": self.path, "environment": self.environment,
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """What the registry has of an artifact now; `number` is None for what has no versions."""

    number: int | None
    digest: str
    described: Described
    updated_ns: int


def find_drift(db: Connection, project: str, entries: Sequence[Entry], *, whole: bool = True) -> tuple[Drift, ...]:
    """Where the registry and these documents went apart since they were applied; with `whole`, they are all that there are."""
    said = _said(db, project)
    if not said:
        return ()
    mine = {key_of(entry): entry for entry in entries}
    there = standing(db, project, {*(mine.keys() & said.keys()), *(said.keys() if whole else ())})
    found = [
        _drifted(db, project, mine[key], said=said[key], now=there[key])
        for key in mine
        if key in said and key in there and not _says(mine[key], there[key])
    ]
    gone = [_gone(key, row) for key, row in said.items() if key in there and key not in mine] if whole else []
    return tuple(each for each in (*found, *gone) if each is not None)


def refuse_undoing(drift: Iterable[Drift]) -> None:
    """Raise `Conflict`, naming each, when an apply would undo what somebody did to the registry by another door."""
    undone = [each for each in drift if each.is_undone]
    if not undone:
        return
    hint = "Take it into the files: tidemill pull. To go back to what they say: tidemill apply, without --strict"
    problems = [Problem(message=f"{each.ref}: {_told(each)}", where=each.path, hint=hint) for each in undone[:_SHOWN]]
    names = ", ".join(each.ref for each in undone[:3]) + (f" and {len(undone) - 3} more" if len(undone) > 3 else "")
    raise Conflict(
        f"the registry was changed since these files were applied: {names}",
        hint=hint,
        problems=problems if len(problems) == 1 else [replace(each, hint="") for each in problems],
    )


def record_applied(db: Connection, project: str, entries: Sequence[Entry], *, by: str, now_ns: int) -> int:
    """Note what the files say now; how many rows were written. What they said already is not written again."""
    said = _said(db, project)
    rows: list[Mapping[str, Any]] = []
    for entry in entries:
        key, digest = key_of(entry), digest_in(entry)
        now = (entry.item.document.path, digest, described_digest(described_in(entry)))
        old = said.get(key)
        if old is None or (old.path, old.digest, old.described) != now:
            rows.append(_row(project, key, now, by=by, now_ns=now_ns))
    upsert(db, applied, rows)
    return len(rows)


def record_pulled(db: Connection, project: str, places: Mapping[Key, str], *, by: str, now_ns: int) -> None:
    """Note that the files at `places` say now what the registry has, as after a pull."""
    there = standing(db, project, places)
    upsert(
        db,
        applied,
        [
            _row(project, key, (places[key], now.digest, described_digest(now.described)), by=by, now_ns=now_ns)
            for key, now in there.items()
        ],
    )
    if there:
        detail: JsonObject = {"count": len(there), "files": sorted({places[key] for key in there})[:100]}
        append(db, project, who=by, action="pulled", target=f"project/{project}", detail=detail, now_ns=now_ns)


def standing(db: Connection, project: str, keys: Iterable[Key]) -> dict[Key, Standing]:
    """What the registry has of these artifacts; those that it does not have are left out."""
    wanted = set(keys)
    found: dict[Key, Standing] = {}
    same = (artifacts.c.project == versions.c.project, artifacts.c.kind == versions.c.kind)
    latest = select(
        versions.c.kind, versions.c.name, versions.c.number, versions.c.digest, versions.c.description, versions.c.tags,
        versions.c.owner, artifacts.c.updated_ns,
    ).join(artifacts, and_(*same, artifacts.c.name == versions.c.name, artifacts.c.latest == versions.c.number))  # fmt: skip
    for names in in_batches(sorted({name for _, name, _ in wanted})):
        for row in db.execute(latest.where(artifacts.c.project == project, artifacts.c.name.in_(names))):
            if (key := (row.kind, row.name, "")) in wanted:
                described = (row.description, row.tags, row.owner)
                found[key] = Standing(number=row.number, digest=row.digest, described=described, updated_ns=row.updated_ns)
        for row in db.execute(select(configs).where(configs.c.project == project, configs.c.name.in_(names))):
            if (key := (row.kind, row.name, row.environment)) in wanted:
                described = (row.description, row.tags, row.owner)
                digest = digest_json(row.spec)
                found[key] = Standing(number=None, digest=digest, described=described, updated_ns=row.updated_ns)
    return found


def said_paths(db: Connection, project: str) -> dict[Key, str]:
    """The file in which each artifact stood when it was last applied."""
    return {key: row.path for key, row in _said(db, project).items()}


def key_of(entry: Entry) -> Key:
    """How a document is found again."""
    document = entry.item.document
    return document.kind, document.name, document.environment or ""


def digest_in(entry: Entry) -> str:
    """The digest that a document's content has: its version's, or that of what is configured."""
    return digest_json(entry.item.parsed.spec) if entry.version is None else entry.version.digest


def described_in(entry: Entry) -> Described:
    """What a document says outside its digest."""
    document = entry.item.document
    return document.description, document.tags, document.owner


def described_digest(described: Described) -> str:
    """The digest of description, tags and owner; empty when there are none."""
    description, tags, owner = described
    if not (description or tags or owner):
        return ""
    return digest_json({"description": description, "tags": dict(tags), "owner": owner})


def _said(db: Connection, project: str) -> dict[Key, Row[Any]]:
    query = select(applied).where(applied.c.project == project)
    rows = db.execute(query.order_by(applied.c.kind, applied.c.name, applied.c.environment))
    return {(row.kind, row.name, row.environment): row for row in rows}


def _says(entry: Entry, now: Standing) -> bool:
    description, tags, owner = described_in(entry)
    return digest_in(entry) == now.digest and (description, dict(tags), owner) == (
        now.described[0], dict(now.described[1]), now.described[2],
    )  # fmt: skip


def _drifted(db: Connection, project: str, entry: Entry, *, said: Row[Any], now: Standing) -> Drift | None:
    before = (said.digest, said.described)
    stands = (now.digest, described_digest(now.described))
    files = (digest_in(entry), described_digest(described_in(entry)))
    document, version = entry.item.document, entry.version
    if stands != before:
        by, when_ns = _moved(db, project, document.bare, now, is_content=now.digest != said.digest)
        case: Case = "registry" if files == before else "both"
    elif version is not None and now.number is not None and version.number < now.number:
        by, when_ns, case = said.applied_by, said.applied_ns, "behind"
    else:
        return None
    return Drift(
        ref=document.bare,
        case=case,
        path=document.path,
        environment=document.environment,
        files=_label(db, version),
        registry=None if now.number is None else f"v{now.number}",
        by=by,
        when_ns=when_ns,
    )


def _label(db: Connection, version: Version | None) -> str | None:
    if version is None:
        return None
    at = {"project": version.project, "kind": version.kind, "name": version.name, "digest": version.digest}
    number = db.execute(select(versions.c.number).filter_by(**at)).scalar()
    return None if number is None else f"v{number}"


def _gone(key: Key, row: Row[Any]) -> Drift:
    kind, name, environment = key
    return Drift(
        ref=f"{kind}/{name}", case="gone", path=row.path, environment=environment or None, by=row.applied_by,
        when_ns=row.applied_ns,
    )  # fmt: skip


def _moved(db: Connection, project: str, bare: str, now: Standing, *, is_content: bool) -> tuple[str, int | None]:
    """Who moved the registry to where it stands, and when."""
    kind, _, name = bare.partition("/")
    if is_content and now.number is not None:
        moves = select(alias_moves).filter_by(project=project, kind=kind, name=name, alias=LATEST, after=now.number)
        move = db.execute(moves.order_by(alias_moves.c.id.desc()).limit(1)).first()
        if move is not None:
            return move.moved_by, move.moved_ns
    targets = [bare, f"{bare}@v{now.number}"]
    lines = select(audit).where(audit.c.project == project, audit.c.target.in_(targets))
    line = db.execute(lines.order_by(audit.c.number.desc()).limit(1)).first()
    return ("", now.updated_ns or None) if line is None else (line.who, line.at_ns)


def _told(drift: Drift) -> str:
    has = f"the registry has {drift.registry}" if drift.registry else "the registry has other content"
    by = f" by {drift.by}" if drift.by else ""
    says = f"these files say {drift.files}" if drift.files else "these files say something else"
    return f"{has}{by}; {says}"


def _row(project: str, key: Key, now: tuple[str, str, str], *, by: str, now_ns: int) -> Mapping[str, Any]:
    kind, name, environment = key
    path, digest, described = now
    return {
        "project": project, "kind": kind, "name": name, "environment": environment, "path": path, "digest": digest,
        "described": described, "applied_by": by, "applied_ns": now_ns,
    }  # fmt: skip
