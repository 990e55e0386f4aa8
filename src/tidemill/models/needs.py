"""What an application needs of an environment: the connections of its models, and the secrets that those refer to.

Nothing here reads a secret's value further than to see that there is one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection as Database

from tidemill.core.chat import Connection
from tidemill.core.errors import Denied, Invalid, Problem
from tidemill.core.extend import load_extension
from tidemill.core.records import Version
from tidemill.store.config import connection_for

_GROUPS = {"model": "chat_providers", "embedder": "embed_providers"}
_SCHEMES = ("env:", "file:")


@dataclass(frozen=True, kw_only=True, slots=True)
class Need:
    """A model or embedder, and how it is reached; `connection` None: it names one that is not set there.

    `name` is that of the connection, whether it is set or not.
    """

    model: Version
    name: str
    connection: Connection | None


@dataclass(frozen=True, kw_only=True, slots=True)
class SecretRef:
    """A secret that a connection refers to; `field` is `api_key` or `headers.NAME`. `found` says whether it is there."""

    connection: str
    field: str
    reference: str
    found: bool

    def as_problem(self) -> Problem:
        """What is missing, and how to set it."""
        scheme, _, name = self.reference.partition(":")
        if scheme == "env":
            message = f"the environment variable {name}, which holds the key, is not set"
            return Problem(
                message=message, where=f"connection/{self.connection}", hint=f"Set it where the server runs: {name}=…"
            )
        message = f"the key's file {name} cannot be read, or is empty"
        return Problem(message=message, where=f"connection/{self.connection}", hint=f"Put the key into {name}.")


def is_reached(version: Version) -> bool:
    """Whether this is a model or embedder that is reached through a connection."""
    group = _GROUPS.get(version.kind)
    if group is None:
        return False
    return version.spec.get("connection") is not None or _connects(group, str(version.spec.get("provider")))


def needs_of(db: Database, project: str, versions: Iterable[Version], environment: str) -> tuple[Need, ...]:
    """How each model among these versions is reached in an environment; those that need no connection are left out."""
    found: list[Need] = []
    for version in sorted((each for each in versions if is_reached(each)), key=lambda each: each.bare):
        named = version.spec.get("connection")
        name = str(version.spec.get("provider") if named is None else named)
        connection = connection_for(db, project, name, environment)
        if connection is not None or named is not None:
            found.append(Need(model=version, name=name if connection is None else connection.name, connection=connection))
    return tuple(found)


def secrets_of(connection: Connection) -> tuple[SecretRef, ...]:
    """Every secret that a connection refers to, and whether it is there."""
    given = {} if connection.api_key is None else {"api_key": connection.api_key.reference}
    given |= {f"headers.{name}": value for name, value in connection.headers.items() if value.startswith(_SCHEMES)}
    return tuple(
        SecretRef(connection=connection.name, field=field, reference=reference, found=is_there(reference))
        for field, reference in given.items()
    )


def is_there(reference: str) -> bool:
    """Whether `env:NAME` is set to something, or `file:PATH` can be read and is not empty."""
    scheme, _, name = reference.partition(":")
    if scheme == "env":
        return bool(os.environ.get(name, "").strip())
    try:
        return bool(Path(name).expanduser().read_text("utf-8").strip())
    except (OSError, UnicodeDecodeError, RuntimeError, ValueError):
        return False


def missing_secrets(needs: Iterable[Need]) -> tuple[SecretRef, ...]:
    """The secrets that are not there, each once."""
    connections = {need.connection.name: need.connection for need in needs if need.connection is not None}
    return tuple(each for _, connection in sorted(connections.items()) for each in secrets_of(connection) if not each.found)


def refuse_missing(missing: Sequence[SecretRef], *, environment: str) -> None:
    """Raise one `Denied` that names every secret that is missing; never a value."""
    if not missing:
        return
    problems = list(dict.fromkeys(each.as_problem() for each in missing))
    if len(problems) == 1:
        only = problems[0]
        raise Denied(only.message, where=only.where, hint=only.hint, problems=problems)
    raise Denied(
        f"{len(problems)} secrets are missing in the environment {environment!r}",
        hint="Nothing was run. Set them where the server runs, then try again.",
        problems=problems,
    )


def _connects(group: str, provider: str) -> bool:
    try:
        return bool(getattr(load_extension(group, provider), "connects", True))
    except Invalid:  # of an extension that is no longer installed: the call says so
        return False
