"""Deleting what has no versions, connections, endpoints, environments and monitors: refused while anything uses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from sqlalchemy import Connection, and_, delete, select

from tidemill.core.errors import Conflict, NotFound, Problem
from tidemill.core.json import JsonObject
from tidemill.core.refs import is_ref, parse_ref
from tidemill.core.suggest import did_you_mean
from tidemill.store import audit
from tidemill.store.config import Config, list_configs
from tidemill.store.dependents import texts_in
from tidemill.store.endpoints import get_endpoint
from tidemill.store.rollout_rows import running_rollout
from tidemill.store.tables import artifacts, configs, endpoints, keys, versions

_REACHING: Final = ("model", "embedder")
_SHOWN: Final = 20


def delete_config(
    db: Connection, project: str, kind: str, name: str, *, environment: str | None, by: str, now_ns: int, why: str = ""
) -> tuple[Config, ...]:
    """Delete a document in every environment, or the one written for `environment`; what went.

    With its last document an endpoint stops answering. What it answered, and who deployed what there, stays. Raises `NotFound`,
    and `Conflict`, naming each use and what to do about it.
    """
    gone = forms_of(db, project, kind, name, environment)
    problems = list(_users(db, project, kind, name, gone, whole=environment is None))
    if problems:
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        message = f"{kind}/{name} cannot be deleted: {problems[0].message}{more}"
        raise Conflict(message, hint=problems[0].hint, problems=problems[:_SHOWN])
    rows = delete(configs).where(configs.c.project == project, configs.c.kind == kind, configs.c.name == name)
    db.execute(rows if environment is None else rows.where(configs.c.environment == environment))
    detail: JsonObject = {"environments": sorted(each.environment or "" for each in gone), "why": why}
    if kind == "endpoint" and environment is None:
        served = db.execute(select(endpoints.c.release).filter_by(project=project, name=name)).scalar()
        db.execute(delete(endpoints).where(endpoints.c.project == project, endpoints.c.name == name))
        detail = {**detail, "release": served}
    audit.append(db, project, who=by, action="delete", target=f"{kind}/{name}", detail=detail, now_ns=now_ns)
    return gone


def forms_of(db: Connection, project: str, kind: str, name: str, environment: str | None) -> tuple[Config, ...]:
    """The documents of this name, or the one for `environment`. Raises `NotFound`; an endpoint may have none and be served."""
    found = tuple(each for each in list_configs(db, project, kind=kind) if each.name == name)
    if environment is not None:
        found = tuple(each for each in found if each.environment == environment)
    if not found and kind == "endpoint" and environment is None:
        get_endpoint(db, project, name)
    elif not found:
        known = {each.bare for each in list_configs(db, project, kind=kind)}
        place = f" for environment {environment!r}" if f"{kind}/{name}" in known else ""
        raise NotFound(f"there is no {kind}/{name}{place} in project {project!r}", hint=did_you_mean(f"{kind}/{name}", known))
    return found


def _users(db: Connection, project: str, kind: str, name: str, gone: tuple[Config, ...], *, whole: bool) -> Iterator[Problem]:
    if kind == "connection":
        yield from _reached_through(db, project, name, gone)
    elif kind == "environment":
        yield from _in_environment(db, project, name)
    elif whole:
        if kind == "endpoint":
            yield from _at_endpoint(db, project, name)
        yield from _naming(db, project, f"{kind}/{name}")


def _reached_through(db: Connection, project: str, name: str, gone: tuple[Config, ...]) -> Iterator[Problem]:
    """Latest versions of what is reached through it: by its name, or because nothing else leads to their provider."""
    left = [each for each in list_configs(db, project, kind="connection") if each not in gone]
    if any(each.name == name and each.environment is None for each in left):
        return
    leading = {str(each.spec.get("provider")) for each in gone} - {str(each.spec.get("provider")) for each in left}
    for bare, spec in _latest(db, project, *_REACHING):
        named = spec.get("connection")
        if named is None and spec.get("provider") in leading:
            yield Problem(message=f"{bare} reaches {spec['provider']} by it", hint=f"Delete that first: tidemill delete {bare}")
        elif isinstance(named, str) and named.removeprefix("connection/") == name:
            yield Problem(message=f"{bare} names it", hint="Change that file first, then apply.")


def _in_environment(db: Connection, project: str, name: str) -> Iterator[Problem]:
    for each in list_configs(db, project):
        if each.environment == name:
            hint = f"Delete that first: tidemill delete {each.bare} --environment {name}"
            yield Problem(message=f"{each.bare} is written for it", hint=hint)
        elif each.kind == "environment" and each.spec.get("from") == name:
            yield Problem(message=f"{each.bare} takes releases from it", hint="Change that file first, then apply.")
    served = select(endpoints.c.name).where(endpoints.c.project == project, endpoints.c.environment == name)
    for endpoint in db.execute(served.order_by(endpoints.c.name)).scalars():
        yield Problem(
            message=f"endpoint/{endpoint} answers in it", hint=f"Delete that first: tidemill delete endpoint/{endpoint}"
        )


def _at_endpoint(db: Connection, project: str, name: str) -> Iterator[Problem]:
    if running_rollout(db, project, name) is not None:
        hint = f"End it first: tidemill rollout promote|abort endpoint/{name}"
        yield Problem(message="a rollout runs there", hint=hint)
    query = select(keys.c.id, keys.c.endpoints).where(keys.c.project == project, keys.c.revoked_ns.is_(None))
    for row in db.execute(query.order_by(keys.c.id)):
        if name in (cast("Mapping[str, list[str] | None]", row.endpoints)["names"] or ()):
            yield Problem(message=f"key {row.id} is for it", hint=f"Revoke it first: tidemill keys revoke {row.id}")


def _naming(db: Connection, project: str, bare: str) -> Iterator[Problem]:
    """Documents and pipelines that name it."""
    documents = [(each.bare, each.spec) for each in list_configs(db, project) if each.bare != bare]
    for user, spec in (*documents, *_latest(db, project, "pipeline")):
        if any(is_ref(text) and parse_ref(text).bare == bare for text in texts_in(spec)):
            yield Problem(message=f"{user} names it", hint="Change that file first, then apply.")


def _latest(db: Connection, project: str, *kinds: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    same = (artifacts.c.project == versions.c.project, artifacts.c.kind == versions.c.kind, artifacts.c.name == versions.c.name)
    query = select(versions.c.kind, versions.c.name, versions.c.spec).join(
        artifacts, and_(*same, artifacts.c.latest == versions.c.number)
    )
    rows = query.where(versions.c.project == project, versions.c.kind.in_(kinds))
    for row in db.execute(rows.order_by(versions.c.kind, versions.c.name)):
        yield f"{row.kind}/{row.name}", row.spec
