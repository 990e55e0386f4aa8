"""Environments: named sets of connections, what must be before a release is promoted into one, and what is promoted there.

The alias of an environment's name says what an application is there: `chain/handbook@production`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection as Database
from sqlalchemy import select

from tidemill.core.errors import Denied, NotFound
from tidemill.core.refs import Ref
from tidemill.core.suggest import did_you_mean
from tidemill.store.config import Config, find_config, list_configs
from tidemill.store.registry import get_version
from tidemill.store.release import ROOT_KINDS
from tidemill.store.tables import aliases, endpoints

KIND = "environment"
USUAL = ("local", "staging", "production")
"""What is an environment in every project, with or without a document."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Environment:
    """`origin` is where a release must have been before (None: nowhere); `protected` asks an operator, and a promotion.

    `document` says whether the project describes it.
    """

    name: str
    origin: str | None = None
    protected: bool = False
    description: str = ""
    document: bool = False

    @property
    def has_rules(self) -> bool:
        """Whether its aliases move by a promotion alone."""
        return self.protected or self.origin is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """What an application is in an environment: the version that the alias of its name points at."""

    root: str
    version: int
    digest: str
    moved_by: str
    moved_ns: int


def read_environment(db: Database, project: str, name: str) -> Environment:
    """An environment's rules; one that no document describes has none."""
    found = find_config(db, project, KIND, name, None)
    if found is None:
        return Environment(name=name)
    origin = found.spec.get("from")
    return Environment(
        name=name,
        origin=None if origin is None else str(origin),
        protected=bool(found.spec.get("protected", False)),
        description=found.description,
        document=True,
    )


def get_environment(db: Database, project: str, name: str, *, own: str) -> Environment:
    """The environment of this name; `own` is the server's. Raises `NotFound`, so that a slip of the pen makes none."""
    known = names(db, project, own=own)
    if name not in known:
        raise NotFound(
            f"there is no environment {name!r} in project {project!r}",
            hint=f"{did_you_mean(name, known)} A document of kind environment, or a connection of it, makes one.".strip(),
        )
    return read_environment(db, project, name)


def names(db: Database, project: str, *, own: str) -> tuple[str, ...]:
    """Every environment: the usual ones, those that documents describe or are written for, and the server's `own`."""
    configs = list_configs(db, project)
    described = {each.name for each in configs if each.kind == KIND}
    return tuple(sorted({*USUAL, own, *described, *(each.environment for each in configs if each.environment)}))


def connections_in(db: Database, project: str, environment: str) -> Mapping[str, Config]:
    """The connections that hold in an environment, by name: its own, else those for all."""
    return _holding(list_configs(db, project, kind="connection"), environment)


def followers(db: Database, project: str, environment: str, root: str) -> tuple[str, ...]:
    """The endpoints whose document says that they serve what `root` (`chain/x`) is in this environment, by name."""
    wanted = f"{root}@{environment}"
    held = _holding(list_configs(db, project, kind="endpoint"), environment)
    return tuple(name for name, each in sorted(held.items()) if wanted in (each.spec.get("app"), each.spec.get("release")))


def endpoints_in(db: Database, project: str, environment: str, *, own: str) -> tuple[str, ...]:
    """The endpoints that answer through this environment's connections, by name."""
    query = select(endpoints.c.name, endpoints.c.environment).where(endpoints.c.project == project).order_by(endpoints.c.name)
    return tuple(row.name for row in db.execute(query) if (row.environment or own) == environment)


def holdings(db: Database, project: str, environment: str) -> tuple[Holding, ...]:
    """Every application that is promoted there, by its reference."""
    query = select(aliases).where(aliases.c.project == project, aliases.c.alias == environment, aliases.c.kind.in_(ROOT_KINDS))
    found: list[Holding] = []
    for row in db.execute(query.order_by(aliases.c.kind, aliases.c.name)).all():
        version = get_version(db, project, Ref(kind=row.kind, name=row.name, version=f"v{row.number}"))
        found.append(
            Holding(
                root=version.bare,
                version=row.number,
                digest=version.digest,
                moved_by=row.moved_by,
                moved_ns=row.moved_ns,
            )
        )
    return tuple(found)


def check_alias_door(db: Database, project: str, bare: str, alias: str) -> None:
    """Raise `Denied` for moving by hand the alias of an environment that has rules: a promotion asks what they say."""
    environment = read_environment(db, project, alias)
    if environment.has_rules and bare.partition("/")[0] in ROOT_KINDS:
        raise Denied(
            f"{bare}@{alias} is what the environment {alias!r} has, and moves by a promotion",
            where=f"{KIND}/{alias}",
            hint=f"Type: tidemill promote {bare} --to {alias}",
        )


def _holding(configs: Iterable[Config], environment: str) -> dict[str, Config]:
    found: dict[str, Config] = {}
    for each in configs:
        if each.environment == environment or (each.environment is None and each.name not in found):
            found[each.name] = each
    return found
