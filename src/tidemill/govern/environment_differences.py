"""What differs for an application between two environments: its connections, and who was known to answer there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection as Database

from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.models.needs import Need, needs_of
from tidemill.store import cache
from tidemill.store.config import Config
from tidemill.store.environments import connections_in

_FIELDS = ("provider", "base_url", "api_key", "timeout", "allow_private")


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """A connection that is not the same in both; `models` of the application use it. A side is None where it is not set.

    A side has the fields of a connection as they may be shown: a secret by its reference, headers by their names.
    """

    name: str
    before: JsonObject | None
    after: JsonObject | None
    models: tuple[str, ...]

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that differ; none where one side is missing."""
        if self.before is None or self.after is None:
            return ()
        keys = (*_FIELDS, "headers")
        return tuple(key for key in keys if self.before.get(key) != self.after.get(key))

    def as_json(self) -> JsonObject:
        """As the API answers it."""
        return {
            "name": self.name, "from": self.before, "to": self.after, "fields": list(self.fields), "models": list(self.models),
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Reported:
    """What a model's provider reported of itself in each environment; None: nothing there yet.

    The same fingerprint says that the same model answers; `epoch` counts the changes in the target.
    """

    model: str
    connection: str
    before: str | None
    after: str | None
    epoch: int

    def as_json(self) -> JsonObject:
        """As the API answers it."""
        return {
            "model": self.model, "connection": self.connection, "from": self.before, "to": self.after, "epoch": self.epoch,
        }  # fmt: skip


def differences(
    db: Database, project: str, versions: Iterable[Version], *, before: str | None, after: str
) -> tuple[Difference, ...]:
    """The connections that are not the same in two environments, those that the application needs first."""
    if before is None:
        return ()
    here, there = connections_in(db, project, before), connections_in(db, project, after)
    kept = tuple(versions)
    needed: dict[str, set[str]] = {}
    for environment in (before, after):
        for need in needs_of(db, project, kept, environment):
            needed.setdefault(need.name, set()).add(need.model.ref)
    found = [
        Difference(name=name, before=_shown(here.get(name)), after=_shown(there.get(name)), models=_sorted(needed.get(name)))
        for name in sorted({*here, *there})
    ]
    return tuple(sorted((each for each in found if each.before != each.after), key=lambda each: (not each.models, each.name)))


def reported(db: Database, project: str, needs: Sequence[Need], *, before: str | None, after: str) -> tuple[Reported, ...]:
    """What the providers of these models reported of themselves in both environments."""
    found: list[Reported] = []
    for need in needs:
        _, was = (0, None) if before is None else cache.last_fingerprint(db, project, f"{need.model.digest}@{before}")
        epoch, now = cache.last_fingerprint(db, project, f"{need.model.digest}@{after}")
        found.append(Reported(model=need.model.ref, connection=need.name, before=was, after=now, epoch=epoch))
    return tuple(found)


def _shown(config: Config | None) -> JsonObject | None:
    """A connection without what may not be shown: a header's value may be anything, so only its name is."""
    if config is None:
        return None
    shown: dict[str, Json] = {key: config.spec.get(key) for key in _FIELDS}
    headers = config.spec.get("headers")
    shown["headers"] = sorted(headers) if isinstance(headers, Mapping) else []
    return shown


def _sorted(models: set[str] | None) -> tuple[str, ...]:
    return tuple(sorted(models or ()))
