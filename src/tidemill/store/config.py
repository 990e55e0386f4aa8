"""Documents that have no versions: connections and endpoints, one form an environment, outside every digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection as SqlConnection
from sqlalchemy import and_, or_, select
from sqlalchemy.engine import Row

from tidemill.core.chat import Connection, Secret
from tidemill.core.errors import Conflict, NotFound
from tidemill.core.json import JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import configs
from tidemill.store.upsert import upsert


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """One document; `environment` None holds in every environment that has none of its own."""

    kind: str
    name: str
    environment: str | None
    spec: JsonObject
    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    owner: str = ""
    updated_ns: int = 0

    @property
    def bare(self) -> str:
        """`kind/name`."""
        return f"{self.kind}/{self.name}"


def put_config(  # noqa: PLR0913  (every column of a document is given by name)
    db: SqlConnection,
    project: str,
    kind: str,
    name: str,
    environment: str | None,
    spec: JsonObject,
    *,
    now_ns: int = 0,
    description: str = "",
    tags: Mapping[str, str] | None = None,
    owner: str = "",
) -> bool:
    """Keep a document in place of the one before; whether anything changed."""
    old = find_config(db, project, kind, name, environment)
    kept = {"spec": spec, "description": description, "tags": dict(tags or {}), "owner": owner}
    if old is not None and kept == {each: getattr(old, each) for each in kept}:
        return False
    at = {"project": project, "kind": kind, "name": name, "environment": environment or ""}
    upsert(db, configs, [{**at, **kept, "updated_ns": now_ns}])
    return True


def find_config(db: SqlConnection, project: str, kind: str, name: str, environment: str | None) -> Config | None:
    """The document written for exactly this environment (None: for all), or None."""
    query = select(configs).filter_by(project=project, kind=kind, name=name, environment=environment or "")
    row = db.execute(query).first()
    return None if row is None else _config(row)


def get_config(db: SqlConnection, project: str, kind: str, name: str, environment: str | None = None) -> Config:
    """The document that holds in `environment`: its own, else the one for all. Raises `NotFound` with the nearest name."""
    own = find_config(db, project, kind, name, environment)
    found = own or find_config(db, project, kind, name, None)
    if found is None:
        known = {each.bare for each in list_configs(db, project, kind=kind)}
        place = f" for environment {environment!r}" if f"{kind}/{name}" in known else ""
        raise NotFound(f"there is no {kind}/{name}{place} in project {project!r}", hint=did_you_mean(f"{kind}/{name}", known))
    return found


def list_configs(db: SqlConnection, project: str, *, kind: str | None = None) -> tuple[Config, ...]:
    """Every document by kind, name and environment."""
    query = select(configs).where(configs.c.project == project)
    if kind is not None:
        query = query.where(configs.c.kind == kind)
    rows = db.execute(query.order_by(configs.c.kind, configs.c.name, configs.c.environment))
    return tuple(_config(row) for row in rows)


def page_of_configs(
    db: SqlConnection, project: str, *, kind: str, q: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page[Config]:
    """Documents of a kind by name and environment; `q` is part of the name."""
    query = select(configs).where(configs.c.project == project, configs.c.kind == kind)
    if q:
        query = query.where(configs.c.name.icontains(q, autoescape=True))
    if cursor is not None:
        name, _, environment = cursor.partition("/")
        after = and_(configs.c.name == name, configs.c.environment > environment)
        query = query.where(or_(configs.c.name > name, after))
    rows = db.execute(query.order_by(configs.c.name, configs.c.environment).limit(check_limit(limit) + 1))
    found = [_config(row) for row in rows]
    return make_page(found, limit=limit, cursor_of=lambda each: f"{each.name}/{each.environment or ''}")


def connection_for(db: SqlConnection, project: str, name_or_provider: str, environment: str) -> Connection | None:
    """The connection of this name in `environment`, else the only one to the provider of this name, else None.

    One written for the environment wins over one for all. Raises `Conflict` when several lead to the provider.
    """
    name = name_or_provider.removeprefix("connection/")
    holding: dict[str, Config] = {}
    for each in list_configs(db, project, kind="connection"):
        if each.environment == environment or (each.environment is None and each.name not in holding):
            holding[each.name] = each
    if name in holding:
        return _connection(holding[name])
    leading = [each for each in holding.values() if each.spec.get("provider") == name]
    if len(leading) > 1:
        names = ", ".join(sorted(each.bare for each in leading))
        raise Conflict(f"several connections lead to {name}: {names}", hint="Name one: connection: NAME in the model.")
    return _connection(leading[0]) if leading else None


def _connection(config: Config) -> Connection:
    spec = cast("Mapping[str, Any]", config.spec)
    key = spec.get("api_key")
    return Connection(
        name=config.name,
        provider=str(spec["provider"]),
        base_url=spec.get("base_url"),
        api_key=None if key is None else Secret(reference=str(key)),
        timeout=float(spec.get("timeout") or 60.0),
        headers=dict(spec.get("headers") or {}),
        allow_private=bool(spec.get("allow_private", False)),
        options=cast("Mapping[str, str]", spec.get("options") or {}),
        environment=config.environment,
    )


def _config(row: Row[Any]) -> Config:
    return Config(
        kind=row.kind,
        name=row.name,
        environment=row.environment or None,
        spec=row.spec,
        description=row.description,
        tags=row.tags,
        owner=row.owner,
        updated_ns=row.updated_ns,
    )
