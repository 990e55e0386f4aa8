"""The audit chain: what happened to a project, each line bound to the one before, so that a changed line shows.

A line's digest is `sha256:` and the SHA-256 of the RFC 8785 (JCS) bytes of its entry, which holds the digest before:

    {"action", "at_ns", "detail", "number", "previous", "project", "schema": "tidemill-audit/1", "target", "who"}

`at_ns` is text (JSON cannot carry it as a number); the first entry's `previous` is 64 zeros. The head, the last line's number
and digest, is kept apart, so that a cut-off end shows too. Whoever can write to the database can write a whole new chain;
an anchor, `NUMBER:DIGEST` kept elsewhere, shows that as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, cast

from sqlalchemy import BigInteger, Column, Connection, Index, Integer, String, Table, insert, or_, select
from sqlalchemy.engine import Row

from tidemill.core.digests import canonical, digest_bytes
from tidemill.core.errors import Invalid
from tidemill.core.json import Json, JsonObject, parse_json
from tidemill.core.refs import is_digest
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import metadata
from tidemill.store.upsert import upsert

SCHEMA = "tidemill-audit/1"
START = "sha256:" + "0" * 64
"""What the first line of a chain follows."""
Fault: TypeAlias = Literal["altered", "removed", "reordered", "truncated", "added", "rewritten"]
_LARGEST = 2**53 - 1
_BEFORE_ALL = -(2**31)
_ANCHOR = re.compile(r"([1-9][0-9]{0,15}):(sha256:[0-9a-f]{64})")

audit = Table(
    "audit",
    metadata,
    Column("project", String, primary_key=True, nullable=False),
    Column("number", Integer, primary_key=True, autoincrement=False, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
    Column("who", String, nullable=False),
    Column("action", String, nullable=False),
    Column("target", String, nullable=False),
    Column("detail", String, nullable=False),  # canonical JSON
    Column("previous", String, nullable=False),
    Column("digest", String, nullable=False),
    Index("audit_by_target", "project", "target", "number"),
)
audit_heads = Table(
    "audit_heads",
    metadata,
    Column("project", String, primary_key=True, nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", String, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditEntry:
    """One line: `who` (`person/ana`, `key/ID`, `admin`, `pipeline/x`) did `action` (`deploy`, `policy.denied`) to `target`."""

    project: str
    number: int
    at_ns: int
    who: str
    action: str
    target: str
    detail: JsonObject = field(default_factory=dict[str, Json])
    previous: str = START
    digest: str = ""

    def content(self) -> JsonObject:
        """What the digest covers."""
        return {
            "action": self.action, "at_ns": str(self.at_ns), "detail": self.detail, "number": self.number,
            "previous": self.previous, "project": self.project, "schema": SCHEMA, "target": self.target, "who": self.who,
        }  # fmt: skip

    def exported(self) -> bytes:
        """`{"digest":"sha256:…","entry":…}`: the bytes from the 93rd to the last but one are those that were hashed."""
        return b'{"digest":"%s","entry":%s}' % (self.digest.encode(), canonical(self.content()))


@dataclass(frozen=True, kw_only=True, slots=True)
class AuditReport:
    """Whether a chain holds. `broken` is the first line that does not (from 1); `head` is None for an empty chain."""

    lines: int
    head: tuple[int, str] | None
    broken: int | None = None
    fault: Fault | None = None
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return self.fault is None


def append(db: Connection, project: str, *, who: str, action: str, target: str, detail: JsonObject, now_ns: int) -> AuditEntry:
    """Add a line within the caller's transaction: it is kept when what it tells of is kept.

    The head is read for writing, so that two at once follow each other. What JSON cannot carry in `detail` is kept as text.
    """
    head = db.execute(select(audit_heads).filter_by(project=project).with_for_update()).first()
    entry = AuditEntry(
        project=project,
        number=1 if head is None else head.number + 1,
        at_ns=now_ns,
        who=_safe_text(who),
        action=action,
        target=_safe_text(target),
        detail={_safe_text(key): _safe(value) for key, value in detail.items()},
        previous=START if head is None else head.digest,
    )
    digest = digest_of(entry)
    row = {name: getattr(entry, name) for name in AuditEntry.__dataclass_fields__} | {"digest": digest}
    db.execute(insert(audit), row | {"detail": canonical(entry.detail).decode()})
    upsert(db, audit_heads, [{"project": project, "number": entry.number, "digest": digest}])
    return replace(entry, digest=digest)


def digest_of(entry: AuditEntry) -> str:
    """The digest that the entry's content has."""
    return digest_bytes(canonical(entry.content()))


def list_entries(
    db: Connection,
    project: str,
    *,
    action: str | None = None,
    target: str | None = None,
    who: str | None = None,
    since_ns: int | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[AuditEntry]:
    """Lines, newest first. `action` names one (`policy.denied`) or a group of them (`policy`)."""
    check_limit(limit)
    query = select(audit).where(audit.c.project == project)
    if action is not None:
        query = query.where(or_(audit.c.action == action, audit.c.action.startswith(f"{action}.", autoescape=True)))
    if target is not None:
        query = query.where(audit.c.target == target)
    if who is not None:
        query = query.where(audit.c.who == who)
    if since_ns is not None:
        query = query.where(audit.c.at_ns >= since_ns)
    if cursor is not None:
        if not cursor.isdecimal():
            raise Invalid(f"cursor {cursor!r} is not one of this list")
        query = query.where(audit.c.number < int(cursor))
    rows = db.execute(query.order_by(audit.c.number.desc()).limit(limit + 1))
    return make_page([_entry(row) for row in rows], limit=limit, cursor_of=lambda each: str(each.number))


def read_chain(db: Connection, project: str, *, after: int = 0, limit: int | None = None) -> Iterator[AuditEntry]:
    """Lines, oldest first; those with a number above `after`, and at most `limit` of them."""
    query = select(audit).where(audit.c.project == project, audit.c.number > after).order_by(audit.c.number).limit(limit)
    with db.execute(query.execution_options(yield_per=1000)) as rows:  # PostgreSQL's cursor is closed by whoever stops early
        for row in rows:
            yield _entry(row)


def head_of(db: Connection, project: str) -> tuple[int, str] | None:
    """The number and digest of the last line: an anchor to keep elsewhere. None for an empty chain."""
    row = db.execute(select(audit_heads).filter_by(project=project)).first()
    return None if row is None else (row.number, row.digest)


def parse_anchor(text: str) -> tuple[int, str]:
    """`NUMBER:sha256:HEX64` as number and digest. Raises `Invalid`."""
    match = _ANCHOR.fullmatch(text.strip())
    if match is None or not is_digest(match[2]):
        raise Invalid(f"{text[:100]!r} is not an anchor", hint="Write NUMBER:sha256:…, as tidemill audit verify prints it.")
    return int(match[1]), match[2]


def verify(db: Connection, project: str, *, anchor: tuple[int, str] | None = None) -> AuditReport:
    """Recompute the chain; the report names the first line that does not hold.

    `anchor` is the number and digest of a line as it was once seen; a chain that was rewritten or cut since fails there.
    """
    head = head_of(db, project)
    places = {each.digest: each.number for each in read_chain(db, project, after=_BEFORE_ALL)}
    previous, number = START, 0
    for entry in read_chain(db, project, after=_BEFORE_ALL):
        number += 1
        fault = _fault(entry, number=number, previous=previous, places=places)
        if fault is not None:
            return AuditReport(lines=len(places), head=head, broken=number, fault=fault[0], message=fault[1])
        if anchor is not None and anchor[0] == number and anchor[1] != entry.digest:
            message = f"line {number} is not the one of the anchor: the chain was written again"
            return AuditReport(lines=len(places), head=head, broken=number, fault="rewritten", message=message)
        previous = entry.digest
    fault = _fault_of_end(number, previous, head=head, anchor=anchor)
    if fault is not None:
        return AuditReport(lines=number, head=head, broken=fault[2], fault=fault[0], message=fault[1])
    return AuditReport(lines=number, head=head)


def _fault(entry: AuditEntry, *, number: int, previous: str, places: Mapping[str, int]) -> tuple[Fault, str] | None:
    if entry.number != number:
        return "removed", f"line {number} is missing: line {entry.number} stands where it stood"
    if entry.previous != previous:
        follows = places.get(entry.previous)
        if follows is not None:
            return "reordered", f"line {number} follows line {follows}, not line {number - 1}"
        return "removed", f"the line that line {number} follows is gone"
    if digest_of(entry) != entry.digest:
        return "altered", f"line {number} was altered: its content has another digest"
    return None


def _fault_of_end(
    number: int, digest: str, *, head: tuple[int, str] | None, anchor: tuple[int, str] | None
) -> tuple[Fault, str, int] | None:
    last = 0 if head is None else head[0]
    if number < last:
        return "truncated", f"line {number + 1} is missing: the chain had {last} lines", number + 1
    if number > last:
        return "added", f"line {last + 1} was not added by Tidemill: the chain has {last} lines", last + 1
    if head is not None and head[1] != digest:
        return "altered", f"line {number} is not the one that was written last", number
    if anchor is not None and anchor[0] > number:
        return "truncated", f"line {number + 1} is missing: the anchor is line {anchor[0]}", number + 1
    return None


def _safe(value: Json) -> Json:
    """The value as JCS carries it."""
    if isinstance(value, str):
        return _safe_text(value)
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if abs(value) <= _LARGEST else str(value)
    if isinstance(value, float):
        return value if abs(value) <= _LARGEST else str(value)  # not a number and infinity too
    if isinstance(value, Mapping):
        return {_safe_text(key): _safe(each) for key, each in value.items()}
    if isinstance(value, Sequence):
        return [_safe(each) for each in value]
    return str(value)


def _safe_text(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")  # PostgreSQL keeps no NUL in a text


def _entry(row: Row[Any]) -> AuditEntry:
    """The entry of a row. What somebody made unreadable is shown as well as it can be, and has another digest."""
    detail: object = row.detail
    try:
        read = parse_json(cast("str | bytes", detail), what="the detail")
    except Invalid:
        read = None
    kept: dict[str, Any] = {name: str(getattr(row, name)) for name in AuditEntry.__dataclass_fields__}
    kept |= {name: each if isinstance(each := getattr(row, name), int) else -1 for name in ("number", "at_ns")}
    kept["detail"] = read if isinstance(read, Mapping) else {"unreadable": str(detail)}
    return AuditEntry(**kept)
