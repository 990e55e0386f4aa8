"""For which project telemetry is sent, and whether whoever sends it may."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import Connection, select

from tidemill.core.errors import Denied, NotFound
from tidemill.core.refs import check_name
from tidemill.store import denials
from tidemill.store.access import Principal
from tidemill.store.database import Database
from tidemill.store.projects import archived, no_project
from tidemill.store.tables import projects

_DEFAULT = "default"


class IngestAccess:
    """Asked once a request."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def project_of(self, headers: Mapping[str, str], principal: Principal) -> str:
        """The project that `x-tidemill-project` names, else the key's, else `default`.

        Raises `NotFound` for one that is not there or somebody else's, `Conflict` for an archived one, `Denied`.
        """
        project = check_name(headers.get("x-tidemill-project") or principal.project or _DEFAULT, what="project")
        try:
            here = principal.within(project)
        except NotFound as error:
            denials.refused(error, target=f"project/{project}", hidden=True)
            raise
        if here.endpoints is not None:
            raise Denied("this key may call endpoints only", hint="Make one that may send: tidemill keys create --may ingest")
        decision = here.decide("ingest")
        if not decision.allowed:
            raise Denied(
                f"{here.who} may not send telemetry: {decision.why}",
                hint="Make a key that may: tidemill keys create --role developer --may ingest",
            )
        state = await self._database.remember(("ingest", project), lambda db: _state(db, project))
        if state == "missing" and project != _DEFAULT:
            raise no_project(project)
        if state == "archived":
            raise archived(project)
        return project


def _state(db: Connection, project: str) -> str:
    found = db.execute(select(projects.c.archived_ns).where(projects.c.name == project)).first()
    if found is None:
        return "missing"
    return "open" if found.archived_ns is None else "archived"
