"""Calls about who may do what: projects, people, grants, keys, sessions, and the audit of what belongs to no project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, TypedDict, cast

from tidemill.client.calls import Calls
from tidemill.client.connect import segment
from tidemill.client.govern import AuditEntryJson, AuditReportJson
from tidemill.client.shapes import KeyJson
from tidemill.client.usage_shapes import KeyUsageJson, UsedJson
from tidemill.core.json import Json, JsonObject

Right = Literal["read", "ingest", "annotate", "attest", "develop", "deploy", "approve", "administer"]
_OUTSIDE = "/api/v1"


class ProjectJson(TypedDict, total=False):
    """A project; `counts` only where one is shown."""

    name: str
    description: str
    created: str
    created_by: str
    archived: bool
    counts: Mapping[str, int]


class RuleJson(TypedDict, total=False):
    """A grant or a denial; `may` is what it is about, `on` what it is narrowed to, `text` all of it in words."""

    id: str
    person: str
    project: str
    effect: Literal["allow", "deny"]
    role: str | None
    may: Sequence[Right]
    on: str
    text: str
    created: str
    created_by: str


class PersonJson(TypedDict, total=False):
    """A person or service account; `grants` only where one is shown or added."""

    name: str
    who: str
    service: bool
    email: str
    created: str
    created_by: str
    disabled: bool
    grants: Sequence[RuleJson]


class AccessJson(TypedDict, total=False):
    """Whether somebody may do something; `rules` has what each of their grants or keys says."""

    person: str
    right: Right
    on: str
    allowed: bool
    why: str
    rules: Sequence[JsonObject]


class LinkJson(TypedDict):
    """Where somebody logs in, once; `path` is below the server's address."""

    path: str
    expires: str


class SessionJson(TypedDict, total=False):
    """A browser that is logged in; `this` is the one that asks."""

    id: str
    who: str
    agent: str
    created: str
    seen: str
    ends: str
    this: bool


class MyProjectJson(TypedDict):
    """A project in which the caller may do something."""

    name: str
    role: str
    rights: Sequence[Right]
    archived: bool


class WhoJson(TypedDict, total=False):
    """Who the caller is; `admin`: they may administer every project. `csrf` is for a browser's session only."""

    who: str
    person: str | None
    admin: bool
    by: Literal["token", "key", "session"]
    endpoints: Sequence[str] | None
    projects: Sequence[MyProjectJson]
    csrf: str | None


class AccessCalls(Calls):
    """Projects, people, grants, keys, sessions."""

    async def projects(self, *, limit: int | None = None) -> Sequence[ProjectJson]:
        """The projects that the caller may read, by name."""
        return await self._list(f"{_OUTSIDE}/projects", ProjectJson, limit=limit, absolute=True)

    async def create_project(self, name: str, *, description: str = "") -> ProjectJson:
        """Make a project."""
        return cast("ProjectJson", await self._outside("POST", "/projects", {"name": name, "description": description}))

    async def project(self, name: str | None = None) -> ProjectJson:
        """A project, by default the client's, and how much is in it."""
        return cast("ProjectJson", await self._in_project("GET", name))

    async def change_project(
        self, name: str | None = None, *, description: str | None = None, archived: bool | None = None
    ) -> ProjectJson:
        """Describe a project anew; archive it, which makes it read-only, or bring it back."""
        return cast("ProjectJson", await self._in_project("PATCH", name, {"description": description, "archived": archived}))

    async def people(self, *, limit: int | None = None) -> Sequence[PersonJson]:
        """Everybody, by name."""
        return await self._list(f"{_OUTSIDE}/people", PersonJson, limit=limit, absolute=True)

    async def person(self, name: str) -> PersonJson:
        """Somebody, with what is granted and denied to them in every project."""
        return cast("PersonJson", await self._outside("GET", f"/people/{segment(name)}"))

    async def add_person(self, name: str, *, email: str = "", service: bool = False) -> PersonJson:
        """Add a person or a service account; keys that bear the name keep their roles as grants."""
        body: JsonObject = {"name": name, "email": email, "service": service}
        return cast("PersonJson", await self._outside("POST", "/people", body))

    async def change_person(self, name: str, *, email: str | None = None, disabled: bool | None = None) -> PersonJson:
        """Change the address; disable somebody, whose keys and sessions stop at once, or let them in again."""
        body: JsonObject = {"email": email, "disabled": disabled}
        return cast("PersonJson", await self._outside("PATCH", f"/people/{segment(name)}", body))

    async def access(
        self, *, person: str | None = None, every_project: bool = False, limit: int | None = None
    ) -> Sequence[RuleJson]:
        """The grants and denials that count in the project; with `every_project` those for every one."""
        if every_project:
            return await self._list(f"{_OUTSIDE}/access", RuleJson, params={"person": person}, limit=limit, absolute=True)
        return await self._list("/access", RuleJson, params={"person": person}, limit=limit)

    async def grant(
        self, person: str, *, role: str | None = None, may: Sequence[str] = (), on: str = "*", every_project: bool = False
    ) -> RuleJson:
        """Grant a role, or some verbs; `on` (`endpoint/prod-*`) narrows develop, deploy and approve."""
        body: JsonObject = {"person": person, "effect": "allow", "role": role, "may": list(may), "on": on}
        return await self._add_rule(body, every_project=every_project)

    async def deny(self, person: str, *, may: Sequence[str] = (), on: str = "*", every_project: bool = False) -> RuleJson:
        """Deny some verbs (everything, without any); a denial wins over every grant."""
        body: JsonObject = {"person": person, "effect": "deny", "may": list(may), "on": on}
        return await self._add_rule(body, every_project=every_project)

    async def revoke_access(self, rule: str, *, every_project: bool = False) -> RuleJson:
        """Take a grant or a denial back."""
        path = f"/access/{segment(rule)}"
        answer = self._outside("DELETE", path) if every_project else self._line.send("DELETE", path)
        return cast("RuleJson", await answer)

    async def check_access(self, person: str, right: str, *, on: str = "") -> AccessJson:
        """Whether somebody (`ana`, `key/ID`) may do something, and which rule says so."""
        body: JsonObject = {"person": person, "right": right, "on": on}
        return cast("AccessJson", await self._line.send("POST", "/access:check", body=body))

    async def keys(self, *, limit: int | None = None) -> Sequence[KeyJson]:
        """The project's API keys, without their secrets."""
        return await self._list("/keys", KeyJson, limit=limit)

    async def key(self, key_id: str) -> KeyJson:
        """One key of the project, without its secret."""
        return cast("KeyJson", await self._line.send("GET", f"/keys/{segment(key_id)}"))

    async def create_key(
        self,
        *,
        endpoints: Sequence[str] = (),
        role: str = "developer",
        person: str | None = None,
        may: Sequence[str] | None = None,
        expires: str | None = None,
        models: Sequence[str] = (),
        limits: JsonObject | None = None,
        team: str | None = None,
    ) -> KeyJson:
        """Make an API key, a person's when one is named; `key` in the answer is shown only now.

        `may` narrows what the role may do, `expires` (`30d`) ends it. `models` are the only ones that it may call by name;
        `limits` is as in a document of `kind: limits`, as in `{"rpm": 60, "budget": "10/month"}`; `team` is the one whose
        limits hold for it, too.
        """
        body: JsonObject = {"endpoints": list(endpoints), "role": role, "person": person, "expires": expires}
        narrowed: JsonObject = {} if may is None else {"may": list(may)}
        more: JsonObject = {"models": list(models), "limits": limits, "team": team}
        return cast("KeyJson", await self._line.send("POST", "/keys", body={**body, **narrowed, **more}))

    async def limit_key(self, key_id: str, limits: JsonObject | None) -> KeyJson:
        """Give a key other limits, in use or not; None: none of its own."""
        return cast("KeyJson", await self._line.send("PATCH", f"/keys/{segment(key_id)}", body={"limits": limits}))

    async def key_usage(self, key_id: str, *, days: int = 30) -> KeyUsageJson:
        """What a key used on each of the last days (UTC), and how it stands against its limits."""
        params = {"days": days}
        return cast("KeyUsageJson", await self._line.send("GET", f"/keys/{segment(key_id)}/usage", params=params))

    async def usage(self, *, by: str = "key", days: int = 30) -> Sequence[UsedJson]:
        """What each key (user, team, endpoint, model) used in the last days (UTC), the most expensive first."""
        return await self._list("/usage", UsedJson, params={"by": by, "days": days})

    async def rotate_key(self, key_id: str, *, overlap: str = "0s") -> KeyJson:
        """Make a key that may the same, and end this one after `overlap` (`1h`); `key` in the answer is shown only now."""
        return cast("KeyJson", await self._line.send("POST", f"/keys/{segment(key_id)}:rotate", body={"overlap": overlap}))

    async def revoke_key(self, key_id: str) -> None:
        """Revoke an API key; it stops working at once."""
        await self._line.send("DELETE", f"/keys/{segment(key_id)}")

    async def who(self) -> WhoJson:
        """Who the client is to the server, and what it may."""
        return cast("WhoJson", await self._outside("GET", "/session"))

    async def login_link(self, person: str | None = None) -> LinkJson:
        """A link that logs somebody in (by default the caller), once, within 15 minutes."""
        return cast("LinkJson", await self._outside("POST", "/login-links", {"person": person}))

    async def sessions(self, *, limit: int | None = None) -> Sequence[SessionJson]:
        """The caller's sessions; the admin sees everybody's."""
        return await self._list(f"{_OUTSIDE}/sessions", SessionJson, limit=limit, absolute=True)

    async def end_session(self, session: str) -> None:
        """End a session."""
        await self._outside("DELETE", f"/sessions/{segment(session)}")

    async def server_audit(
        self,
        *,
        action: str | None = None,
        target: str | None = None,
        who: str | None = None,
        since: str | None = None,
        limit: int | None = None,
    ) -> Sequence[AuditEntryJson]:
        """The audit of what belongs to no project: projects, people, logins, attempts by nobody known."""
        params = {"action": action, "target": target, "who": who, "since": since}
        return await self._list(f"{_OUTSIDE}/audit", AuditEntryJson, params=params, limit=limit, absolute=True)

    async def verify_server_audit(self, *, anchor: str | None = None) -> AuditReportJson:
        """Recompute that chain."""
        found = await self._line.send_absolute("GET", f"{_OUTSIDE}/audit/verify", params={"anchor": anchor})
        return cast("AuditReportJson", found)

    async def _add_rule(self, body: JsonObject, *, every_project: bool) -> RuleJson:
        answer = self._outside("POST", "/access", body) if every_project else self._line.send("POST", "/access", body=body)
        return cast("RuleJson", await answer)

    async def _in_project(self, method: str, name: str | None, body: Json = None) -> Json:
        if name is None:
            return await self._line.send(method, "", body=body)
        return await self._outside(method, f"/projects/{segment(name)}", body)

    async def _outside(self, method: str, path: str, body: Json = None) -> Json:
        return await self._line.send_absolute(method, _OUTSIDE + path, body=body)
