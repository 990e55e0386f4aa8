"""Artifacts, their versions and their aliases."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from tidemill.api.caller import AnyCaller, Body, Caller, Limit, Page, page
from tidemill.api.times import iso
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.store import aliases, config, registry

router = APIRouter(tags=["artifacts"])


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
    call: AnyCaller, kind: str | None = None, q: str | None = None, limit: Limit = 100, cursor: str | None = None
) -> Page:
    """The latest version of each artifact, by kind and name; for connections and endpoints, what is set."""
    if kind is not None and _is_config(call, kind):
        configs = await call.platform.database.read(lambda db: config.list_configs(db, call.project, kind=kind))
        return page([_config_json(each) for each in configs if not q or q.lower() in each.name])
    found = await call.platform.database.read(
        lambda db: registry.list_artifacts(db, call.project, kind=kind, q=q, limit=limit, cursor=cursor)
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
async def get_artifact(call: AnyCaller, kind: str, name: str) -> dict[str, Any]:
    """The latest version, with the aliases that exist."""
    ref = parse_ref(f"{kind}/{name}")
    if _is_config(call, kind):
        environment = call.platform.settings.environment
        return _config_json(
            await call.platform.database.read(lambda db: config.get_config(db, call.project, kind, name, environment))
        )
    version = await _version(call, ref)
    found = await call.platform.database.read(lambda db: aliases.list_aliases(db, call.project, ref))
    return version_json(version) | {"aliases": {each.alias: f"v{each.version.number}" for each in found}}


@router.get("/artifacts/{kind}/{name}/versions")
async def list_versions(call: AnyCaller, kind: str, name: str, limit: Limit = 100, cursor: str | None = None) -> Page:
    """Every version, the newest first."""
    ref = parse_ref(f"{kind}/{name}")
    found = await call.platform.database.read(
        lambda db: registry.list_versions(db, call.project, ref, limit=limit, cursor=cursor)
    )
    return page([version_json(each) for each in found.items], found.next)


@router.get("/artifacts/{kind}/{name}/versions/{version}")
async def get_version(call: AnyCaller, kind: str, name: str, version: str) -> dict[str, Any]:
    """One version: `v3`, an alias, or a digest."""
    return version_json(await _version(call, parse_ref(f"{kind}/{name}@{version}")))


@router.put("/artifacts/{kind}/{name}/aliases/{alias}")
async def put_alias(call: AnyCaller, kind: str, name: str, alias: str, body: NewAlias) -> dict[str, Any]:
    """Move an alias. Answers the version that it points to now."""
    ref = parse_ref(f"{kind}/{name}@{body.version}")
    now_ns = call.platform.clock.now_ns()
    moved = await call.platform.database.write(
        lambda db: aliases.set_alias(
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
    )
    return version_json(moved.version) | {"alias": moved.alias}


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
