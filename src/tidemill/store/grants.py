"""What somebody may do in a project, and which rule says so. Pure: nothing is read or written here.

The whole model:

1. A right is one of eight verbs: read, ingest, annotate, attest, develop, deploy, approve, administer. A role is a set of them.
2. The admin token may do everything, everywhere, always.
3. A key is for one project and may do what its role may; `may` and `endpoints` narrow it, `expires` ends it.
4. A person or service account has grants: a role, or some verbs, in one project or in all of them (`*`).
5. A grant for a pattern, as in `deploy` on `endpoint/prod-*`, narrows develop, deploy and approve; the other verbs are of
   the whole project, and administer does not come with a narrowed grant. Whoever is granted anything may read.
6. A denial has the same form and wins over every grant, whoever gave it and however wide it is.
7. What no grant gives is denied. A project of which somebody may read nothing does not exist for them.
8. A key of a member may do what both the key and the grants allow; one of nobody known is as wide as its role.
9. Somebody who is disabled may do nothing: their keys and sessions end at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final, Literal, TypeAlias, get_args

from tidemill.core.errors import Invalid
from tidemill.core.suggest import did_you_mean

Role: TypeAlias = Literal["viewer", "annotator", "developer", "reviewer", "operator", "admin"]
Right: TypeAlias = Literal["read", "ingest", "annotate", "attest", "develop", "deploy", "approve", "administer"]
Effect: TypeAlias = Literal["allow", "deny"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
EVERY_RIGHT: Final[tuple[Right, ...]] = get_args(Right)
EVERY_PROJECT: Final = "*"
EVERYTHING: Final = "*"
_READ: Final[frozenset[Right]] = frozenset({"read"})
_NEVER_NARROW: Final[frozenset[Right]] = frozenset({"administer"})
NARROWED: Final[frozenset[Right]] = frozenset({"develop", "deploy", "approve"})
"""The verbs that a pattern narrows."""

RIGHTS: Final[Mapping[Role, frozenset[Right]]] = {
    "viewer": frozenset({"read"}),
    "annotator": frozenset({"read", "annotate"}),
    "reviewer": frozenset({"read", "annotate", "attest", "approve"}),
    "developer": frozenset({"read", "ingest", "annotate", "attest", "develop", "deploy"}),
    "operator": frozenset({"read", "ingest", "annotate", "attest", "develop", "deploy"}),
    "admin": frozenset(EVERY_RIGHT),
}
"""What each role may do. Only an operator and an admin may deploy to what a policy protects, and weaken such a policy."""

_ORDER: Final[Mapping[Role, int]] = {
    "viewer": 0, "annotator": 1, "reviewer": 2, "developer": 2, "operator": 3, "admin": 4,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """A rule about one member: `role` or, without one, `rights`; `project` `*` is every project, `pattern` `*` everything."""

    id: str
    member: str
    project: str
    effect: Effect
    role: Role | None = None
    rights: frozenset[Right] = frozenset()
    pattern: str = EVERYTHING
    created_ns: int = 0
    created_by: str = ""

    @property
    def verbs(self) -> frozenset[Right]:
        """The rights that it is about."""
        named = self.rights if self.role is None else RIGHTS[self.role]
        if self.effect == "deny":
            return named & NARROWED if self.pattern != EVERYTHING else named
        given = named | _READ
        return given if self.pattern == EVERYTHING else given - _NEVER_NARROW

    def covers(self, right: Right, target: str) -> bool:
        """Whether it says something of this right on this target; an empty target is the whole project."""
        if right not in self.verbs:
            return False
        return self.pattern == EVERYTHING or right not in NARROWED or (target != "" and matches(self.pattern, target))

    @property
    def text(self) -> str:
        """The rule in words, as in `g7f3 (deploy on endpoint/prod-* in shop)`."""
        what = self.role or ("everything" if self.verbs >= set(EVERY_RIGHT) else ", ".join(in_order(self.verbs)))
        on = "" if self.pattern == EVERYTHING else f" on {self.pattern}"
        where = "every project" if self.project == EVERY_PROJECT else self.project
        return f"{self.id} ({what}{on} in {where})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """Whether somebody may, and why: `rule` is the grant or denial that decided, None when nothing speaks of it."""

    allowed: bool
    why: str
    rule: Grant | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A member as they stand: what is granted and denied to them in the projects that were asked about."""

    member: str
    is_service: bool = False
    is_disabled: bool = False
    grants: tuple[Grant, ...] = field(default_factory=tuple[Grant, ...])

    @property
    def who(self) -> str:
        """As the audit names them."""
        return f"{'service' if self.is_service else 'person'}/{self.member}"

    def within(self, project: str) -> Standing:
        """The same with the rules of this project only."""
        kept = tuple(each for each in self.grants if each.project in {project, EVERY_PROJECT})
        return Standing(member=self.member, is_service=self.is_service, is_disabled=self.is_disabled, grants=kept)

    def decide(self, right: Right, target: str = "") -> Decision:
        """Whether they may do this to `target`; empty is the whole project. Asked of what `within` gave."""
        if self.is_disabled:
            return Decision(allowed=False, why=f"{self.who} is disabled")
        denied = next((each for each in self._rules("deny") if each.covers(right, target)), None)
        if denied is not None:
            return Decision(allowed=False, why=f"denied by {denied.text}", rule=denied)
        given = next((each for each in self._rules("allow") if each.covers(right, target)), None)
        if given is not None:
            return Decision(allowed=True, why=f"granted by {given.text}", rule=given)
        narrow = [each.text for each in self._rules("allow") if right in each.verbs]
        held = f"; {' and '.join(narrow)} is for something else" if narrow else ""
        return Decision(allowed=False, why=f"no grant gives {self.who} {right} here{held}")

    def may_somewhere(self, right: Right) -> bool:
        """Whether there is a target for which they might; for what is asked again once the target is known."""
        return self.decide(right).allowed or (
            not self.is_disabled
            and any(right in each.verbs for each in self._rules("allow"))
            and not any(each.pattern == EVERYTHING and right in each.verbs for each in self._rules("deny"))
        )

    def may_hand_on(self, right: Right) -> bool:
        """Whether they may let others do it: they may everywhere in the project, and nothing of it is denied to them."""
        return self.decide(right).allowed and not any(right in each.verbs for each in self._rules("deny"))

    def role(self, target: str | None = None) -> Role:
        """The widest role granted, of those that reach `target` when one is given; viewer when only verbs are granted."""
        held: list[Role] = [
            each.role
            for each in self._rules("allow")
            if each.role is not None
            and (each.pattern == EVERYTHING or target is None or (target != "" and matches(each.pattern, target)))
        ]
        widest: Role = "viewer"
        for each in held:
            widest = each if (_ORDER[each], each == "developer") > (_ORDER[widest], widest == "developer") else widest
        return widest

    def _rules(self, effect: Effect) -> Iterable[Grant]:
        return (each for each in self.grants if each.effect == effect)


def meet(one: Role, other: Role) -> Role:
    """The widest role that is within both."""
    if "reviewer" in {one, other} and {one, other} & {"developer", "operator"}:
        return "annotator"
    return one if _ORDER[one] <= _ORDER[other] else other


def matches(pattern: str, target: str) -> bool:
    """Whether a pattern names a target such as `endpoint/prod` or `chain/help@live`; `chain/help` names all of its aliases."""
    return fnmatchcase(target, pattern) or fnmatchcase(target.partition("@")[0], pattern)


def check_role(role: str) -> Role:
    """Return the role. Raises `Invalid` with the nearest one."""
    for each in ROLES:
        if each == role:
            return each
    raise Invalid(f"{role[:80]!r} is not a role", where="role", hint=did_you_mean(role[:80], ROLES))


def check_rights(rights: Iterable[str]) -> frozenset[Right]:
    """Return the rights. Raises `Invalid` with the nearest one."""
    found = set[Right]()
    for given in rights:
        right: Right | None = next((each for each in EVERY_RIGHT if each == given), None)
        if right is None:
            raise Invalid(
                f"{given[:80]!r} is not something to be allowed", where="may", hint=did_you_mean(given[:80], EVERY_RIGHT)
            )
        found.add(right)
    return frozenset(found)


def in_order(rights: Iterable[Right]) -> list[Right]:
    """Rights in the order in which they are always listed."""
    given = set(rights)
    return [each for each in EVERY_RIGHT if each in given]
