"""What each write leaves in the lineage graph. Called within the transaction of that write."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

from sqlalchemy import Connection, select

from tidemill.core.errors import Invalid
from tidemill.core.json import Json
from tidemill.core.records import Version
from tidemill.core.refs import Ref, is_digest, parse_ref
from tidemill.store.lineage import Link, Point, record, version_point
from tidemill.store.tables import decisions, evaluations, versions

USED: Final = "used_by"
_MOST_REFS: Final = 200


def note_version(db: Connection, version: Version) -> None:
    """A new version, with what it refers to; a release with what it locks."""
    point = version_point(version.kind, version.name, version.digest, version.number)
    links = [_needed(written, digest, point) for written, digest in version.refs.items()]
    if version.kind == "release":
        root = str(version.spec.get("root", ""))
        locked = cast("Mapping[str, Mapping[str, Any]]", version.spec.get("artifacts") or {})
        if root in locked:
            links.append(_needed(root, str(locked[root]["digest"]), point, "locked"))
    record(db, version.project, points=[point], links=links, now_ns=version.created_ns)


def note_files(db: Connection, project: str, read: Iterable[tuple[str, Version]], *, now_ns: int) -> None:
    """Which file of a project described which version."""
    found = [(Point(kind="file", key=path), of_version(version)) for path, version in read]
    record(
        db,
        project,
        points=dict.fromkeys(file for file, _ in found),
        links=[Link(source=file, target=point, relation="defines") for file, point in found],
        now_ns=now_ns,
    )


def note_build(db: Connection, project: str, index: Version, documents: Sequence[Mapping[str, Json]], *, now_ns: int) -> None:
    """The documents that an index version holds, and the files that they are."""
    target = of_version(index)
    source = index.spec.get("source")
    folder = source.get("folder") if isinstance(source, Mapping) else None
    points: list[Point] = []
    links: list[Link] = []
    for each in documents:
        name = str(each["id"])
        document = Point(kind="document", key=f"{index.name}#{name}", attributes={"format": each.get("format")})
        points.append(document)
        if isinstance(folder, str):
            file = Point(kind="file", key=_joined(folder, name))
            points.append(file)
            links.append(Link(source=file, target=document, relation="read_as"))
        links.append(Link(source=document, target=target, relation="indexed"))
    record(db, project, points=points, links=links, now_ns=now_ns)


def note_evaluation(
    db: Connection,
    project: str,
    evaluation: str,
    *,
    release: str,
    root: str,
    dataset: str,
    scorers: Iterable[str] = (),
    now_ns: int,
) -> None:
    """An evaluation of a release on a dataset, by scorers of the project."""
    point = Point(kind="evaluation", key=evaluation)
    served, links = _release(db, project, release, root)
    links.append(Link(source=served, target=point, relation="evaluated"))
    for ref, relation in ((dataset, "judged_on"), *((each, "scored_by") for each in scorers if "/" in each)):
        found = find_point(db, project, ref)
        if found is not None:
            links.append(Link(source=found, target=point, relation=relation))
    record(db, project, points=[served, point], links=links, now_ns=now_ns)


def note_decision(
    db: Connection, project: str, number: int, *, gate: Point | None, evaluation: str, against: str | None, now_ns: int
) -> None:
    """What a gate decided of an evaluation, against another."""
    point = Point(kind="decision", key=str(number))
    links = [Link(source=Point(kind="evaluation", key=evaluation), target=point, relation="decided")]
    if against:
        links.append(Link(source=Point(kind="evaluation", key=against), target=point, relation="against"))
    if gate is not None:
        links.append(Link(source=gate, target=point, relation="rule_of"))
    record(db, project, points=[point], links=links, now_ns=now_ns)


def note_approval(db: Connection, project: str, approval: str, *, digest: str, root: str, now_ns: int) -> None:
    """That somebody approved a release."""
    point = Point(kind="approval", key=approval)
    served, links = _release(db, project, digest, root)
    links.append(Link(source=served, target=point, relation="approved"))
    record(db, project, points=[served, point], links=links, now_ns=now_ns)


def note_served(
    db: Connection,
    project: str,
    endpoint: str,
    *,
    action: str,
    release: str,
    root: str,
    approvals: Iterable[str] = (),
    now_ns: int,
) -> None:
    """That an endpoint began to serve a release, and the decisions and approvals that stood for it then."""
    point = Point(kind="endpoint", key=endpoint)
    served, links = _release(db, project, release, root)
    links.append(Link(source=served, target=point, relation=action))
    links += [Link(source=Point(kind="approval", key=each), target=point, relation="allowed") for each in approvals]
    links += [Link(source=each, target=point, relation="allowed") for each in _passed(db, project, release)]
    record(db, project, points=[served, point], links=links, now_ns=now_ns)


def note_rollout(db: Connection, project: str, rollout: str, *, endpoint: str, release: str, root: str, now_ns: int) -> None:
    """That a release was tried on a share of an endpoint's traffic."""
    point, place = Point(kind="rollout", key=rollout), Point(kind="endpoint", key=endpoint)
    served, links = _release(db, project, release, root)
    links += [
        Link(source=served, target=point, relation="tried"),
        Link(source=point, target=place, relation="shared"),
    ]
    record(db, project, points=[served, point, place], links=links, now_ns=now_ns)


def note_samples(
    db: Connection,
    project: str,
    dataset: Version,
    *,
    before: Version | None,
    traces: Mapping[str, str],
    feedback: Iterable[str] = (),
    now_ns: int,
) -> None:
    """Rows that were added to a dataset: the traces (with the release that answered, where known) and what was said of them."""
    target = of_version(dataset)
    links: list[Link] = []
    if before is not None and before.digest != dataset.digest:
        links.append(Link(source=of_version(before), target=target, relation="extended"))
    found = {name: Point(kind="trace", key=name) for name in traces}
    said = [Point(kind="feedback", key=each) for each in dict.fromkeys(feedback)]
    links += [Link(source=each, target=target, relation="sampled") for each in found.values()]
    links += [Link(source=each, target=target, relation="labelled") for each in said]
    releases = _by_digest(db, project, {each for each in traces.values() if is_digest(each)})
    links += [
        Link(source=releases[release], target=found[name], relation="answered")
        for name, release in traces.items()
        if release in releases
    ]
    record(db, project, points=[*found.values(), *said], links=links, now_ns=now_ns)


def note_proposed(db: Connection, project: str, monitor: str, *, target: str, dataset: str, now_ns: int) -> None:
    """That a dataset version took what a monitor proposed, which watches an endpoint."""
    point = Point(kind="monitor", key=monitor)
    links: list[Link] = []
    taken = find_point(db, project, dataset)
    if taken is not None:
        links.append(Link(source=point, target=taken, relation="proposed"))
    if target.startswith("endpoint/"):
        endpoint = Point(kind="endpoint", key=target.removeprefix("endpoint/"))
        links.append(Link(source=endpoint, target=point, relation="watched"))
    record(db, project, points=[point], links=links, now_ns=now_ns)


def note_run(db: Connection, project: str, run: str, *, pipeline: str, digest: str, now_ns: int) -> None:
    """A run of a pipeline."""
    point = Point(kind="run", key=run)
    link = Link(source=version_point("pipeline", pipeline, digest), target=point, relation="ran")
    record(db, project, points=[point], links=[link], now_ns=now_ns)


def note_output(db: Connection, project: str, run: str, output: Json, *, now_ns: int) -> None:
    """What a step of a pipeline's run made, as its output names it."""
    point = Point(kind="run", key=run)
    found: list[Point] = []
    for name, value in list(output.items())[:_MOST_REFS] if isinstance(output, Mapping) else ():
        if name in {"evaluation", "approval"} and isinstance(value, str):
            found.append(Point(kind=name, key=value))
        elif name in _MADE and isinstance(value, str) and (made := find_point(db, project, value)) is not None:
            found.append(made)
    record(db, project, links=[Link(source=point, target=each, relation="made") for each in found], now_ns=now_ns)


_MADE: Final = frozenset({"index", "dataset", "adapter", "model", "release", "app", "endpoint"})


def of_version(version: Version) -> Point:
    """The point of a version."""
    return version_point(version.kind, version.name, version.digest, version.number)


def find_point(db: Connection, project: str, written: str) -> Point | None:
    """The point of `kind/name@vN`, `endpoint/x` or a release's digest; None when there is none. A bare name is the latest."""
    if is_digest(written):
        return _by_digest(db, project, {written}).get(written)
    try:
        ref = parse_ref(written)
    except Invalid:
        return None
    if ref.kind == "endpoint":
        return Point(kind="endpoint", key=ref.name)
    query = select(versions.c.digest, versions.c.number).filter_by(project=project, kind=ref.kind, name=ref.name)
    if ref.number is not None:
        query = query.where(versions.c.number == ref.number)
    if ref.digest is not None:
        query = query.where(versions.c.digest == ref.digest)
    row = db.execute(query.order_by(versions.c.number.desc()).limit(1)).first()
    return None if row is None else version_point(ref.kind, ref.name, row.digest, row.number)


def _needed(written: str, digest: str, target: Point, relation: str = USED) -> Link:
    bare = written.partition("@")[0]
    kind, _, name = bare.rpartition(":")[2].partition("/")
    return Link(source=version_point(kind, name, digest), target=target, relation=relation)


def _release(db: Connection, project: str, digest: str, root: str) -> tuple[Point, list[Link]]:
    """A release by its digest. One that was only run, not kept, gets the name that keeping it would give it."""
    known = _by_digest(db, project, {digest}).get(digest)
    if known is not None:
        return known, []
    try:
        ref = parse_ref(root)
    except Invalid:
        ref = Ref(kind="release", name="unnamed")
    point = version_point("release", ref.name, digest)
    made_of = find_point(db, project, root) if ref.kind != "release" else None
    return point, [] if made_of is None else [Link(source=made_of, target=point, relation="locked")]


def _by_digest(db: Connection, project: str, digests: set[str]) -> dict[str, Point]:
    if not digests:
        return {}
    query = select(versions.c.name, versions.c.digest, versions.c.number).where(
        versions.c.project == project, versions.c.kind == "release", versions.c.digest.in_(sorted(digests))
    )
    return {row.digest: version_point("release", row.name, row.digest, row.number) for row in db.execute(query)}


def _passed(db: Connection, project: str, release: str) -> list[Point]:
    """The decisions in favour of a release, as far as the graph has them."""
    query = (
        select(decisions.c.id)
        .join(evaluations, evaluations.c.id == decisions.c.evaluation)
        .where(
            decisions.c.project == project,
            decisions.c.result == "passed",
            evaluations.c.project == project,
            evaluations.c.release == release,
        )
    )
    return [Point(kind="decision", key=str(each)) for each in db.execute(query.order_by(decisions.c.id)).scalars()]


def _joined(folder: str, name: str) -> str:
    plain = folder.strip("/").removeprefix("./")
    return name if plain in {"", "."} else f"{plain}/{name}"
