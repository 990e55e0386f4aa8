"""Policies at the doors: a release goes through when every rule of every policy that protects the target holds.

Who puts it there must be an operator or an admin, unless nothing protects the target; a machine of the project, such as a
pipeline that starts by itself, acts for whoever wrote it. What cannot be decided is refused. A rollback returns to what was
served before and asks no policy unless the policy names the door `rollback`: an incident must not wait for a signature. Every
decision is in the audit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import Door
from tidemill.core.json import Json, JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref, parse_ref
from tidemill.govern.facts import Facts, gather
from tidemill.govern.kinds import Policy
from tidemill.govern.missing import Missing, explain
from tidemill.govern.rules import Rule
from tidemill.store import audit, environments, people, registry
from tidemill.store.database import KeptRefusal
from tidemill.store.grants import Decision

_OPERATES = frozenset({"operator", "admin"})


@dataclass(frozen=True, kw_only=True, slots=True)
class PolicyDecision:
    """What the policies say of a release at a door; `policies` protect the target, `missing` are the rules that do not hold.

    `role` says why whoever acts may not, apart from the rules.
    """

    door: Door
    target: str
    release: str
    who: str
    policies: tuple[Policy, ...]
    missing: tuple[Missing, ...] = ()
    role: str = ""

    @property
    def allowed(self) -> bool:
        """Whether it may go through."""
        return not self.missing and not self.role

    def problems(self) -> tuple[Problem, ...]:
        """What is missing, as an error shows it."""
        found = [each.as_problem(self.target) for each in self.missing]
        if self.role:
            names = " and ".join(each.version.bare for each in self.policies) or f"environment/{self.target.partition('@')[2]}"
            hint = "Ask an operator, or have a key made: tidemill keys create --person NAME --role operator"
            found.insert(0, Problem(message=f"{self.target} is protected: {self.role}", where=names, hint=hint))
        return tuple(found)

    def as_json(self) -> JsonObject:
        """As the API answers it, and as the audit keeps it."""
        policies: list[Json] = [
            {"ref": each.version.ref, "digest": each.version.digest, "require": list(each.require)} for each in self.policies
        ]
        missing: list[Json] = [each.as_json() for each in self.missing]
        return {
            "door": self.door, "target": self.target, "release": self.release, "who": self.who, "allowed": self.allowed,
            "policies": policies, "missing": missing, "role": self.role,
        }  # fmt: skip


class Policies:
    """Decides at every door; see `tidemill.core.extend.PolicyCheck`."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    def check(
        self, db: Connection, project: str, *, door: Door, target: str, release: str, who: str, role: str | None = None
    ) -> None:
        """As `PolicyCheck.check`. A refusal is kept although the change that it ends is not."""
        now_ns = self._clock.now_ns()
        _check_granted(db, project, who, target=target, now_ns=now_ns)
        decision = self.decide(db, project, door=door, target=target, release=release, who=who, role=role)
        if not decision.policies and decision.allowed:
            return
        action = "policy.allowed" if decision.allowed else "policy.denied"
        keep = _line(project, decision, action=action, now_ns=now_ns)
        if decision.allowed:
            keep(db)
            return
        problems = decision.problems()
        raise KeptRefusal(problems[0].message, hint=problems[0].hint, problems=problems, keep=keep)

    def decide(
        self, db: Connection, project: str, *, door: Door, target: str, release: str, who: str, role: str | None = None
    ) -> PolicyDecision:
        """What `check` would say; nothing is written."""
        granted = people.decide_deploy(db, project, who, target=target)
        role = people.role_at(db, project, who, role, target=target)
        guarding = tuple(each for each in in_force(db, project) if each.guards(target) and door in each.doors)
        missing = [
            each
            for policy in guarding
            for each in self._missing(db, project, policy, door=door, target=target, release=release, who=who)
        ]
        return PolicyDecision(
            door=door,
            target=target,
            release=release,
            who=who,
            policies=guarding,
            missing=tuple(missing),
            role=_granted_problem(granted, who)
            or (_role_problem(db, project, who, role) if guarding or _is_protected(db, project, target) else ""),
        )

    def _missing(
        self, db: Connection, project: str, policy: Policy, *, door: Door, target: str, release: str, who: str
    ) -> list[Missing]:
        gates = {written: _locked(db, project, written, digest) for written, digest in policy.version.refs.items()}
        facts = gather(
            db,
            project,
            door=door,
            target=target,
            release=release,
            who=who,
            now_ns=self._clock.now_ns(),
            gates={written: version for written, version in gates.items() if version is not None},
        )
        found = [_judged(text, facts, policy=policy.version.bare) for text in policy.require]
        return [each for each in found if each is not None]


def _granted_problem(granted: Decision | None, who: str) -> str:
    return "" if granted is None or granted.allowed else f"{who} may not deploy there: {granted.why}"


def _check_granted(db: Connection, project: str, who: str, *, target: str, now_ns: int) -> None:
    """Raise `Denied` when the grants of somebody, or of whoever wrote a machine, do not reach the target."""
    granted = people.decide_deploy(db, project, who, target=target)
    if granted is None or granted.allowed:
        return
    detail: JsonObject = {"why": granted.why, "right": "deploy", "count": 1}

    def keep(db: Connection) -> object:
        return audit.append(db, project, who=who, action="access.denied", target=target, detail=detail, now_ns=now_ns)

    raise KeptRefusal(
        f"{who} may not deploy {target}: {granted.why}",
        hint=f"See: tidemill access check {who.partition('/')[2]} deploy {target}",
        keep=keep,
    )


def _judged(text: str, facts: Facts, *, policy: str) -> Missing | None:
    """What a rule lacks; None when it holds. One that cannot be decided, or is no rule any more, does not hold."""
    try:
        rule = Rule(text)
    except Invalid as error:
        return Missing(policy=policy, rule=text, found=(error.message,))
    try:
        if rule.holds(facts.values(), gate=facts.gate):
            return None
    except Invalid as error:
        return explain(rule, facts, policy=policy, why=error.message)
    return explain(rule, facts, policy=policy, why="")


def in_force(db: Connection, project: str) -> tuple[Policy, ...]:
    """The latest version of every policy of the project, those too that are turned off."""
    found: list[Policy] = []
    cursor: str | None = None
    while True:
        page = registry.list_artifacts(db, project, kind="policy", limit=1000, cursor=cursor)
        found += [Policy.of(each.latest) for each in page.items]
        cursor = page.next
        if cursor is None:
            return tuple(found)


def may_operate(db: Connection, project: str, who: str, role: str | None) -> bool:
    """Whether somebody may change what is protected: an operator or admin by the key they act by, or what one of them wrote."""
    return not _role_problem(db, project, who, role)


def _role_problem(db: Connection, project: str, who: str, role: str | None) -> str:
    if role in _OPERATES:
        return ""
    name = who
    if people.is_machine(who):  # it acts for whoever wrote it
        maker = people.maker_of(db, project, *who.split("/", 1))
        name, who, role = (f"{who}, which {maker} wrote," if maker else who), maker, None
    roles = people.roles_of(db, project, who) if role is None else {role}
    if roles & _OPERATES:
        return ""
    held = " and ".join(sorted(roles)) or "nobody"
    return f"{name} acts as {held}\nonly an operator or admin may change what answers there"


def _is_protected(db: Connection, project: str, target: str) -> bool:
    """Whether the target is the alias of an environment that its document protects."""
    alias = target.partition("@")[2]
    return bool(alias) and environments.read_environment(db, project, alias).protected


def _locked(db: Connection, project: str, written: str, digest: str) -> Version | None:
    ref: Ref = parse_ref(written)
    return registry.find_by_digest(db, project, digest, kind=ref.kind, name=ref.name)


def _line(project: str, decision: PolicyDecision, *, action: str, now_ns: int) -> Callable[[Connection], object]:
    def keep(db: Connection) -> object:
        return audit.append(
            db, project, who=decision.who, action=action, target=decision.target, detail=decision.as_json(), now_ns=now_ns
        )

    return keep
