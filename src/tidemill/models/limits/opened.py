"""The limits of one server, put together from its settings."""

from __future__ import annotations

import asyncio
import functools
import logging

from tidemill.core.clock import Clock, Ids
from tidemill.core.errors import TidemillError
from tidemill.core.gateway import Gateway, counters_url
from tidemill.models.calls import Call
from tidemill.models.limits.away import Guarded
from tidemill.models.limits.counting import Counters
from tidemill.models.limits.limiter import Crossed, Limits
from tidemill.models.limits.memory import MemoryCounters
from tidemill.models.limits.providers.valkey import ValkeyCounters
from tidemill.models.limits.queueing import Places
from tidemill.models.limits.rules import NANO, dollars
from tidemill.models.service import Models
from tidemill.store.alerts import Alert, create_alert
from tidemill.store.database import Database

_log = logging.getLogger(__name__)


def open_limits(
    gateway: Gateway, *, models: Models, database: Database, clock: Clock, ids: Ids, counters: Counters | None = None
) -> Limits:
    """Limits by these settings, on the way of every call of `models`.

    `counters` are those that the processes of one server share, where the settings name no others. Raises `Invalid` for an
    address that is none, `MissingExtra` without the client for it. A server for counters that is away does not keep this one
    from starting.
    """
    counters = counters or MemoryCounters(clock)
    if gateway.counters is not None:
        there = ValkeyCounters(counters_url(gateway.counters), clock=clock)
        counters = Guarded(there, clock=clock, policy=gateway.without_counters)
    places = Places(capacity=gateway.max_calls, most_waiting=gateway.max_waiting, most_wait=gateway.max_wait, clock=clock)
    alerts = BudgetAlerts(database=database, clock=clock, ids=ids)
    limits = Limits(
        database=database,
        counters=counters,
        clock=clock,
        places=places,
        on_crossed=alerts,
        count_tokens=functools.partial(_count_tokens, models),
    )
    models.limiter = limits
    return limits


async def _count_tokens(models: Models, call: Call) -> int | None:
    """What a model that runs here reads of a call, by its own tokenizer; None for a model elsewhere."""
    if call.request is None or call.model.spec.get("provider") != "local":
        return None
    try:
        project, environment = call.caller.project, call.caller.environment
        rendered = await models.render(call.model, call.request.messages, project=project, environment=environment)
    except TidemillError:
        return None  # the call itself says what is wrong
    return len(rendered.tokens)


class BudgetAlerts:
    """Raises an alert when a budget passes its soft mark, and one when it is used up: once a period, whoever notices."""

    def __init__(self, *, database: Database, clock: Clock, ids: Ids) -> None:
        self._database = database
        self._clock = clock
        self._ids = ids
        self._writing: set[asyncio.Task[None]] = set()

    def __call__(self, crossed: Crossed) -> None:
        """Write the alert soon."""
        task = asyncio.get_running_loop().create_task(
            self._write(alert_of(crossed, id=self._ids.text(), now_ns=self._clock.now_ns()))
        )
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, alert: Alert) -> None:
        _log.warning("project %s: %s", alert.project, alert.message)
        try:
            await self._database.write(lambda db: create_alert(db, alert))
        except TidemillError as error:
            _log.warning("the alert could not be kept: %s", error)


def alert_of(crossed: Crossed, *, id: str, now_ns: int) -> Alert:  # noqa: A002  (the field's name in Alert)
    """The alert for a budget; `run` names its period, so that it is raised once."""
    meter, word = crossed.meter, "used up" if crossed.is_hard else "running low"
    mark = meter.limit if crossed.is_hard or meter.soft is None else meter.soft
    period = {"day": "today", "month": "this month"}.get(meter.period or "", "in all")
    return Alert(
        id=id,
        project=crossed.project,
        monitor="limits",
        run=f"{crossed.key}:{mark}",
        rule=int(crossed.is_hard),
        name=f"budget {word}",
        condition=f"cost {period} >= {dollars(mark)}",
        message=f"the budget of {meter.subject} is {word}: {dollars(crossed.used)} of {dollars(mark)} {period}",
        target=meter.subject,
        values={"used": crossed.used / NANO, "mark": mark / NANO},
        created_ns=now_ns,
    )
