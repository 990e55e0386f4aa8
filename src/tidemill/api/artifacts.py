"""Artifacts, their versions and their aliases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query, Response
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.etags import IfMatch, immutable, tag
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.errors import Invalid
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.store import aliases, config, registry
from tidemill.store.aliases import Alias
from tidemill.store.deleted import list_deleted
from tidemill.store.page import make_page
from tidemill.store.tags import check_tag

router = Router(tags=["artifacts"])


class NewAlias(Body):
    """Where an alias shall point, and why; `expected` is the version it must point to now, for compare-and-set."""

    version: str
    why: str = ""
    expected: str | None = None


def version_json(version: Version) -> dict[str, Any]:
    """A version as everyone sees it."""
    return {
        "ref": version.ref,
        "kind": version.kind,
        "name": version.name,
        "version": f"v{version.number}",
        "number": version.number,
        "digest": version.digest,
        "spec": version.spec,
        "refs": dict(version.refs),
        "blobs": dict(version.blobs),
        "description": version.description,
        "tags": dict(version.tags),
        "owner": version.owner,
        "created": iso(version.created_ns),
    }


@router.get("/artifacts")
async def list_artifacts(
    call: AnyCaller,
    kind: str | None = None,
    q: str | None = None,
    tag: Annotated[tuple[str, ...], Query()] = (),
    owner: str | None = None,
    *,
    deleted: bool = False,
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page:
    """The latest version of each artifact, by kind and name; for connections and endpoints, what is set.

    `q` finds parts of names, descriptions, owners and tags; `tag`, as in `team=search`, may be given several times. With
    `deleted`, the deleted versions of the kind, which can be restored.
    """
    if deleted:
        return await _list_deleted(call, kind, limit=limit, cursor=cursor)
    if kind is not None and _is_config(call, kind):
        configs = await call.platform.database.read(
            lambda db: config.page_of_configs(db, call.project, kind=kind, q=q, limit=limit, cursor=cursor)
        )
        return page([_config_json(each) for each in configs.items], configs.next)
    found = await call.platform.database.read(
        lambda db: registry.list_artifacts(
            db, call.project, kind=kind, q=q, tags=tags_of(tag), owner=owner, limit=limit, cursor=cursor
        )
    )
    return page([version_json(each.latest) | {"versions": each.versions} for each in found.items], found.next)


@router.get("/prompts")
async def list_prompts(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """The project's prompts."""
    return await list_artifacts(call, kind="prompt", limit=limit, cursor=cursor)


@router.get("/indexes")
async def list_indexes(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """The project's indexes."""
    return await list_artifacts(call, kind="index", limit=limit, cursor=cursor)


@router.get("/datasets")
async def list_datasets(call: AnyCaller, limit: Limit = 100, cursor: str | None = None) -> Page:
    """The project's datasets."""
    return await list_artifacts(call, kind="dataset", limit=limit, cursor=cursor)


@router.get("/artifacts/{kind}/{name}")
async def get_artifact(call: AnyCaller, kind: str, name: str, response: Response) -> dict[str, Any]:
    """The latest version, with the aliases that exist. The tag changes when any of it does."""
    ref = parse_ref(f"{kind}/{name}")
    if _is_config(call, kind):
        environment = call.platform.settings.environment
        found = await call.platform.database.read(lambda db: config.get_config(db, call.project, kind, name, environment))
        response.headers["etag"] = tag(found.environment, found.updated_ns, found.spec, found.description, found.tags)
        return _config_json(found)
    pointed = await call.platform.database.read(lambda db: aliases.list_aliases(db, call.project, ref))
    response.headers["etag"] = _state(pointed)
    return version_json(pointed[0].version) | {"aliases": {each.alias: f"v{each.version.number}" for each in pointed}}


def artifact_tag(db: Database, project: str, ref: Ref) -> str:
    """The tag of an artifact as `get_artifact` answers it, to be checked in the transaction that changes it."""
    return _state(aliases.list_aliases(db, project, ref))


def version_tag(db: Database, project: str, ref: Ref) -> str:
    """The tag of a version as `get_version` answers it."""
    return _immutable(registry.get_version(db, project, ref))["etag"]


def _immutable(found: Version) -> dict[str, str]:
    return immutable(found.digest, found.number, found.description, dict(found.tags), found.owner)


def _state(pointed: Sequence[Alias]) -> str:
    latest = pointed[0].version
    moves = [(each.alias, each.version.number, each.moved_ns) for each in pointed]
    return tag(latest.digest, latest.number, latest.description, dict(latest.tags), latest.owner, moves)


@router.get("/artifacts/{kind}/{name}/versions")
async def list_versions(call: AnyCaller, kind: str, name: str, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Every version, the newest first."""
    ref = parse_ref(f"{kind}/{name}")
    found = await call.platform.database.read(
        lambda db: registry.list_versions(db, call.project, ref, limit=limit, cursor=cursor)
    )
    return page([version_json(each) for each in found.items], found.next)


@router.get("/artifacts/{kind}/{name}/versions/{version}")
async def get_version(call: AnyCaller, kind: str, name: str, version: str, response: Response) -> dict[str, Any]:
    """One version: `v3`, an alias, or a digest."""
    found = await _version(call, parse_ref(f"{kind}/{name}@{version}"))
    headers = _immutable(found)
    if version.startswith("sha256:") or version == f"v{found.number}":
        response.headers.update(headers)
    else:
        response.headers["etag"] = headers["etag"]
    return version_json(found)


@router.get("/artifacts/{kind}/{name}/aliases")
async def list_aliases(call: AnyCaller, kind: str, name: str, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Where the aliases point, by name; `latest` too."""
    ref = parse_ref(f"{kind}/{name}")
    found = await call.platform.database.read(lambda db: aliases.list_aliases(db, call.project, ref))
    rest = sorted((each for each in found if cursor is None or each.alias > cursor), key=lambda each: each.alias)
    shown = make_page(rest[: limit + 1], limit=limit, cursor_of=lambda each: each.alias)
    return page([_alias_json(each) for each in shown.items], shown.next)


@router.get("/artifacts/{kind}/{name}/aliases/{alias}")
async def get_alias(call: AnyCaller, kind: str, name: str, alias: str, response: Response) -> dict[str, Any]:
    """Where an alias points, who moved it there and when."""
    ref = parse_ref(f"{kind}/{name}")
    found = await call.platform.database.read(lambda db: aliases.get_alias(db, call.project, ref, alias))
    response.headers["etag"] = alias_tag(found)
    return _alias_json(found)


@router.put("/artifacts/{kind}/{name}/aliases/{alias}")
async def put_alias(
    call: AnyCaller, kind: str, name: str, alias: str, body: NewAlias, if_match: IfMatch, response: Response
) -> dict[str, Any]:
    """Move an alias; with `If-Match`, only when it still is where the caller saw it. Answers the version it points to now."""
    ref = parse_ref(f"{kind}/{name}@{body.version}")
    now_ns = call.platform.clock.now_ns()

    def work(db: Database) -> Alias:
        if_match.check_state(lambda: alias_tag(aliases.get_alias(db, call.project, ref, alias)))
        aliases.set_alias(
            db,
            call.project,
            ref,
            alias,
            policies=call.platform.policies,
            by=call.who,
            role=call.principal.role,
            why=body.why,
            expected=body.expected,
            now_ns=now_ns,
        )
        return aliases.get_alias(db, call.project, ref, alias)

    moved = await call.platform.database.write(work)
    response.headers["etag"] = alias_tag(moved)
    return version_json(moved.version) | {"alias": moved.alias}


def alias_tag(found: Alias) -> str:
    """The tag of an alias that points so."""
    return tag(found.alias, found.version.number, found.version.digest, found.moved_ns, found.moved_by)


def _alias_json(found: Alias) -> dict[str, Any]:
    version = found.version
    return {
        "alias": found.alias,
        "ref": version.ref,
        "version": f"v{version.number}",
        "digest": version.digest,
        "moved_by": found.moved_by or None,
        "why": found.why,
        "moved": iso(found.moved_ns or version.created_ns),
    }


def tags_of(written: Sequence[str]) -> dict[str, str]:
    """Tags as `KEY=VALUE`. Raises `Invalid` for any other form."""
    found: dict[str, str] = {}
    for each in written:
        key, equals, value = each.partition("=")
        if not equals:
            raise Invalid(f"the tag {each[:140]!r} has no value", hint="Write KEY=VALUE, as in team=search.")
        found[check_tag(key)] = value
    return found


async def _list_deleted(call: Caller, kind: str | None, *, limit: int, cursor: str | None) -> Page:
    found = await call.platform.database.read(lambda db: list_deleted(db, call.project, kind=kind, limit=limit, cursor=cursor))
    window_ns = int(call.platform.settings.retention * 10**9)
    items = [
        version_json(each.version)
        | {
            "deleted": iso(each.deleted_ns),
            "deleted_by": each.deleted_by,
            "why": each.why,
            "until": iso(each.deleted_ns + window_ns),
        }
        for each in found.items
    ]
    return page(items, found.next)


def _is_config(call: Caller, kind: str) -> bool:
    found = call.platform.kinds.get(kind)
    return found is not None and not found.versioned


def _config_json(found: config.Config) -> dict[str, Any]:
    """Configuration outside every digest: it has no version. A secret stands in it by reference only."""
    return {
        "ref": found.bare,
        "kind": found.kind,
        "name": found.name,
        "environment": found.environment,
        "spec": found.spec,
        "description": found.description,
        "tags": dict(found.tags),
        "owner": found.owner,
        "created": iso(found.updated_ns),
    }


async def _version(call: AnyCaller, ref: Ref) -> Version:
    return await call.platform.database.read(lambda db: registry.get_version(db, call.project, ref))
