"""Changing an environment: weakening its rules, and what is reached in a protected one, is an operator's to do."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection as Database

from tidemill.core.errors import Denied, Problem
from tidemill.core.json import JsonObject
from tidemill.govern.policy import may_operate
from tidemill.store import audit
from tidemill.store.changes import Entry
from tidemill.store.config import find_config
from tidemill.store.database import KeptRefusal
from tidemill.store.environments import KIND, read_environment
from tidemill.store.plan import Plan
from tidemill.store.prepare import placed


def check_environments(db: Database, project: str, plan: Plan, *, who: str, role: str | None, now_ns: int) -> None:
    """Within the transaction of an apply: raise `Denied` for what weakens an environment, unless an operator applies it.

    Each change that an operator makes so gets a line in the audit, `environment.weakened`.
    """
    for entry in plan.entries:
        losses = _losses(db, project, entry)
        if not losses:
            continue
        document = entry.item.document
        detail: JsonObject = {"document": document.bare, "losses": list(losses)}
        name = document.name if document.kind == KIND else str(document.environment)
        if not may_operate(db, project, who, role):
            _refuse(project, entry, name, losses, who=who, detail=detail, now_ns=now_ns)
        target = f"{KIND}/{name}"
        audit.append(db, project, who=who, action="environment.weakened", target=target, detail=detail, now_ns=now_ns)


def check_deleted(
    db: Database, project: str, kind: str, name: str, environments: Iterable[str | None], *, who: str, role: str | None
) -> None:
    """Within the transaction that deletes what has no versions: raise `Denied` for what an environment protects."""
    held = {name} if kind == KIND else {each for each in environments if each is not None}
    for each in sorted(held):
        rules = read_environment(db, project, each)
        guarded = rules.protected or (kind == KIND and rules.origin is not None)
        if guarded and not may_operate(db, project, who, role):
            raise Denied(
                f"environment/{each} is protected: {kind}/{name} would be gone there",
                hint="Only an operator or an admin may do that: ask one.",
            )


def _losses(db: Database, project: str, entry: Entry) -> tuple[str, ...]:
    """What of an environment's protection a document would change; nothing when it is the same as what is kept."""
    document, spec = entry.item.document, entry.item.parsed.spec
    if document.kind == KIND:
        old = read_environment(db, project, document.name)
        lost: list[str] = []
        if old.origin is not None and spec.get("from") != old.origin:
            lost.append(f"releases no longer come from {old.origin}")
        if old.protected and not spec.get("protected"):
            lost.append("it is no longer protected")
        return tuple(lost)
    if entry.version is not None or document.environment is None:
        return ()
    if not read_environment(db, project, document.environment).protected:
        return ()
    kept = find_config(db, project, document.kind, document.name, document.environment)
    return () if kept is not None and kept.spec == spec else (f"{document.bare} changes there",)


def _refuse(
    project: str, entry: Entry, name: str, losses: tuple[str, ...], *, who: str, detail: JsonObject, now_ns: int
) -> None:
    target = f"{KIND}/{name}"

    def keep(db: Database) -> object:
        return audit.append(db, project, who=who, action="environment.denied", target=target, detail=detail, now_ns=now_ns)

    hint = "Only an operator or an admin may do that: ask one to apply it."
    problem = placed(entry.item.document, Problem(message=f"{target} is protected: {'; '.join(losses)}", hint=hint))
    raise KeptRefusal(problem.message, hint=hint, problems=(problem,), keep=keep)
