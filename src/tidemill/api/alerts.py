"""Alerts: listed, acknowledged, and what they set off: a webhook, an e-mail, a roll back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal

import anyio
from sqlalchemy import Connection as Database

from tidemill.api.caller import AnyCaller, Body, Limit, Page, page
from tidemill.api.platform import Platform
from tidemill.api.router import Router
from tidemill.api.times import iso
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.core.extend import JobContext
from tidemill.core.json import Json, JsonObject, dump_json
from tidemill.core.records import Progress
from tidemill.store import alerts, endpoints
from tidemill.store.alerts import Action, Alert

router = Router(tags=["alerts"])
DELIVER: Final = "alert.deliver"
DELAYS: Final = (1.0, 5.0, 30.0, 120.0)
"""Seconds between the attempts of one delivery, which are one more."""
_ROLE: Final = "developer"


class Acknowledgement(Body):
    """What was made of an alert."""

    note: str = ""


def alert_json(alert: Alert) -> dict[str, Any]:
    """An alert as everyone sees it. Addresses of actions are shown, secrets stand there by reference only."""
    actions = [
        {"kind": each.kind, "status": each.status, "attempts": each.attempts, "detail": each.detail,
         "to": each.config.get("url") or each.config.get("to"), "updated": iso(each.updated_ns)}
        for each in alert.actions
    ]  # fmt: skip
    return {
        "id": alert.id, "monitor": f"monitor/{alert.monitor}" if alert.monitor else None, "run": alert.run,
        "name": alert.name, "when": alert.condition, "message": alert.message, "target": alert.target,
        "release": alert.release, "values": alert.values, "status": alert.status, "note": alert.note,
        "acknowledged_by": alert.acknowledged_by or None, "acknowledged": iso(alert.acknowledged_ns),
        "created": iso(alert.created_ns), "actions": actions,
    }  # fmt: skip


@router.get("/alerts")
async def list_alerts(
    call: AnyCaller,
    monitor: str | None = None,
    status: Literal["open", "acknowledged"] | None = None,
    limit: Limit = 100,
    cursor: str | None = None,
) -> Page:
    """The newest first; of one monitor, or only those that nobody has acknowledged."""
    name = None if monitor is None else monitor.removeprefix("monitor/")
    found = await call.platform.database.read(
        lambda db: alerts.list_alerts(db, call.project, monitor=name, status=status, limit=limit, cursor=cursor)
    )
    return page([alert_json(each) for each in found.items], found.next)


@router.get("/alerts/{alert}")
async def get_alert(call: AnyCaller, alert: str) -> dict[str, Any]:
    """One alert, with what became of all it set off."""
    return alert_json(await call.platform.database.read(lambda db: alerts.get_alert(db, call.project, alert)))


@router.post("/alerts/{alert}:ack")
async def acknowledge(call: AnyCaller, alert: str, body: Acknowledgement) -> dict[str, Any]:
    """Note that somebody has seen it."""
    now_ns = call.platform.clock.now_ns()
    return alert_json(
        await call.platform.database.write(
            lambda db: alerts.acknowledge(db, call.project, alert, who=call.who, note=body.note, now_ns=now_ns)
        )
    )


class AlertJob:
    """The job `alert.deliver`: one attempt at everything of an alert that is due, side by side.

    What may pass stays pending, and `AlertRetries` starts another job when its delay is over, so that a receiver that is down
    holds up nothing else. After a kill the same attempt is made again: a webhook may then come twice, with the same
    `x-tidemill-delivery`.
    """

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def __call__(self, payload: JsonObject, context: JobContext) -> Json:
        """Do what is due of the alert in the payload."""
        name = str(payload["alert"])
        alert = await self._platform.database.read(lambda db: alerts.get_alert(db, context.project, name))
        now_ns = self._platform.clock.now_ns()
        async with anyio.create_task_group() as group:
            for each in alert.actions:
                if each.status == "pending" and due_ns(each) <= now_ns:
                    group.start_soon(self._do, alert, each)
        await context.report(Progress(done=len(alert.actions), total=len(alert.actions), unit="actions"))
        ended = await self._platform.database.read(lambda db: alerts.get_alert(db, context.project, name))
        return {"alert": alert.id, "actions": [{"kind": each.kind, "status": each.status} for each in ended.actions]}

    async def _do(self, alert: Alert, action: Action) -> None:
        if action.kind == "rollback":
            await self._roll_back(alert, action)
            return
        attempt = action.attempts + 1
        status: alerts.ActionStatus = "done"
        try:
            detail = await self._tell(alert, action)
        except TidemillError as error:
            status = "pending" if isinstance(error, Unavailable) and attempt <= len(DELAYS) else "failed"
            detail = f"{error.message}  {error.hint}".strip()
        await self._note(alert, action, status=status, attempts=attempt, detail=detail)

    async def _tell(self, alert: Alert, action: Action) -> str:
        from tidemill.monitor.deliver import post_webhook, send_email  # noqa: PLC0415  (for alerts only)
        from tidemill.monitor.spec import Email, Webhook  # noqa: PLC0415

        shown = alert_json(alert)
        if action.kind == "webhook":
            body = dump_json({**{name: shown[name] for name in shown if name != "actions"}, "project": alert.project})
            hook = Webhook.model_validate(action.config)
            seconds = self._platform.clock.now_ns() // 1_000_000_000
            return await post_webhook(hook, body, delivery=f"{alert.id}.{action.number}", timestamp=seconds)
        mail = Email.model_validate(action.config)
        return await send_email(mail, subject=f"Tidemill: {alert.message}", text=_letter(alert))

    async def _roll_back(self, alert: Alert, action: Action) -> None:
        """One step back, in one transaction with its note. Only from the release that alarmed, and never twice in a row."""
        platform, now_ns = self._platform, self._platform.clock.now_ns()

        def work(db: Database) -> None:
            now = endpoints.get_endpoint(db, alert.project, alert.target)
            why = _why_not(now, alert)
            if why:
                done = replace(action, status="skipped", detail=why, attempts=1, updated_ns=now_ns)
            else:
                who = f"monitor/{alert.monitor}"
                back = endpoints.rollback(
                    db, alert.project, now.name, policies=platform.policies, by=who, role=_ROLE, now_ns=now_ns
                )
                detail = f"endpoint/{now.name} serves {back.release} again"
                done = replace(action, status="done", detail=detail, attempts=1, updated_ns=now_ns)
            alerts.update_action(db, alert.id, done)

        try:
            await platform.database.write(work)
        except TidemillError as error:
            await self._note(alert, action, status="failed", attempts=1, detail=f"{error.message}  {error.hint}".strip())
            return
        await platform.live.refresh(alert.project, alert.target.removeprefix("endpoint/"))

    async def _note(self, alert: Alert, action: Action, *, status: alerts.ActionStatus, attempts: int, detail: str) -> None:
        now_ns = self._platform.clock.now_ns()
        noted = replace(action, status=status, attempts=attempts, detail=detail, updated_ns=now_ns)
        await self._platform.database.write(lambda db: alerts.update_action(db, alert.id, noted))


def due_ns(action: Action) -> int:
    """When a pending action is to be tried next, in nanoseconds since the epoch."""
    if not action.attempts:
        return 0
    return action.updated_ns + round(DELAYS[min(action.attempts, len(DELAYS)) - 1] * 1e9)


class AlertRetries:
    """Starts the next attempt of what could not be delivered, when it is due."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    async def look(self) -> Sequence[str]:
        """For `Schedules.also`; the ids of the jobs."""
        platform = self._platform
        pending = await platform.database.remember(("alerts pending",), alerts.pending_alerts)
        now_ns = platform.clock.now_ns()
        started: list[str] = []
        for alert in pending:
            waiting = [each for each in alert.actions if each.status == "pending" and each.attempts and due_ns(each) <= now_ns]
            if waiting:
                job_id = f"alert-{alert.id}-{max(each.attempts for each in waiting)}-{min(each.number for each in waiting)}"
                await platform.jobs.submit(DELIVER, {"alert": alert.id}, project=alert.project, job_id=job_id)
                started.append(job_id)
        return started


def _why_not(now: endpoints.Endpoint, alert: Alert) -> str:
    if now.release != alert.release:
        return f"endpoint/{now.name} serves another release than the one that alarmed"
    if now.history and now.history[0].action == "rollback":
        return f"endpoint/{now.name} was rolled back already; a person decides what comes next"
    return ""


def _letter(alert: Alert) -> str:
    lines = [
        alert.message, "", f"monitor   {alert.monitor or 'asked for once'}", f"when      {alert.condition}",
        f"release   {alert.release}", "", f"tidemill monitor show {alert.run}", f"tidemill alerts ack {alert.id}",
    ]  # fmt: skip
    return "\n".join(lines)
