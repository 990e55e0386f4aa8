"""Alerts that rules raised, and what each sets off: kept before it is done, so that a kill loses none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from sqlalchemy import JSON, BigInteger, Column, Connection, Index, Integer, String, Table, insert, select, update
from sqlalchemy.engine import Row

from tidemill.core.errors import Conflict, NotFound
from tidemill.core.json import Json, JsonObject
from tidemill.store import audit
from tidemill.store.page import Page, check_limit, make_page
from tidemill.store.tables import metadata

AlertStatus: TypeAlias = Literal["open", "acknowledged"]
ActionStatus: TypeAlias = Literal["pending", "done", "failed", "skipped"]
ActionKind: TypeAlias = Literal["webhook", "email", "rollback"]
_Json: Final = JSON(none_as_null=True)

alerts = Table(
    "alerts",
    metadata,
    Column("id", String, primary_key=True),
    Column("project", String, nullable=False),
    Column("monitor", String, nullable=False),
    Column("run", String, nullable=False),
    Column("rule", Integer, nullable=False),  # its place among the monitor's rules
    Column("name", String, nullable=False),
    Column("condition", String, nullable=False),
    Column("message", String, nullable=False),
    Column("target", String, nullable=False),
    Column("release", String, nullable=False),
    Column("values", _Json, nullable=False),
    Column("status", String, nullable=False),
    Column("note", String, nullable=False),
    Column("acknowledged_by", String, nullable=False),
    Column("acknowledged_ns", BigInteger, nullable=True),
    Column("created_ns", BigInteger, nullable=False),
    Index("alerts_by_project", "project", "id"),
    Index("alerts_once", "run", "rule", unique=True),
)

alert_actions = Table(
    "alert_actions",
    metadata,
    Column("alert", String, primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("status", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("detail", String, nullable=False),
    Column("config", _Json, nullable=False),
    Column("updated_ns", BigInteger, nullable=False),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """Something an alert sets off. `detail` says what became of it; `config` holds secrets by reference only."""

    number: int
    kind: ActionKind
    status: ActionStatus = "pending"
    attempts: int = 0
    detail: str = ""
    config: JsonObject = field(default_factory=dict[str, Json])
    updated_ns: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Alert:
    """A rule that held. `values` are those that it read; `release` what the endpoint served then."""

    id: str
    project: str
    monitor: str
    run: str
    rule: int
    name: str
    condition: str
    message: str
    target: str = ""
    release: str = ""
    values: JsonObject = field(default_factory=dict[str, Json])
    status: AlertStatus = "open"
    note: str = ""
    acknowledged_by: str = ""
    acknowledged_ns: int | None = None
    created_ns: int = 0
    actions: Sequence[Action] = ()


_OWN: Final = tuple(name for name in Alert.__dataclass_fields__ if name != "actions")


def create_alert(db: Connection, alert: Alert) -> tuple[Alert, bool]:
    """Keep an alert with its actions; whether it is new. The same rule of the same run raises one alert."""
    where = (alerts.c.run == alert.run, alerts.c.rule == alert.rule)
    row = db.execute(select(alerts).where(*where)).first()
    if row is not None:
        return _alert(db, row), False
    db.execute(insert(alerts), {name: getattr(alert, name) for name in _OWN})
    for each in alert.actions:
        db.execute(insert(alert_actions), {"alert": alert.id, **_action_values(each)})
    return alert, True


def get_alert(db: Connection, project: str, alert: str) -> Alert:
    """The alert with this id, or the only one whose id begins or ends so (8 characters or more). Raises `NotFound`."""
    query = select(alerts).where(alerts.c.project == project)
    row = db.execute(query.where(alerts.c.id == alert)).first()
    if row is None and len(alert) >= 8:
        rows = db.execute(query.where(alerts.c.id.startswith(alert, autoescape=True)).limit(2)).all()
        if len(rows) > 1:
            raise Conflict(f"several alerts begin with {alert!r}", hint="Write more of the id.")
        row = rows[0] if rows else None
    if row is None:
        raise NotFound(f"there is no alert {alert!r} in project {project!r}", hint="List them: tidemill alerts list")
    return _alert(db, row)


def list_alerts(
    db: Connection,
    project: str,
    *,
    monitor: str | None = None,
    status: AlertStatus | None = None,
    run: str | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Page[Alert]:
    """Alerts, newest first."""
    query = select(alerts).where(alerts.c.project == project)
    wanted = {"monitor": monitor, "status": status, "run": run}
    query = query.filter_by(**{key: value for key, value in wanted.items() if value is not None})
    if cursor is not None:
        query = query.where(alerts.c.id < cursor)
    rows = db.execute(query.order_by(alerts.c.id.desc()).limit(check_limit(limit) + 1))
    return make_page([_alert(db, row) for row in rows], limit=limit, cursor_of=lambda each: each.id)


def pending_alerts(db: Connection) -> list[Alert]:
    """Alerts of every project of which something is still to be done, the oldest first."""
    waiting = select(alert_actions.c.alert).where(alert_actions.c.status == "pending")
    rows = db.execute(select(alerts).where(alerts.c.id.in_(waiting)).order_by(alerts.c.id)).all()
    return [_alert(db, row) for row in rows]


def acknowledge(db: Connection, project: str, alert: str, *, who: str, note: str, now_ns: int) -> Alert:
    """Note that somebody has seen it. A second time changes nothing."""
    found = get_alert(db, project, alert)
    if found.status == "open":
        values = {"status": "acknowledged", "acknowledged_by": who, "acknowledged_ns": now_ns, "note": note}
        db.execute(update(alerts).where(alerts.c.id == found.id).values(values))
        detail: JsonObject = {"note": note}
        audit.append(
            db, project, who=who, action="alert.acknowledged", target=f"alert/{found.id}", detail=detail, now_ns=now_ns
        )
    return get_alert(db, project, found.id)


def update_action(db: Connection, alert: str, action: Action) -> None:
    """Keep the newest state of an action."""
    where = (alert_actions.c.alert == alert, alert_actions.c.number == action.number)
    db.execute(update(alert_actions).where(*where).values(_action_values(action)))


def _action_values(action: Action) -> Mapping[str, Any]:
    return {name: getattr(action, name) for name in Action.__dataclass_fields__}


def _alert(db: Connection, row: Row[Any]) -> Alert:
    found = db.execute(select(alert_actions).where(alert_actions.c.alert == row.id).order_by(alert_actions.c.number))
    actions = tuple(Action(**{name: getattr(each, name) for name in Action.__dataclass_fields__}) for each in found)
    return Alert(**{name: getattr(row, name) for name in _OWN}, actions=actions)
