"""What happened in a project as runs with inputs and outputs, oldest first: for whoever draws lineage elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

from sqlalchemy import Connection, Table, and_, or_, select
from sqlalchemy.engine import Row
from sqlalchemy.sql import ColumnElement

from tidemill.core.errors import Invalid
from tidemill.store.lineage import lineage_edges, lineage_nodes
from tidemill.store.lineage_format import Data, EventType, Happened, write_event
from tidemill.store.page import Page
from tidemill.store.pipelines import pipeline_runs
from tidemill.store.tables import endpoint_moves, evaluations, jobs, versions

_CURSOR: Final = re.compile(r"([0-9]{1,19})\.([0-9]{1,2})\.(.{1,200})", re.DOTALL)
_ENDED: Final[Mapping[str, EventType]] = {"done": "COMPLETE", "failed": "FAIL", "cancelled": "ABORT"}
_JOBS: Final = ("index.build", "tune")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stream:
    """Rows of one table in the order of a time; `tell` gives the events of each."""

    table: Table
    at: str
    key: str
    where: Callable[[], ColumnElement[bool]]
    tell: Callable[[Connection, Row[Any]], Sequence[Happened]]


def list_events(
    db: Connection, project: str, *, since_ns: int = 0, limit: int = 100, cursor: str | None = None
) -> Page[Mapping[str, Any]]:
    """OpenLineage events, oldest first. A page holds what `limit` changes say, of which some are a start and an end at once."""
    at, rank, key = _read_cursor(cursor) if cursor else (since_ns, -1, "")
    found: list[tuple[int, int, str, Row[Any]]] = []
    for number, stream in enumerate(_STREAMS):
        found += [
            (int(getattr(row, stream.at)), number, _padded(getattr(row, stream.key)), row)
            for row in _rows(db, project, stream, at=at, key=key if number == rank else None, later=number > rank, limit=limit)
        ]
    found.sort(key=lambda each: each[:3])
    shown = found[:limit]
    told = [write_event(project, each) for _, number, _, row in shown for each in _STREAMS[number].tell(db, row)]
    following = f"{shown[-1][0]}.{shown[-1][1]}.{shown[-1][2]}" if len(found) > limit else None
    return Page(items=tuple(told), next=following)


def _rows(
    db: Connection, project: str, stream: _Stream, *, at: int, key: str | None, later: bool, limit: int
) -> Sequence[Row[Any]]:
    time, name = stream.table.c[stream.at], stream.table.c[stream.key]
    after: ColumnElement[bool] = time >= at if later else time > at
    if key is not None:
        last = int(key) if name.type.python_type is int else key
        after = or_(time > at, and_(time == at, name > last))
    query = select(stream.table).where(stream.table.c.project == project, stream.where(), after)
    return db.execute(query.order_by(time, name).limit(limit + 1)).all()


def _padded(key: object) -> str:
    return f"{key:019d}" if isinstance(key, int) else str(key)


def _read_cursor(cursor: str) -> tuple[int, int, str]:
    match = _CURSOR.fullmatch(cursor)
    is_number = match is not None and int(match[2]) < len(_STREAMS) and _is_key(match[3], _STREAMS[int(match[2])])
    if match is None or not is_number or int(match[1]) >= 2**63:
        raise Invalid(f"cursor {cursor[:80]!r} is not one of this list", hint="Pass on what `next` said, unchanged.")
    return int(match[1]), int(match[2]), match[3]


def _is_key(key: str, stream: _Stream) -> bool:
    return stream.table.c[stream.key].type.python_type is not int or (key.isdecimal() and int(key) < 2**63)


def _of_job(db: Connection, row: Row[Any], kind: EventType, at_ns: int) -> list[Happened]:
    payload, result = cast("Mapping[str, Any]", row.payload or {}), cast("Mapping[str, Any]", row.result or {})
    error = str(row.error or "") if kind == "FAIL" else ""
    if row.kind == "tune":
        given = [_named(db, row.project, str(payload.get(each) or result.get(each))) for each in ("tune", "data")]
        made = [_named(db, row.project, str(result[each])) for each in ("adapter", "model") if result.get(each)]
        job, word = f"tune/{payload.get('output') or ''!s}", "TUNE"
    else:
        index = select(versions).filter_by(project=row.project, kind="index", digest=str(payload.get("index")))
        version = db.execute(index.order_by(versions.c.number).limit(1)).first()
        given, made = _index_inputs(db, version), [_data(version)] if version is not None else []
        job, word = f"index.build/{version.name if version is not None else 'unknown'}", "INDEX"
    told = Happened(
        type=kind,
        at_ns=at_ns,
        run=row.id,
        job=job,
        kind=word,
        inputs=tuple(each for each in given if each is not None),
        outputs=tuple(each for each in made if each is not None) if kind == "COMPLETE" else (),
        error=error,
    )
    return [told]


def _index_inputs(db: Connection, version: Row[Any] | None) -> list[Data | None]:
    if version is None:
        return []
    source = cast("Mapping[str, Any]", version.spec.get("source") or {})
    folder = source.get("folder")
    files: list[Data | None] = [Data(namespace="file", name=folder)] if isinstance(folder, str) and folder else []
    return [*files, *(_of_digest(db, version.project, each) for each in version.refs.values())]


def _of_evaluation(db: Connection, row: Row[Any], kind: EventType, at_ns: int) -> list[Happened]:
    served = _of_digest(db, row.project, row.release) or _named(db, row.project, row.root)
    given = (served, _named(db, row.project, row.dataset))
    app = str(row.root).partition("@")[0].rpartition("/")[2]
    told = Happened(
        type=kind,
        at_ns=at_ns,
        run=row.id,
        job=f"evaluate/{app}",
        kind="EVALUATION",
        inputs=tuple(each for each in given if each is not None),
        outputs=(Data(name=f"evaluation/{row.id}"),) if kind == "COMPLETE" else (),
    )
    return [told]


def _of_pipeline(db: Connection, row: Row[Any], kind: EventType, at_ns: int) -> list[Happened]:
    node = select(lineage_nodes.c.id).filter_by(project=row.project, kind="run", key=row.id).scalar_subquery()
    at = lineage_nodes.c
    made = select(at.kind, at.key).join(lineage_edges, lineage_edges.c.target == at.id).where(lineage_edges.c.source == node)
    outputs: list[Data] = []
    for each in db.execute(made.order_by(at.id)) if kind != "START" else ():
        name, _, digest = str(each.key).partition("@")
        outputs.append(_of_digest(db, row.project, digest) or Data(name=f"{each.kind}/{name}"))
    told = Happened(
        type=kind,
        at_ns=at_ns,
        run=row.id,
        job=f"pipeline/{row.pipeline}",
        kind="PIPELINE",
        inputs=(Data(name=f"pipeline/{row.pipeline}", version=f"v{row.version}", digest=row.digest),),
        outputs=tuple(outputs),
        error=str(row.error or "") if kind == "FAIL" else "",
    )
    return [told]


def _of_release(db: Connection, row: Row[Any]) -> list[Happened]:
    locked = cast("Mapping[str, Mapping[str, Any]]", row.spec.get("artifacts") or {})
    inputs = [_of_digest(db, row.project, str(each["digest"])) for each in locked.values()]
    start = Happened(
        type="START",
        at_ns=row.created_ns,
        run=f"release {row.project} {row.name} {row.number}",
        job=f"release/{row.name}",
        kind="RELEASE",
        inputs=tuple(each for each in inputs if each is not None),
        description=row.description,
    )
    return [start, replace(start, type="COMPLETE", outputs=(_data(row),))]


def _of_move(db: Connection, row: Row[Any]) -> list[Happened]:
    start = Happened(
        type="START",
        at_ns=row.moved_ns,
        run=f"move {row.project} {row.id}",
        job=f"{row.action}/{row.endpoint}",
        kind="DEPLOYMENT",
        inputs=(_of_digest(db, row.project, row.release) or Data(name=str(row.root).partition("@")[0]),),
        description=f"{row.action} by {row.moved_by}",
    )
    return [start, replace(start, type="COMPLETE", outputs=(Data(name=f"endpoint/{row.endpoint}"),))]


def _of_digest(db: Connection, project: str, digest: str) -> Data | None:
    row = db.execute(select(versions).filter_by(project=project, digest=digest).order_by(versions.c.number).limit(1)).first()
    return None if row is None else _data(row)


def _named(db: Connection, project: str, ref: str) -> Data | None:
    """A version of ours by its reference; without the version's facets when it is not there any more."""
    kind, slash, rest = ref.partition("/")
    name, _, number = rest.partition("@v")
    if not slash:
        return None
    query = select(versions).filter_by(project=project, kind=kind, name=name)
    if number.isdecimal():
        query = query.where(versions.c.number == int(number))
    row = db.execute(query.order_by(versions.c.number.desc()).limit(1)).first()
    return Data(name=f"{kind}/{name}", version=f"v{number}" if number else "") if row is None else _data(row)


def _data(row: Row[Any]) -> Data:
    return Data(name=f"{row.kind}/{row.name}", version=f"v{row.number}", digest=row.digest, description=row.description)


_STREAMS: Final[Sequence[_Stream]] = (
    _Stream(
        table=versions, at="created_ns", key="digest", where=lambda: versions.c.kind == "release", tell=_of_release,
    ),
    _Stream(
        table=jobs, at="created_ns", key="id", where=lambda: jobs.c.kind.in_(_JOBS),
        tell=lambda db, row: _of_job(db, row, "START", row.created_ns),
    ),
    _Stream(
        table=jobs, at="updated_ns", key="id", where=lambda: and_(jobs.c.kind.in_(_JOBS), jobs.c.status.in_(tuple(_ENDED))),
        tell=lambda db, row: _of_job(db, row, _ENDED[row.status], row.updated_ns),
    ),
    _Stream(
        table=evaluations, at="created_ns", key="id", where=lambda: evaluations.c.id != "",
        tell=lambda db, row: _of_evaluation(db, row, "START", row.created_ns),
    ),
    _Stream(
        table=evaluations, at="updated_ns", key="id", where=lambda: evaluations.c.status.in_(tuple(_ENDED)),
        tell=lambda db, row: _of_evaluation(db, row, _ENDED[row.status], row.updated_ns),
    ),
    _Stream(
        table=pipeline_runs, at="created_ns", key="id", where=lambda: pipeline_runs.c.id != "",
        tell=lambda db, row: _of_pipeline(db, row, "START", row.created_ns),
    ),
    _Stream(
        table=pipeline_runs, at="ended_ns", key="id", where=lambda: pipeline_runs.c.status.in_(tuple(_ENDED)),
        tell=lambda db, row: _of_pipeline(db, row, _ENDED[row.status], row.ended_ns),
    ),
    _Stream(
        table=endpoint_moves, at="moved_ns", key="id", where=lambda: endpoint_moves.c.id > 0, tell=_of_move,
    ),
)  # fmt: skip
