"""What was erased of traces, by user, session or trace: the marks by which it stays erased, whatever is sent again.

No mark holds what is personal: a user or a session is a keyed hash, and the name itself is kept, encrypted, only until the
erasure is done. A span that began before the erasure and matches a mark is dropped wherever it turns up; one that began after
it is kept, so that a user may come back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Index,
    LargeBinary,
    String,
    Table,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Row

from tidemill.core.errors import NotFound
from tidemill.core.json import JsonObject
from tidemill.store import audit
from tidemill.store.feedback import feedback
from tidemill.store.idempotency import answers
from tidemill.store.tables import metadata
from tidemill.store.upsert import in_batches, insert_new

What: TypeAlias = Literal["user", "session", "trace"]
PURPOSE: Final = "erasures"
"""What the key is for by which subjects are hashed and sealed; see `ProjectKeys.get`."""

LATE: Final = "late"
"""In place of an erasure's id: the trace came later, and what came of it before is still to be looked for."""

trace_erasures = Table(
    "trace_erasures",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, nullable=False),
    Column("what", String, nullable=False),  # user, session or trace
    Column("subject", String, nullable=False),  # a keyed hash; of a trace its id
    Column("sealed", LargeBinary, nullable=True),  # the subject, encrypted, until it is done
    Column("why", String, nullable=False),
    Column("erased_by", String, nullable=False),
    Column("at_ns", BigInteger, nullable=False),  # spans that began before are erased
    Column("done_ns", BigInteger, nullable=True),
    Column("counts", JSON(none_as_null=True), nullable=True),
    Index("trace_erasures_by_subject", "project", "what", "subject"),
)
erased_traces = Table(
    "erased_traces",
    metadata,
    Column("project", String, primary_key=True),
    Column("trace_id", String, primary_key=True),
    Column("erasure", String, nullable=False),
    Column("at_ns", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceErasure:
    """One erasure. `counts` says what went, by where it was; None while it is under way."""

    id: str
    project: str
    what: What
    subject: str
    sealed: bytes | None
    why: str
    erased_by: str
    at_ns: int
    done_ns: int | None = None
    counts: JsonObject | None = None


def begin_erasure(db: Connection, wanted: TraceErasure) -> None:
    """Mark the subject as erased and say so in the audit; from now on nothing of it that is older is stored."""
    db.execute(insert(trace_erasures).values({each: getattr(wanted, each) for each in TraceErasure.__slots__}))
    detail: JsonObject = {"what": wanted.what, "why": wanted.why, "erasure": wanted.id}
    audit.append(
        db, wanted.project, who=wanted.erased_by, action="traces.erase", target=f"{wanted.what}/{wanted.subject}",
        detail=detail, now_ns=wanted.at_ns,
    )  # fmt: skip


def get_erasure(db: Connection, erasure: str) -> TraceErasure:
    """An erasure by its id. Raises `NotFound`."""
    row = db.execute(select(trace_erasures).filter_by(id=erasure)).first()
    if row is None:
        raise NotFound(f"there is no erasure {erasure}")
    return _erasure(row)


def unfinished_erasures(db: Connection) -> Sequence[TraceErasure]:
    """Those that are not done, oldest first."""
    query = select(trace_erasures).where(trace_erasures.c.done_ns.is_(None)).order_by(trace_erasures.c.at_ns)
    return [_erasure(row) for row in db.execute(query)]


def finish_erasure(db: Connection, erasure: TraceErasure, counts: JsonObject, *, now_ns: int) -> None:
    """Note that it is done and forget the name."""
    done = {"done_ns": now_ns, "counts": counts, "sealed": None}
    db.execute(update(trace_erasures).filter_by(id=erasure.id).values(done))
    audit.append(
        db, erasure.project, who=erasure.erased_by, action="traces.erased", target=f"{erasure.what}/{erasure.subject}",
        detail={**counts, "erasure": erasure.id}, now_ns=now_ns,
    )  # fmt: skip


def mark_traces(db: Connection, erasure: TraceErasure, traces: Collection[str]) -> None:
    """Mark whole traces as erased."""
    at = {"project": erasure.project, "erasure": erasure.id, "at_ns": erasure.at_ns}
    insert_new(db, erased_traces, [{**at, "trace_id": each} for each in sorted(traces)])


def late_traces(db: Connection, project: str, traces: Mapping[str, int]) -> None:
    """Mark traces that came after the person was erased whose they are; see `late_marks`."""
    rows = [{"project": project, "trace_id": each, "erasure": LATE, "at_ns": at_ns} for each, at_ns in traces.items()]
    insert_new(db, erased_traces, rows)


def late_marks(db: Connection, *, limit: int = 1000) -> Sequence[tuple[str, str, int]]:
    """Traces that came late, of which something may have been stored before: project, trace and when it was erased."""
    query = select(erased_traces.c.project, erased_traces.c.trace_id, erased_traces.c.at_ns).filter_by(erasure=LATE)
    return [(row[0], row[1], row[2]) for row in db.execute(query.order_by("project", "trace_id").limit(limit))]


def settle_late(db: Connection, project: str, traces: Collection[str]) -> None:
    """Note that nothing of these late traces is left."""
    for batch in in_batches(sorted(traces)):
        late = (erased_traces.c.project == project, erased_traces.c.erasure == LATE)
        db.execute(update(erased_traces).where(*late, erased_traces.c.trace_id.in_(batch)).values(erasure="settled"))


def traces_of(db: Connection, erasure: TraceErasure, *, after: str = "", limit: int = 500) -> Sequence[str]:
    """The traces that an erasure marked, in order."""
    query = select(erased_traces.c.trace_id).filter_by(project=erasure.project, erasure=erasure.id)
    return list(db.execute(query.where(erased_traces.c.trace_id > after).order_by("trace_id").limit(limit)).scalars())


def forget_feedback(db: Connection, erasure: TraceErasure, *, traces: Collection[str] = (), users: Collection[str] = ()) -> int:
    """Delete what was said of these traces and by these users before the erasure; how much it was."""
    mine = (feedback.c.project == erasure.project, feedback.c.created_ns < erasure.at_ns)
    count = 0
    for column, values in ((feedback.c.trace_id, traces), (feedback.c.user, users)):
        for batch in in_batches(sorted(values)):
            count += db.execute(delete(feedback).where(*mine, column.in_(batch))).rowcount
    return count


def forget_answers(db: Connection, erasure: TraceErasure) -> int:
    """Empty the answers kept for repeated requests from before: they may hold what was erased; how many there were."""
    older = (answers.c.project == erasure.project, answers.c.created_ns < erasure.at_ns, answers.c.body.is_not(None))
    return db.execute(update(answers).where(*older).values(body=None)).rowcount


def count_marks(db: Connection) -> int:
    """How many erasures there are; most servers have none."""
    return db.execute(select(func.count()).select_from(trace_erasures)).scalar_one()


def erased_at(
    db: Connection, project: str, *, traces: Collection[str], subjects: Mapping[What, Collection[str]]
) -> Mapping[tuple[What, str], int]:
    """When each of these traces and hashed subjects was erased last, as far as they were."""
    found: dict[tuple[What, str], int] = {}
    for batch in in_batches(sorted(traces)):
        query = select(erased_traces.c.trace_id, erased_traces.c.at_ns).filter_by(project=project)
        for trace, at_ns in db.execute(query.where(erased_traces.c.trace_id.in_(batch))):
            found["trace", trace] = at_ns
    for what, hashed in subjects.items():
        for batch in in_batches(sorted(hashed)):
            query = select(trace_erasures.c.subject, func.max(trace_erasures.c.at_ns)).filter_by(project=project, what=what)
            query = query.where(trace_erasures.c.subject.in_(batch)).group_by(trace_erasures.c.subject)
            for subject, at_ns in db.execute(query):
                found[what, subject] = max(at_ns, found.get((what, subject), 0))
    return found


def _erasure(row: Row[tuple[object, ...]]) -> TraceErasure:
    return TraceErasure(**{each: getattr(row, each) for each in TraceErasure.__slots__})
