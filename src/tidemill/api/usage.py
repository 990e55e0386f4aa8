"""What was used, by whom and when, as limits and budgets count it: also what is not written yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import Query

from tidemill.api.caller import AnyCaller, Caller
from tidemill.api.router import Router
from tidemill.core.json import JsonObject
from tidemill.models.limits.rulebook import meters_of, read_rules
from tidemill.models.limits.rules import NANO, Rates, rates_of, tightest
from tidemill.models.limits.windows import first_day
from tidemill.store import access
from tidemill.store.usage import Used, date_of, day_of, usage_by_day, usage_by_subject

router = Router(tags=["keys"])
Kind = Literal["key", "user", "team", "endpoint", "model"]
Days = Annotated[int, Query(ge=1, le=3660)]


@router.get("/usage")
async def list_usage(call: AnyCaller, by: Kind = "key", days: Days = 30) -> dict[str, Any]:
    """What each key (user, team, endpoint, model) used in the last `days` days (UTC), the most expensive first; at most 1,000.

    A user is counted from the day on which limits for users were first written. A call stands under each of its subjects.
    """
    today = day_of(call.platform.clock.now_ns())
    await _write_all(call)
    found = await call.platform.database.read(
        lambda db: usage_by_subject(db, call.project, kind=by, since=today - days + 1, until=today)
    )
    return {"items": [{"subject": subject, **used_json(used)} for subject, used in found.items()]}


@router.get("/keys/{key_id}/usage")
async def get_key_usage(call: AnyCaller, key_id: str, days: Days = 30) -> dict[str, Any]:
    """What a key used on each of the last `days` days (UTC), and how it stands against its limits by day, month and in all."""
    now_ns = call.platform.clock.now_ns()
    today = day_of(now_ns)
    await _write_all(call)
    subject = f"key/{key_id}"

    def read(db: Any) -> tuple[Rates | None, Mapping[int, Used], Mapping[int, Used]]:
        key = access.get_key(db, call.project, key_id)
        rules = read_rules(db, call.project, call.platform.settings.environment)
        found = rules.of(subject)
        if key.limits is not None:
            own = rates_of(key.limits)
            found = own if found is None or subject not in rules.rates else tightest((own, found))
        by_day = usage_by_day(db, call.project, subject, since=0, until=today)
        return found, {day: each for day, each in by_day.items() if day > today - days}, by_day

    rates, shown, every = await call.platform.database.read(read)
    total = Used()
    for each in shown.values():
        total.add(each)
    return {
        "id": key_id,
        "days": [{"day": date_of(day).isoformat(), **used_json(each)} for day, each in shown.items()],
        "total": used_json(total),
        "limits": [] if rates is None else _standing(call, subject, rates, every, now_ns),
    }


async def _write_all(call: Caller) -> None:
    """What was counted until now is part of the answer, whichever process counted it."""
    await call.platform.limits.ledger.flush()
    if call.platform.others is not None:
        await call.platform.others.write_usage()


async def usage_of_keys(call: Caller, key_ids: Sequence[str]) -> dict[str, JsonObject]:
    """What each key used this month (UTC)."""
    now_ns = call.platform.clock.now_ns()
    subjects = [f"key/{each}" for each in key_ids]
    ledger = call.platform.limits.ledger
    found = await ledger.used(call.project, subjects, since=first_day("month", now_ns), until=day_of(now_ns))
    return {each: used_json(found.get(f"key/{each}") or Used()) for each in key_ids}


def used_json(used: Used) -> dict[str, Any]:
    """Counts, and money in US dollars."""
    return {
        "requests": used.requests,
        "refused": used.refused,
        "input_tokens": used.input_tokens,
        "output_tokens": used.output_tokens,
        "cost": used.cost / NANO,
    }


def _standing(call: Caller, subject: str, rates: Rates, every: Mapping[int, Used], now_ns: int) -> list[dict[str, Any]]:
    """How each limit stands that is kept by the day; those of minutes and of calls at a time without a count."""
    found: list[dict[str, Any]] = []
    for meter in meters_of(call.project, subject, rates):
        scale = NANO if meter.unit == "money" else 1
        line: dict[str, Any] = {
            "unit": meter.unit,
            "per": None if meter.shape == "level" else meter.period or "minute",
            "limit": None if meter.limit >= 2**53 else meter.limit / scale if scale > 1 else meter.limit,
        }
        if meter.soft is not None:
            line["soft"] = meter.soft / scale
        if meter.period is not None:
            since = first_day(meter.period, now_ns)
            used = Used()
            for day, each in every.items():
                if day >= since:
                    used.add(each)
            line["used"] = {"money": used.cost / NANO, "requests": used.requests}.get(meter.unit, used.tokens)
        found.append(line)
    return found
