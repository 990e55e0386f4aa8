"""Answers about who may what, and what happened: keys, audit, approvals, policies, alerts."""

from __future__ import annotations

from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict


class AuditShape(TypedDict):
    """One line of the audit."""

    number: int
    at: str
    who: str
    action: str
    target: str
    detail: dict[str, Any]
    previous: str
    digest: str


class AuditReportShape(TypedDict):
    """Whether the audit's chain holds; `head` is a line to keep as an anchor."""

    ok: bool
    lines: int
    head: str | None
    broken: int | None
    fault: str | None
    message: str


class ApprovalShape(TypedDict("_For", {"for": str | None})):
    """A person's word that a release may go somewhere."""

    id: str
    release: str
    app: str
    who: str
    role: str
    reason: str
    state: Literal["valid", "expired", "revoked"]
    created: str
    expires: str | None
    revoked: str | None
    revoked_by: str | None


class PolicyShape(TypedDict):
    """A policy as it is in force; one that is not enabled protects nothing."""

    ref: str
    name: str
    digest: str
    description: str
    enabled: bool
    protects: list[str]
    doors: list[str]
    require: list[Any]
    gates: dict[str, str]


class PolicyAnswerShape(TypedDict):
    """What the policies say, and what is missing."""

    door: str
    target: str
    release: str
    who: str
    allowed: bool
    policies: list[dict[str, Any]]
    missing: list[dict[str, Any]]
    role: str | None


class ActionShape(TypedDict):
    """What an alert set off."""

    kind: str
    status: str
    attempts: int
    detail: str
    to: str | None
    updated: str


class AlertShape(TypedDict):
    """An alert of a monitor, and what became of all that it set off."""

    id: str
    monitor: str | None
    run: str
    name: str
    when: str
    message: str
    target: str
    release: str
    values: dict[str, Any]
    status: Literal["open", "acknowledged"]
    note: str
    acknowledged_by: str | None
    acknowledged: str | None
    created: str
    actions: list[ActionShape]


class UsageShape(TypedDict):
    """What was used; `refused` counts requests that a limit turned away, `cost` is in US dollars."""

    requests: int
    refused: int
    input_tokens: int
    output_tokens: int
    cost: float


class SubjectUsageShape(UsageShape):
    """What one key (`key/ID`), user, team, endpoint or model used."""

    subject: str


class SubjectsUsageShape(TypedDict):
    """What each subject used, the most expensive first."""

    items: list[SubjectUsageShape]


class DayUsageShape(UsageShape):
    """What was used on one day (UTC)."""

    day: str


class LimitShape(TypedDict):
    """One limit; `per` is null for calls at a time, `limit` where there is only a warning. Money is in US dollars."""

    unit: str
    per: str | None
    limit: float | None
    soft: NotRequired[float]
    used: NotRequired[float]


class KeyUsageShape(TypedDict):
    """What a key used, and how it stands against its limits."""

    id: str
    days: list[DayUsageShape]
    total: UsageShape
    limits: list[LimitShape]


class KeyShape(TypedDict):
    """A key, without its text. `endpoints` and `models` are the only ones that it may call by name, none of either: all.

    `month` (in lists) is what it used this month (UTC).
    """

    id: str
    role: str
    person: str | None
    endpoints: list[str]
    models: list[str]
    limits: dict[str, Any]
    team: str | None
    month: NotRequired[UsageShape]
    may: list[str] | None
    created: str
    expires: str | None
    used: str | None
    state: str
    revoked: bool


class MadeKeyShape(KeyShape):
    """A key that was made; `key`, its text, is shown only now."""

    key: str
    project: str
    replaces: NotRequired[str]


class RuleShape(TypedDict):
    """A grant or a denial."""

    id: str
    person: str
    project: str
    effect: str
    role: str | None
    may: list[str]
    on: str
    text: str
    created: str
    created_by: str


class ReasonShape(TypedDict):
    """What one rule says to a question."""

    by: str
    allowed: bool
    why: str
    rule: str | None


class AccessAnswerShape(TypedDict):
    """Whether somebody may do something, and why."""

    person: str
    right: str
    on: str | None
    allowed: bool
    why: str
    rules: list[ReasonShape]


class ProjectShape(TypedDict):
    """A project."""

    name: str
    description: str
    created: str
    created_by: str
    archived: bool


class CountedProjectShape(ProjectShape):
    """A project, and how much there is in it."""

    counts: dict[str, int]


class PersonShape(TypedDict):
    """A person, or a service account."""

    name: str
    who: str
    service: bool
    email: str | None
    created: str
    created_by: str
    disabled: bool
    grants: NotRequired[list[RuleShape]]


class CallerShape(TypedDict):
    """Who is calling, and what they may do where."""

    who: str
    person: str | None
    admin: bool
    by: str
    endpoints: list[str] | None
    projects: list[dict[str, Any]]
    csrf: str | None


class SessionShape(TypedDict):
    """A login."""

    id: str
    who: str
    agent: str
    created: str
    seen: str
    ends: str
    this: bool


class LoginLinkShape(TypedDict("_LinkFor", {"for": str})):
    """A link that logs in once; `path` is shown only now."""

    path: str
    expires: str
