"""What a reference means in the lineage graph: the points that it names, or an error with the nearest name."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, cast

from sqlalchemy import Connection, select

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.refs import Ref, is_digest, parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.store import approvals, evaluations, feedback, jobs, pipelines, registry, rollouts
from tidemill.store.endpoints import get_endpoint
from tidemill.store.lineage import Point, lineage_nodes
from tidemill.store.lineage_notes import of_version
from tidemill.store.tables import decisions, versions
from tidemill.store.upsert import in_batches

_IDS: Final = ("evaluation", "decision", "approval", "rollout", "run", "job", "trace", "feedback", "monitor")
_WHOLE: Final = ("file", "external")
_OUTSIDE: Final = frozenset({"connection", "policy", "environment"})
_TRACE: Final = re.compile(r"[0-9a-f]{32}")
_DOCUMENT: Final = re.compile(r"(?P<index>[a-z0-9][a-z0-9._-]{0,127})(?:@(?P<version>[^#:]+))?[#:](?P<document>.+)", re.DOTALL)
_CHUNK: Final = re.compile(r"(?P<document>.+)#(?P<number>[0-9]{1,9})")
_FORMS: Final = (
    "Write prompt/answer@v3, endpoint/x, sha256:…, index/handbook#docs/a.pdf, evaluation/ID, trace/ID, feedback/ID, job/ID or"
    " file/PATH."
)
Ids: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """What a reference names. `ids` are its points in the graph: none for what is joined from elsewhere (`trace`, `job` …).

    `chunk` is the number of a piece of the document. `artifact` says that every version is meant.
    """

    point: Point
    ids: Ids = ()
    chunk: int | None = None
    artifact: bool = False


def resolve(db: Connection, project: str, written: str, *, by_artifact: bool = False) -> Named:
    """The points that `written` names; a bare artifact is its latest version, or with `by_artifact` every one.

    Raises `Invalid` for what is no reference, `NotFound` with the nearest name.
    """
    text = written.strip()
    if len(text) > 4096 or not text:
        raise Invalid("that is not a reference" if text else "the reference is empty", where="of", hint=_FORMS)
    digest = text.removeprefix("release/").removeprefix("release ").strip()
    if is_digest(digest):
        return _of_digest(db, project, digest)
    kind, slash, rest = text.partition("/")
    if not slash or not rest:
        raise Invalid(f"{text[:200]!r} is not a reference", where="of", hint=_FORMS)
    if kind in _WHOLE:
        return _by_key(db, project, Point(kind=kind, key=rest))
    if kind == "document" or (kind == "index" and "#" in rest):
        return _document(db, project, rest)
    if kind in _IDS:
        return _of_id(db, project, kind, rest)
    return _of_ref(db, project, parse_ref(text), by_artifact=by_artifact)


def _of_ref(db: Connection, project: str, ref: Ref, *, by_artifact: bool) -> Named:
    registry.check_project(ref, project)
    if ref.kind == "endpoint":
        return _by_key(db, project, Point(kind="endpoint", key=get_endpoint(db, project, ref.name).name))
    if ref.kind in _OUTSIDE:
        raise Invalid(f"a {ref.kind} is configuration: it stands outside what is made of what", where="of", hint=_FORMS)
    if by_artifact and ref.version is None:
        latest = registry.get_version(db, project, ref)
        point = Point(kind=ref.kind, key=ref.name, label=ref.name)
        return Named(point=point, ids=_all_versions(db, project, latest.kind, latest.name), artifact=True)
    try:
        version = registry.get_version(db, project, ref)
    except NotFound:
        gone = _remembered(db, project, ref)
        if gone is None:
            raise
        return gone
    return _by_key(db, project, of_version(version))


def _remembered(db: Connection, project: str, ref: Ref) -> Named | None:
    """A version that was deleted, of which the graph still knows."""
    at = lineage_nodes.c
    query = select(lineage_nodes).where(at.project == project, at.kind == ref.kind)
    if ref.number is not None:
        query = query.where(at.label == f"{ref.name}@v{ref.number}")
    elif ref.digest is not None:
        query = query.where(at.key == f"{ref.name}@{ref.digest}")
    else:
        return None
    row = db.execute(query.order_by(at.id)).first()
    return None if row is None else Named(point=Point(kind=row.kind, key=row.key, label=row.label), ids=(row.id,))


def _all_versions(db: Connection, project: str, kind: str, name: str) -> Ids:
    at = versions.c
    digests = db.execute(select(at.digest).filter_by(project=project, kind=kind, name=name).order_by(at.number)).scalars().all()
    keys = [f"{name}@{each}" for each in digests]
    query = select(lineage_nodes.c.id).filter_by(project=project, kind=kind)
    return tuple(
        each for batch in in_batches(keys) for each in db.execute(query.where(lineage_nodes.c.key.in_(batch))).scalars()
    )


def _of_digest(db: Connection, project: str, digest: str) -> Named:
    found = registry.find_by_digests(db, project, [digest])
    if found:
        releases = [each for each in found if each.kind == "release"]
        return _by_key(db, project, of_version((releases or found)[0]))
    at = lineage_nodes.c
    query = select(at.id, at.kind, at.key, at.label).where(at.project == project, at.kind == "release")
    row = db.execute(query.where(at.key.endswith(f"@{digest}"))).first()
    if row is None:
        raise NotFound(f"nothing has the digest {digest} in project {project!r}", hint="List releases: tidemill get release")
    return Named(point=Point(kind=row.kind, key=row.key, label=row.label), ids=(row.id,))


def _document(db: Connection, project: str, rest: str) -> Named:
    """`handbook#topics/with.rst`, also with the number of a chunk behind it, or `handbook:topics/with.rst`."""
    match = _DOCUMENT.fullmatch(rest)
    if match is None:
        raise Invalid(
            f"{rest[:200]!r} names no document", where="of", hint="Write index/NAME#PATH, as in index/handbook#a.pdf."
        )
    if match["version"]:
        bare = f"index/{match['index']}"
        raise Invalid(
            f"a document is followed through every version of {bare}", where="of", hint=f"Write {bare}#{match['document']}."
        )
    index, name = match["index"], match["document"]
    chunk = _CHUNK.fullmatch(name)
    found = _find(db, project, Point(kind="document", key=f"{index}#{name}"))
    if found is None and chunk is not None:
        found = _find(db, project, Point(kind="document", key=f"{index}#{chunk['document']}"), chunk=int(chunk["number"]))
    return found or _no_document(db, project, index, name)


def _no_document(db: Connection, project: str, index: str, name: str) -> Named:
    at = lineage_nodes.c
    query = select(at.key).where(at.project == project, at.kind == "document", at.key.startswith(f"{index}#", autoescape=True))
    known = [each.partition("#")[2] for each in db.execute(query.limit(5000)).scalars()]
    if not known:
        registry.get_version(db, project, Ref(kind="index", name=index))  # the index itself may be what is misspelt
        hint = f"Its documents are known once it is built: tidemill index build index/{index}"
        raise NotFound(f"index/{index} knows no document", hint=hint)
    near = did_you_mean(name, known)
    hint = near.replace("mean ", f"mean index/{index}#") if near.startswith("Did") else f"It holds {len(known)} documents."
    raise NotFound(f"index/{index} has no document {name[:200]!r}", hint=hint)


def _of_id(db: Connection, project: str, kind: str, key: str) -> Named:
    if kind == "trace":
        return _trace(db, project, key)
    known = _KNOWN.get(kind)
    point = Point(kind=kind, key=known(db, project, key) if known is not None else key)
    if kind == "monitor":
        return _by_key(db, project, point)
    return _find(db, project, point) or Named(point=point)


def _decision(db: Connection, project: str, key: str) -> str:
    found = select(decisions.c.id).where(decisions.c.project == project)
    if not key.isdecimal() or db.execute(found.where(decisions.c.id == int(key[:18]))).first() is None:
        raise NotFound(f"there is no decision {key[:80]!r} in project {project!r}", hint="Ask for what the evaluation led to.")
    return key


_KNOWN: Final[Mapping[str, Callable[[Connection, str, str], str]]] = {
    "evaluation": lambda db, project, key: evaluations.get_evaluation(db, project, key).id,
    "approval": lambda db, project, key: approvals.get_approval(db, project, key).id,
    "rollout": lambda db, project, key: rollouts.get_rollout(db, project, key).id,
    "run": lambda db, project, key: pipelines.get_run(db, project, key).id,
    "job": lambda db, project, key: jobs.get_job(db, project, key).id,
    "feedback": lambda db, project, key: feedback.get_feedback(db, project, key).id,
    "decision": _decision,
}


def _trace(db: Connection, project: str, key: str) -> Named:
    """A trace by the whole of its id; what begins so is completed by whoever can ask the span store."""
    key = key.lower().replace("-", "")
    point = Point(kind="trace", key=key)
    return (_find(db, project, point) if _TRACE.fullmatch(key) else None) or Named(point=point)


def _find(db: Connection, project: str, point: Point, *, chunk: int | None = None) -> Named | None:
    query = select(lineage_nodes).filter_by(project=project, kind=point.kind, key=point.key)
    row = db.execute(query).first()
    if row is None:
        return None
    return Named(
        point=Point(kind=row.kind, key=row.key, label=row.label, attributes=row.attributes), ids=(row.id,), chunk=chunk
    )


def _by_key(db: Connection, project: str, point: Point) -> Named:
    found = _find(db, project, point)
    if found is not None:
        return found
    if point.kind in {"file", "external", "monitor"}:
        query = select(lineage_nodes.c.key).filter_by(project=project, kind=point.kind).order_by(lineage_nodes.c.id.desc())
        known = cast("Sequence[str]", db.execute(query.limit(5000)).scalars().all())
        hint = did_you_mean(point.key, known)
        raise NotFound(f"no {point.kind} {point.key[:200]!r} fed anything in project {project!r}", hint=hint)
    return Named(point=point)
