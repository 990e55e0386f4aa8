# Made by scripts/sync_client.py from src/tidemill/client/access.py; change that file and run the script.
"""Calls about who may do what: projects, people, grants, keys, sessions, and the audit of what belongs to no project."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.client.access import AccessJson, LinkJson, PersonJson, ProjectJson, RuleJson, SessionJson, WhoJson
from tidemill.client.govern import AuditEntryJson, AuditReportJson
from tidemill.client.shapes import KeyJson
from tidemill.client.sync.waiting import Waiting
from tidemill.client.usage_shapes import KeyUsageJson, UsedJson
from tidemill.core.json import JsonObject


class AccessCalls(Waiting):
    """Projects, people, grants, keys, sessions."""

    def projects(self, *, limit: int | None = None) -> Sequence[ProjectJson]:
        """The projects that the caller may read, by name."""
        return self._wait(lambda: self._client.projects(limit=limit))

    def create_project(self, name: str, *, description: str = "") -> ProjectJson:
        """Make a project."""
        return self._wait(lambda: self._client.create_project(name, description=description))

    def project(self, name: str | None = None) -> ProjectJson:
        """A project, by default the client's, and how much is in it."""
        return self._wait(lambda: self._client.project(name))

    def change_project(
        self, name: str | None = None, *, description: str | None = None, archived: bool | None = None
    ) -> ProjectJson:
        """Describe a project anew; archive it, which makes it read-only, or bring it back."""
        return self._wait(lambda: self._client.change_project(name, description=description, archived=archived))

    def people(self, *, limit: int | None = None) -> Sequence[PersonJson]:
        """Everybody, by name."""
        return self._wait(lambda: self._client.people(limit=limit))

    def person(self, name: str) -> PersonJson:
        """Somebody, with what is granted and denied to them in every project."""
        return self._wait(lambda: self._client.person(name))

    def add_person(self, name: str, *, email: str = "", service: bool = False) -> PersonJson:
        """Add a person or a service account; keys that bear the name keep their roles as grants."""
        return self._wait(lambda: self._client.add_person(name, email=email, service=service))

    def change_person(self, name: str, *, email: str | None = None, disabled: bool | None = None) -> PersonJson:
        """Change the address; disable somebody, whose keys and sessions stop at once, or let them in again."""
        return self._wait(lambda: self._client.change_person(name, email=email, disabled=disabled))

    def access(self, *, person: str | None = None, every_project: bool = False, limit: int | None = None) -> Sequence[RuleJson]:
        """The grants and denials that count in the project; with `every_project` those for every one."""
        return self._wait(lambda: self._client.access(person=person, every_project=every_project, limit=limit))

    def grant(
        self, person: str, *, role: str | None = None, may: Sequence[str] = (), on: str = "*", every_project: bool = False
    ) -> RuleJson:
        """Grant a role, or some verbs; `on` (`endpoint/prod-*`) narrows develop, deploy and approve."""
        return self._wait(lambda: self._client.grant(person, role=role, may=may, on=on, every_project=every_project))

    def deny(self, person: str, *, may: Sequence[str] = (), on: str = "*", every_project: bool = False) -> RuleJson:
        """Deny some verbs (everything, without any); a denial wins over every grant."""
        return self._wait(lambda: self._client.deny(person, may=may, on=on, every_project=every_project))

    def revoke_access(self, rule: str, *, every_project: bool = False) -> RuleJson:
        """Take a grant or a denial back."""
        return self._wait(lambda: self._client.revoke_access(rule, every_project=every_project))

    def check_access(self, person: str, right: str, *, on: str = "") -> AccessJson:
        """Whether somebody (`ana`, `key/ID`) may do something, and which rule says so."""
        return self._wait(lambda: self._client.check_access(person, right, on=on))

    def keys(self, *, limit: int | None = None) -> Sequence[KeyJson]:
        """The project's API keys, without their secrets."""
        return self._wait(lambda: self._client.keys(limit=limit))

    def key(self, key_id: str) -> KeyJson:
        """One key of the project, without its secret."""
        return self._wait(lambda: self._client.key(key_id))

    def create_key(
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
        return self._wait(
            lambda: self._client.create_key(
                endpoints=endpoints, role=role, person=person, may=may, expires=expires, models=models, limits=limits, team=team
            )
        )

    def limit_key(self, key_id: str, limits: JsonObject | None) -> KeyJson:
        """Give a key other limits, in use or not; None: none of its own."""
        return self._wait(lambda: self._client.limit_key(key_id, limits))

    def key_usage(self, key_id: str, *, days: int = 30) -> KeyUsageJson:
        """What a key used on each of the last days (UTC), and how it stands against its limits."""
        return self._wait(lambda: self._client.key_usage(key_id, days=days))

    def usage(self, *, by: str = "key", days: int = 30) -> Sequence[UsedJson]:
        """What each key (user, team, endpoint, model) used in the last days (UTC), the most expensive first."""
        return self._wait(lambda: self._client.usage(by=by, days=days))

    def rotate_key(self, key_id: str, *, overlap: str = "0s") -> KeyJson:
        """Make a key that may the same, and end this one after `overlap` (`1h`); `key` in the answer is shown only now."""
        return self._wait(lambda: self._client.rotate_key(key_id, overlap=overlap))

    def revoke_key(self, key_id: str) -> None:
        """Revoke an API key; it stops working at once."""
        return self._wait(lambda: self._client.revoke_key(key_id))

    def who(self) -> WhoJson:
        """Who the client is to the server, and what it may."""
        return self._wait(self._client.who)

    def login_link(self, person: str | None = None) -> LinkJson:
        """A link that logs somebody in (by default the caller), once, within 15 minutes."""
        return self._wait(lambda: self._client.login_link(person))

    def sessions(self, *, limit: int | None = None) -> Sequence[SessionJson]:
        """The caller's sessions; the admin sees everybody's."""
        return self._wait(lambda: self._client.sessions(limit=limit))

    def end_session(self, session: str) -> None:
        """End a session."""
        return self._wait(lambda: self._client.end_session(session))

    def server_audit(
        self,
        *,
        action: str | None = None,
        target: str | None = None,
        who: str | None = None,
        since: str | None = None,
        limit: int | None = None,
    ) -> Sequence[AuditEntryJson]:
        """The audit of what belongs to no project: projects, people, logins, attempts by nobody known."""
        return self._wait(lambda: self._client.server_audit(action=action, target=target, who=who, since=since, limit=limit))

    def verify_server_audit(self, *, anchor: str | None = None) -> AuditReportJson:
        """Recompute that chain."""
        return self._wait(lambda: self._client.verify_server_audit(anchor=anchor))
