"""Feedback: what a user or a reviewer said of a trace, or of one of its spans.

A person has one opinion of a trace: a second `thumbs`, `score` (by its name) or `correction` of the same user on the same trace
and span takes the place of the first, which is kept and points at what replaced it. Comments and events add up; only the same
comment by the same user is kept once. Feedback without a user counts as one person's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

from sqlalchemy import JSON, BigInteger, Column, Connection, Index, String, Table, func, insert, select, tuple_, update
from sqlalchemy.engine import Row
from sqlalchemy.sql import ColumnElement

from tidemill.core.errors import Conflict, Invalid, NotFound
from tidemill.core.json import Json
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import metadata
from tidemill.store.upsert import in_batches

FeedbackKind: TypeAlias = Literal["thumbs", "score", "correction", "comment", "event"]
FEEDBACK_KINDS: Final[Sequence[FeedbackKind]] = get_args(FeedbackKind)
_ONE_EACH: Final = frozenset({"thumbs", "score", "correction"})
_LISTED: Final = 1000

feedback = Table(
    "feedback",
    metadata,
    Column("project", String, primary_key=True),
    Column("id", String, primary_key=True),
    Column("trace_id", String, nullable=False),
    Column("span_id", String, nullable=True),
    Column("kind", String, nullable=False),
    Column("value", JSON(none_as_null=True), nullable=True),
    Column("name", String, nullable=False),
    Column("user", String, nullable=False),
    Column("source", String, nullable=False),
    Column("replaced_by", String, nullable=True),
    Column("created_ns", BigInteger, nullable=False),
    Index("feedback_by_trace", "project", "trace_id"),
    Index("feedback_by_time", "project", "created_ns", "id"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Feedback:
    """One thing that was said. `name` is the score's or the event's; `user` whose opinion it is; `source` who sent it.

    `value` is `up` or `down` for thumbs, a number for a score, text for a correction or a comment, anything for an event.
    """

    project: str
    id: str
    trace_id: str
    span_id: str | None
    kind: FeedbackKind
    value: Json
    name: str = ""
    user: str = ""
    source: str = ""
    replaced_by: str | None = None
    created_ns: int

    @property
    def said(self) -> tuple[object, ...]:
        """What makes it the same feedback when it comes again."""
        return (self.trace_id, self.span_id, self.kind, self.value, self.name, self.user)


def add_feedback(db: Connection, wanted: Feedback) -> tuple[Feedback, bool]:
    """Keep feedback; what is kept, and whether it is new.

    The same id with the same content is the same row, also when it was replaced meanwhile. Raises `Conflict` for the same id
    with other content.
    """
    row = db.execute(select(feedback).where(feedback.c.project == wanted.project, feedback.c.id == wanted.id)).first()
    if row is not None:
        kept = _feedback(row)
        if kept.said != wanted.said:
            raise Conflict(
                f"feedback {wanted.id!r} exists already, and says something else",
                hint="Send an id of its own for each thing that is said, or none.",
            )
        return kept, False
    same = _earlier(db, wanted)
    for each in same:
        if each.said == wanted.said:
            return each, False
    db.execute(insert(feedback), {name: getattr(wanted, name) for name in Feedback.__dataclass_fields__})
    if wanted.kind in _ONE_EACH and same:
        older = [each.id for each in same]
        where = (feedback.c.project == wanted.project, feedback.c.id.in_(older))
        db.execute(update(feedback).where(*where).values(replaced_by=wanted.id))
    return wanted, True


def get_feedback(db: Connection, project: str, feedback_id: str) -> Feedback:
    """One piece of feedback, replaced or not. Raises `NotFound`."""
    row = db.execute(select(feedback).where(feedback.c.project == project, feedback.c.id == feedback_id)).first()
    if row is None:
        raise NotFound(f"there is no feedback {feedback_id!r} in project {project!r}", hint="List it: tidemill feedback list")
    return _feedback(row)


def list_feedback(  # noqa: PLR0913  (each is a way to narrow it)
    db: Connection,
    project: str,
    *,
    trace_ids: Iterable[str] | None = None,
    since_ns: int | None = None,
    kinds: Sequence[FeedbackKind] | None = None,
    name: str | None = None,
    user: str | None = None,
    limit: int | None = None,
    replaced: bool = False,
) -> tuple[Feedback, ...]:
    """Feedback, newest first: of these traces, from `since_ns` on, of these kinds. What was replaced only on request."""
    where = _where(project, since_ns=since_ns, kinds=kinds, name=name, user=user, replaced=replaced)
    query = select(feedback).where(*where).order_by(*_NEWEST).limit(limit)
    if trace_ids is None:
        return tuple(_feedback(row) for row in db.execute(query))
    found = [
        _feedback(row)
        for batch in in_batches(list(dict.fromkeys(trace_ids)))
        for row in db.execute(query.where(feedback.c.trace_id.in_(batch)))
    ]
    return tuple(sorted(found, key=lambda each: (each.created_ns, each.id), reverse=True)[:limit])


def page_feedback(  # noqa: PLR0913  (the same)
    db: Connection,
    project: str,
    *,
    trace_id: str | None = None,
    since_ns: int | None = None,
    kind: FeedbackKind | None = None,
    name: str | None = None,
    user: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Feedback]:
    """The same a page at a time."""
    check_limit(limit)
    where = _where(project, since_ns=since_ns, kinds=[kind] if kind else None, name=name, user=user, replaced=False)
    query = select(feedback).where(*where).order_by(*_NEWEST).limit(limit + 1)
    if trace_id is not None:
        query = query.where(feedback.c.trace_id == trace_id)
    if cursor is not None:
        at, _, last = cursor.partition(".")
        if not at.isdecimal() or not last:
            raise Invalid(f"cursor {cursor!r} is not one of this list", hint="Pass on what `next` said, unchanged.")
        query = query.where(tuple_(feedback.c.created_ns, feedback.c.id) < tuple_(int(at), last))
    found = [_feedback(row) for row in db.execute(query)]
    return make_page(found, limit=limit, cursor_of=lambda each: f"{each.created_ns}.{each.id}")


def count_feedback(db: Connection, project: str, since_ns: int = 0, *, kinds: Sequence[FeedbackKind] | None = None) -> int:
    """How much feedback came from `since_ns` on, what was replaced not counted."""
    where = _where(project, since_ns=since_ns, kinds=kinds, name=None, user=None, replaced=False)
    return db.execute(select(func.count()).select_from(feedback).where(*where)).scalar_one()


def feedback_by_trace(found: Iterable[Feedback]) -> Mapping[str, list[Feedback]]:
    """Feedback by its trace, in the order given."""
    groups: dict[str, list[Feedback]] = {}
    for each in found:
        groups.setdefault(each.trace_id, []).append(each)
    return groups


_NEWEST: Final = (feedback.c.created_ns.desc(), feedback.c.id.desc())


def _where(
    project: str,
    *,
    since_ns: int | None,
    kinds: Sequence[FeedbackKind] | None,
    name: str | None,
    user: str | None,
    replaced: bool,
) -> list[ColumnElement[bool]]:
    where: list[ColumnElement[bool]] = [feedback.c.project == project]
    if not replaced:
        where.append(feedback.c.replaced_by.is_(None))
    if since_ns is not None:
        where.append(feedback.c.created_ns >= since_ns)
    if kinds is not None:
        where.append(feedback.c.kind.in_(kinds))
    if name is not None:
        where.append(feedback.c.name == name)
    if user is not None:
        where.append(feedback.c.user == user)
    return where


def _earlier(db: Connection, wanted: Feedback) -> list[Feedback]:
    """What the same person said of the same before, as far as only one of it can stand."""
    if wanted.kind == "event":
        return []
    query = select(feedback).where(
        feedback.c.project == wanted.project,
        feedback.c.trace_id == wanted.trace_id,
        feedback.c.kind == wanted.kind,
        feedback.c.name == wanted.name,
        feedback.c.user == wanted.user,
        feedback.c.replaced_by.is_(None),
    )
    span = feedback.c.span_id.is_(None) if wanted.span_id is None else feedback.c.span_id == wanted.span_id
    return [_feedback(row) for row in db.execute(query.where(span).limit(_LISTED))]


def _feedback(row: Row[Any]) -> Feedback:
    return Feedback(**{name: getattr(row, name) for name in Feedback.__dataclass_fields__})
