"""Changing a policy: its metrics are measured by somebody, and weakening what protects something is an operator's to do."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection

from tidemill.core.errors import Invalid, Problem
from tidemill.core.extend import extension_names
from tidemill.core.json import JsonObject
from tidemill.core.records import Version
from tidemill.core.refs import Ref
from tidemill.core.suggest import did_you_mean
from tidemill.evaluation.results import COST, ERROR_RATE, LATENCY
from tidemill.govern.environments import check_environments
from tidemill.govern.kinds import Policy
from tidemill.govern.policy import may_operate
from tidemill.govern.rules import Rule
from tidemill.store import audit, evaluations, registry
from tidemill.store.changes import Entry
from tidemill.store.database import KeptRefusal
from tidemill.store.plan import Plan
from tidemill.store.prepare import placed


def check_measured(db: Connection, project: str, plan: Plan) -> None:
    """Raise `Invalid`, with `file:line`, for a rule about a metric that no scorer gives and no evaluation has."""
    entries = _policies(plan)
    if not entries:
        return
    known = _known_metrics(db, project, plan)
    problems: list[Problem] = []
    for entry in entries:
        require = Policy.of(_version(entry)).require
        for place, text in enumerate(require):
            for metric in sorted(Rule(text).metrics - known):
                message = f"nobody measures {metric!r}: no scorer is called so, and no evaluation has it"
                problem = Problem(message=message, where=f"require.{place}", hint=did_you_mean(metric, known))
                problems.append(placed(entry.item.document, problem))
    if problems:
        raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)


def check_changes(db: Connection, project: str, plan: Plan, *, who: str, role: str | None, now_ns: int) -> None:
    """Within the transaction of an apply: raise `Denied` when it weakens a policy or an environment and they may not.

    Each policy that changes gets a line in the audit: `policy.set` or, when something is protected less, `policy.weakened`.
    """
    check_measured(db, project, plan)
    check_environments(db, project, plan, who=who, role=role, now_ns=now_ns)
    changed = {each.ref for each in plan.changes}
    for entry in _policies(plan):
        version = _version(entry)
        if version.bare not in changed:
            continue
        new = Policy.of(version)
        old = registry.find_version(db, project, Ref(kind="policy", name=version.name))
        losses = () if old is None else weakened(Policy.of(old), new)
        before = None if old is None else old.ref
        detail: JsonObject = {"before": before, "after": version.ref, "digest": version.digest, "losses": list(losses)}
        if losses and not may_operate(db, project, who, role):
            _refuse(project, version.bare, losses, who=who, detail=detail, now_ns=now_ns)
        action = "policy.weakened" if losses else "policy.set"
        audit.append(db, project, who=who, action=action, target=version.bare, detail=detail, now_ns=now_ns)


def check_latest_moved(
    db: Connection, project: str, before: Version | None, after: Version | None, *, who: str, role: str | None, now_ns: int
) -> None:
    """Within the transaction that deletes or restores versions: the same for a policy whose latest version is another now."""
    named = before or after
    if named is None or named.kind != "policy":
        return
    old = None if before is None else Policy.of(before)
    if old is None:
        losses: tuple[str, ...] = ()
    elif after is None:
        losses = ("is deleted",) if old.enabled else ()
    else:
        losses = weakened(old, Policy.of(after))
    detail: JsonObject = {"before": before and before.ref, "after": after and after.ref, "losses": list(losses)}
    if losses and not may_operate(db, project, who, role):
        _refuse(project, named.bare, losses, who=who, detail=detail, now_ns=now_ns)
    action = "policy.weakened" if losses else "policy.set"
    audit.append(db, project, who=who, action=action, target=named.bare, detail=detail, now_ns=now_ns)


def weakened(old: Policy, new: Policy) -> tuple[str, ...]:
    """What the old policy protected or required and the new one does not; nothing when the old one was turned off."""
    if not old.enabled:
        return ()
    lost = [f"no longer protects {each}" for each in _gone(old.protects, new.protects)]
    lost += [f"no longer asked at the door {each}" for each in _gone(sorted(old.doors), new.doors)]
    lost += [f"no longer requires {each}" for each in _gone(old.require, new.require)]
    lost += [
        f"holds to another version of {written}"
        for written, digest in old.version.refs.items()
        if new.version.refs.get(written, digest) != digest
    ]
    return (*([] if new.enabled else ["is turned off"]), *lost)


def _gone(old: Iterable[str], new: Iterable[str]) -> list[str]:
    kept = set(new)
    return [each for each in old if each not in kept]


def _refuse(project: str, policy: str, losses: tuple[str, ...], *, who: str, detail: JsonObject, now_ns: int) -> None:
    def keep(db: Connection) -> object:
        return audit.append(db, project, who=who, action="policy.change_denied", target=policy, detail=detail, now_ns=now_ns)

    raise KeptRefusal(
        "\n".join((f"{policy} would protect less, which is an operator's or admin's to do, not {who}'s", *losses)),
        hint="Nothing was applied. Keep what it protects and requires, or ask an operator to apply it.",
        keep=keep,
    )


def _policies(plan: Plan) -> list[Entry]:
    return [entry for entry in plan.entries if entry.item.document.kind == "policy" and entry.version is not None]


def _version(entry: Entry) -> Version:
    assert entry.version is not None
    return entry.version


def _known_metrics(db: Connection, project: str, plan: Plan) -> frozenset[str]:
    here = {entry.item.document.name for entry in plan.entries if entry.item.document.kind == "scorer"}
    kept: set[str] = set()
    cursor: str | None = None
    while True:
        page = registry.list_artifacts(db, project, kind="scorer", limit=1000, cursor=cursor)
        kept |= {each.latest.name for each in page.items}
        cursor = page.next
        if cursor is None:
            break
    own = {LATENCY, COST, ERROR_RATE, *extension_names("scorers")}
    return frozenset(own | here | kept | evaluations.measured_metrics(db, project))
