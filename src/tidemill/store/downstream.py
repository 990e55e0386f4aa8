"""What an apply leaves behind on old content: releases, evaluations, endpoints and aliases that have what it replaces."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, cast

from sqlalchemy import Connection, select

from tidemill.core.json import Json, JsonObject
from tidemill.store.changes import Change
from tidemill.store.tables import aliases, artifacts, endpoints, evaluations, versions

_RELEASES: Final = 1000
_EVALUATIONS: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Downstream:
    """Newest first where there is an order. Each names by `because` the artifacts in it that an apply would replace."""

    releases: tuple[JsonObject, ...] = ()
    evaluations: tuple[JsonObject, ...] = ()
    endpoints: tuple[JsonObject, ...] = ()
    aliases: tuple[JsonObject, ...] = ()

    def as_json(self) -> JsonObject:
        """As the API answers it."""
        return {name: list(getattr(self, name)) for name in ("releases", "evaluations", "endpoints", "aliases")}


def downstream(db: Connection, project: str, changes: Sequence[Change]) -> Downstream:
    """What has the versions that these changes replace. Of releases the newest thousand are looked at."""
    replaced = {
        each.was: f"{each.ref}@{each.before}"
        for each in changes
        if each.action == "update" and each.was is not None and each.was != each.digest
    }
    if not replaced:
        return Downstream()
    releases = _releases(db, project, replaced)
    because = {str(each["digest"]): cast("list[Json]", each["because"]) for each in releases}
    return Downstream(
        releases=tuple(releases),
        evaluations=tuple(_evaluations(db, project, because, replaced)),
        endpoints=tuple(_endpoints(db, project, because)),
        aliases=tuple(_aliases(db, project, replaced, because)),
    )


def _releases(db: Connection, project: str, replaced: Mapping[str, str]) -> list[JsonObject]:
    row = versions.c
    query = select(row.name, row.number, row.digest, row.spec).where(row.project == project, row.kind == "release")
    rows = db.execute(query.order_by(row.created_ns.desc(), row.name, row.number.desc()).limit(_RELEASES))
    found: list[JsonObject] = []
    for name, number, digest, spec in rows:
        because = _because(_locked(spec), replaced)
        if because:
            root = str(spec["root"]).partition("@")[0]
            found.append({"ref": f"release/{name}@v{number}", "digest": digest, "root": root, "because": because})
    return found


def _evaluations(
    db: Connection, project: str, releases: Mapping[str, list[Json]], replaced: Mapping[str, str]
) -> list[JsonObject]:
    """Those of the releases, and those on a dataset whose rows are replaced."""
    row = evaluations.c
    query = select(row.id, row.release, row.root, row.dataset, row.config).where(row.project == project, row.status == "done")
    found: list[JsonObject] = []
    for identity, release, root, dataset, config in db.execute(query.order_by(row.id.desc()).limit(_EVALUATIONS)):
        data = cast("Mapping[str, Json]", config).get("data")
        because = [*releases.get(release, ()), *_because([str(data)], replaced)]
        if because:
            found.append({"id": identity, "release": release, "app": root, "dataset": dataset, "because": because})
    return found


def _endpoints(db: Connection, project: str, releases: Mapping[str, list[Json]]) -> list[JsonObject]:
    rows = db.execute(select(endpoints).where(endpoints.c.project == project).order_by(endpoints.c.name))
    return [
        {"ref": f"endpoint/{each.name}", "release": each.release, "root": each.root, "because": releases[each.release]}
        for each in rows
        if each.release in releases
    ]


def _aliases(db: Connection, project: str, replaced: Mapping[str, str], releases: Mapping[str, list[Json]]) -> list[JsonObject]:
    """The aliases that stay on what is replaced; `latest` moves with the apply, except that of a release."""
    same = (
        (aliases.c.project == versions.c.project) & (aliases.c.kind == versions.c.kind)
        & (aliases.c.name == versions.c.name) & (aliases.c.number == versions.c.number)
    )  # fmt: skip
    query = select(aliases.c.kind, aliases.c.name, aliases.c.alias, aliases.c.number, versions.c.digest).join(versions, same)
    rows = list(db.execute(query.where(aliases.c.project == project).order_by(aliases.c.kind, aliases.c.name, aliases.c.alias)))
    latest = _latest_releases(db, project)
    found: list[JsonObject] = []
    for kind, name, alias, number, digest in [*map(tuple, rows), *latest]:
        because: Sequence[Json] = [replaced[digest]] if digest in replaced else releases.get(digest, ())
        if because:
            found.append({"ref": f"{kind}/{name}@{alias}", "version": f"v{number}", "because": list(because)})
    return found


def _latest_releases(db: Connection, project: str) -> list[tuple[str, str, str, int, str]]:
    same = (
        (artifacts.c.project == versions.c.project) & (artifacts.c.kind == versions.c.kind)
        & (artifacts.c.name == versions.c.name) & (artifacts.c.latest == versions.c.number)
    )  # fmt: skip
    query = select(versions.c.name, versions.c.number, versions.c.digest).join(artifacts, same)
    rows = db.execute(query.where(versions.c.project == project, versions.c.kind == "release").order_by(versions.c.name))
    return [("release", name, "latest", number, digest) for name, number, digest in rows]


def _locked(spec: JsonObject) -> list[str]:
    locked = cast("Mapping[str, Mapping[str, str]]", spec["artifacts"])
    return [each["digest"] for each in locked.values()]


def _because(digests: Iterable[str], replaced: Mapping[str, str]) -> list[Json]:
    return [*sorted({replaced[each] for each in digests if each in replaced})]
