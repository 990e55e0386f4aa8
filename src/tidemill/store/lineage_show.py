"""Points as people see them: under which reference, since when, by whom, and how they stand now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection, func, select
from sqlalchemy.engine import Row

from tidemill.core.json import Json
from tidemill.store.approvals import approvals
from tidemill.store.deleted import deleted_versions
from tidemill.store.lineage import digest_in, lineage_nodes, ref_of
from tidemill.store.rollout_rows import rollouts
from tidemill.store.tables import decisions, endpoint_moves, endpoints, evaluations, versions
from tidemill.store.upsert import in_batches


@dataclass(kw_only=True, slots=True)
class Shown:
    """A point: `ref` to paste, `artifact` what it is a version of, `state` how it stands (`live`, `deleted`, `passed`, …).

    `about` is more of it, by kind: an evaluation's dataset, what an endpoint serves, where a release is live.
    """

    id: int
    kind: str
    key: str
    ref: str
    artifact: str
    first_ns: int
    digest: str | None = None
    by: str = ""
    state: str = ""
    about: dict[str, Json] = field(default_factory=dict[str, Json])


def show(db: Connection, project: str, ids: Iterable[int], *, now_ns: int) -> dict[int, Shown]:
    """The points with these ids, in their order."""
    wanted = list(ids)
    found: dict[int, Shown] = {}
    for batch in in_batches(wanted):
        # By the number alone: with the project beside it, a planner may think that its index is the better way in.
        mine = select(lineage_nodes).where(lineage_nodes.c.id.in_(batch))
        found |= {row.id: _plain(row) for row in db.execute(mine) if row.project == project}
    groups: dict[str, list[Shown]] = {}
    for each in found.values():
        groups.setdefault("version" if each.digest else each.kind, []).append(each)
    _versions(db, project, groups.get("version", ()))
    _endpoints(db, project, groups.get("endpoint", ()))
    _evaluations(db, project, groups.get("evaluation", ()))
    _decisions(db, project, groups.get("decision", ()))
    _approvals(db, project, groups.get("approval", ()), now_ns=now_ns)
    _rollouts(db, project, groups.get("rollout", ()))
    return {each: found[each] for each in wanted if each in found}


def _plain(row: Row[Any]) -> Shown:
    digest = digest_in(row.key)
    ref = ref_of(row.kind, row.label)
    attributes = cast("Mapping[str, Json]", row.attributes or {})
    return Shown(
        id=row.id,
        kind=row.kind,
        key=row.key,
        ref=ref,
        artifact=f"{row.kind}/{row.key.rpartition('@')[0]}" if digest else ref,
        first_ns=row.first_ns,
        digest=digest,
        about={key: each for key, each in attributes.items() if each is not None},
    )


def _versions(db: Connection, project: str, shown: Sequence[Shown]) -> None:
    for batch in in_batches(shown):
        digests = sorted({each.digest or "" for each in batch})
        rows = _version_rows(db, project, digests)
        serving = _serving(db, project, [each.digest or "" for each in batch if each.kind == "release"])
        for each in batch:
            row = rows.get((each.artifact, each.digest or ""))
            if row is None:
                each.state = "not kept" if each.kind == "release" else "erased"
                continue
            each.ref, each.by, each.first_ns = f"{each.artifact}@v{row.number}", row.created_by, row.created_ns
            if getattr(row, "deleted_ns", None) is not None:
                each.state = "deleted"
            if each.digest in serving:
                each.state = "live"
                each.about["live_at"] = [*serving[each.digest]]
            if row.description:
                each.about["description"] = row.description


def _version_rows(db: Connection, project: str, digests: Sequence[str]) -> dict[tuple[str, str], Row[Any]]:
    found: dict[tuple[str, str], Row[Any]] = {}
    at, gone = versions.c, deleted_versions.c
    names = ("kind", "name", "number", "digest", "description", "created_by", "created_ns")
    was = select(*(gone[each] for each in names), gone.deleted_ns).where(gone.project == project, gone.digest.in_(digests))
    now = select(*(at[each] for each in names)).where(at.project == project, at.digest.in_(digests))
    for query in (was, now):
        found |= {(f"{row.kind}/{row.name}", row.digest): row for row in db.execute(query)}
    return found


def _serving(db: Connection, project: str, releases: Sequence[str]) -> dict[str, list[str]]:
    """The endpoints that serve these releases now, to all or in a rollout to some."""
    found: dict[str, list[str]] = {}
    now = select(endpoints.c.release, endpoints.c.name).where(endpoints.c.project == project, endpoints.c.release.in_(releases))
    tried = select(rollouts.c.release, rollouts.c.endpoint).where(
        rollouts.c.project == project, rollouts.c.status == "running", rollouts.c.release.in_(releases)
    )
    for query in (now, tried) if releases else ():
        for release, name in db.execute(query):
            found.setdefault(release, []).append(f"endpoint/{name}")
    return {release: sorted(set(names)) for release, names in found.items()}


def _endpoints(db: Connection, project: str, shown: Sequence[Shown]) -> None:
    at = endpoint_moves.c
    for batch in in_batches(shown):
        names = [each.key for each in batch]
        rows = db.execute(select(endpoints).where(endpoints.c.project == project, endpoints.c.name.in_(names)))
        now = {row.name: row for row in rows}
        newest = select(func.max(at.id)).where(at.project == project, at.endpoint.in_(names)).group_by(at.endpoint)
        moves = {row.endpoint: row for row in db.execute(select(endpoint_moves).where(at.id.in_(newest)))}
        for each in batch:
            row, last = now.get(each.key), moves.get(each.key)
            each.state = "live" if row is not None else "gone"
            if row is not None:
                each.about |= {"release": row.release, "app": row.root}
            if last is not None:
                each.by = last.moved_by
                each.about |= {"last_move": last.action, "moved_ns": last.moved_ns}


def _evaluations(db: Connection, project: str, shown: Sequence[Shown]) -> None:
    at = evaluations.c
    for batch in in_batches(shown):
        query = select(at.id, at.status, at.root, at.dataset).where(at.project == project, at.id.in_([e.key for e in batch]))
        rows = {row.id: row for row in db.execute(query)}
        for each in batch:
            row = rows.get(each.key)
            each.state = row.status if row is not None else "erased"
            if row is not None:
                each.about |= {"app": row.root, "dataset": row.dataset}


def _decisions(db: Connection, project: str, shown: Sequence[Shown]) -> None:
    at = decisions.c
    for batch in in_batches(shown):
        numbers = [int(each.key) for each in batch if each.key.isdecimal()]
        rows = {
            str(row.id): row
            for row in db.execute(select(at.id, at.gate, at.result).where(at.project == project, at.id.in_(numbers)))
        }
        for each in batch:
            row = rows.get(each.key)
            each.state = row.result if row is not None else "erased"
            if row is not None:
                each.about["gate"] = row.gate


def _approvals(db: Connection, project: str, shown: Sequence[Shown], *, now_ns: int) -> None:
    at = approvals.c
    for batch in in_batches(shown):
        rows = {
            row.id: row
            for row in db.execute(select(approvals).where(at.project == project, at.id.in_([each.key for each in batch])))
        }
        for each in batch:
            row = rows.get(each.key)
            if row is None:
                each.state = "erased"
                continue
            is_over = row.expires_ns is not None and row.expires_ns <= now_ns
            each.state = "revoked" if row.revoked_ns is not None else "expired" if is_over else "valid"
            each.by = row.who
            each.about |= {"role": row.role, "reason": row.reason}


def _rollouts(db: Connection, project: str, shown: Sequence[Shown]) -> None:
    at = rollouts.c
    for batch in in_batches(shown):
        query = select(at.id, at.status, at.endpoint, at.started_by).where(
            at.project == project, at.id.in_([each.key for each in batch])
        )
        rows = {row.id: row for row in db.execute(query)}
        for each in batch:
            row = rows.get(each.key)
            each.state = row.status if row is not None else "erased"
            if row is not None:
                each.by = row.started_by
                each.about["endpoint"] = f"endpoint/{row.endpoint}"
