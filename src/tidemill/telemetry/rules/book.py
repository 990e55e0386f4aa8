"""The rules of every project, as its documents say them now."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from tidemill.core.errors import TidemillError
from tidemill.core.json import JsonObject
from tidemill.core.refs import Ref
from tidemill.store import config, registry
from tidemill.store.database import Database
from tidemill.store.project_keys import ProjectKeys
from tidemill.telemetry.rules.apply import Rules
from tidemill.telemetry.rules.compiling import compile_rules

FRESH_SECONDS: Final = 0.5
"""For so long at most a change of the rules goes unnoticed; it is the same for servers that share a database."""
_REF: Final = Ref(kind="telemetry", name="default")
USERS: Final = "telemetry hashes"
"""What the key that hashes users is for; see `ProjectKeys.get`."""
_log = logging.getLogger("tidemill.telemetry")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Said:
    """What the documents of a project say."""

    version: str = ""
    spec: JsonObject | None = None
    endpoints: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Page:
    rules: Rules
    said: _Said
    read: float


class RuleBook:
    """Reads each project's `telemetry/default` and the `capture` of its endpoints; what it made of them holds for a moment."""

    def __init__(self, database: Database, keys: ProjectKeys, *, environment: str = "") -> None:
        self._database = database
        self._keys = keys
        self._environment = environment
        self._pages: dict[str, _Page] = {}
        self._loading = threading.Lock()

    def known(self, project: str) -> Rules | None:
        """The project's rules when they were read just now; None means that `load` has to be called. Never waits."""
        page = self._pages.get(project)
        return page.rules if page is not None and time.monotonic() - page.read < FRESH_SECONDS else None

    def latest(self, project: str) -> Rules | None:
        """The project's rules as they were read last, however long ago; None when they never were. Never waits."""
        page = self._pages.get(project)
        return None if page is None else page.rules

    def load(self, project: str, *, anew: bool = False) -> Rules:
        """The project's rules. It may read the database: call it on a worker thread. `anew` reads it whatever is known.

        While the database cannot be read, what was read before holds. Raises a `TidemillError` when nothing was.
        """
        with self._loading:
            known = None if anew else self.known(project)
            if known is not None:
                return known
            before = self._pages.get(project)
            read = time.monotonic()
            try:
                said = self._database.read_sync(lambda db: _read(db, project, self._environment))
            except TidemillError as error:
                if before is None:
                    raise
                _log.warning("the rules of project %s could not be read again: %s", project, error)
                said = before.said
            rules = before.rules if before is not None and before.said == said else self._compiled(project, said)
            self._pages[project] = _Page(rules=rules, said=said, read=read)
            return rules

    def _compiled(self, project: str, said: _Said) -> Rules:
        return compile_rules(
            said.spec, key=lambda: self._keys.get(project, USERS), version=said.version, endpoints=said.endpoints
        )


def _read(db: Connection, project: str, environment: str) -> _Said:
    version = registry.find_version(db, project, _REF)
    shares: dict[str, float] = {}
    for each in config.list_configs(db, project, kind="endpoint"):
        share = each.spec.get("capture")
        if isinstance(share, int | float) and each.environment in {None, environment}:
            shares[each.name] = float(share)  # those of every environment come first, so that its own goes before
    return _Said(version=version.digest if version else "", spec=version.spec if version else None, endpoints=shares)
