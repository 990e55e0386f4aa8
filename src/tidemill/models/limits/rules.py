"""What a document, an endpoint or a key says of limits: read once, strictly, into a canonical form.

    rpm: 600                              # requests a minute; the same as requests: {minute: 600}
    tpm: 100000                           # tokens a minute, of input and output
    requests: {day: 10000, month: 200000}
    tokens: {day: 5000000}
    concurrency: 20                       # calls at a time
    budget: {hard: 100/month, soft: 80%}  # US dollars; 100/month alone is a hard stop, a list holds several

A limit of 0 lets nothing through. Days and months are those of UTC; `total` is for all time.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final, Literal, TypeAlias, cast

import msgspec

from tidemill.core.errors import Invalid, Problem
from tidemill.core.json import Json, JsonObject
from tidemill.core.suggest import did_you_mean
from tidemill.models.limits.windows import Period

Span: TypeAlias = Literal["minute", "day", "month", "total"]

NANO: Final = 1_000_000_000
"""Money is counted in billionths of a US dollar."""
_MOST: Final = 10**12
_MOST_MONEY: Final = 1_000_000  # dollars: their billionths are still exact in a double
_SPANS: Final = ("minute", "day", "month")
_PERIODS: Final = ("day", "month", "total")
_SHORT: Final[Mapping[str, tuple[str, Span]]] = {
    "rpm": ("requests", "minute"), "rpd": ("requests", "day"), "tpm": ("tokens", "minute"), "tpd": ("tokens", "day"),
}  # fmt: skip
KEYS: Final = ("rpm", "tpm", "rpd", "tpd", "requests", "tokens", "concurrency", "budget")
"""What may be written."""
_MONEY = re.compile(r"\$?\s*(?P<amount>\d+(?:\.\d+)?)\s*(?:/\s*(?P<per>[a-z]+))?")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_HINT: Final = "Write 10/month, 2.50/day or 100/total, in US dollars."


class Budget(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Money for a period, in billionths of a US dollar. At `soft` a warning is due, at `hard` calls stop; each may be None."""

    period: Period
    hard: int | None = None
    soft: int | None = None


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """What one subject may use; None and nothing: as much as it likes."""

    requests: Mapping[Span, int] = {}
    tokens: Mapping[Span, int] = {}
    concurrency: int | None = None
    budgets: tuple[Budget, ...] = ()


def read_limits(body: JsonObject, *, where: str = "") -> JsonObject:
    """The canonical form of what was written. Raises `Invalid` with a problem a mistake, each with its place below `where`."""
    problems: list[Problem] = []
    spec: dict[str, Json] = {}

    def note(place: str, read: Callable[[], Json]) -> Json:
        try:
            return read()
        except Invalid as error:
            problems.append(Problem(message=error.message, where=f"{where}.{place}".strip("."), hint=error.hint))
            return None

    for key, value in body.items():
        if key in _SHORT:
            unit, span = _SHORT[key]
            _put(spec, unit, span, note(key, lambda value=value, key=key: _whole(value, key)))
        elif key in {"requests", "tokens"}:
            for span, each in _spans(value, key, note):
                _put(spec, key, span, note(f"{key}.{span}", lambda each=each, key=key: _whole(each, key)))
        elif key == "concurrency":
            spec[key] = note(key, lambda value=value: _whole(value, "concurrency"))
        elif key == "budget":
            spec["budget"] = note(key, lambda value=value: _budgets(value))
        else:
            place = f"{where}.{key}".strip(".")
            problems.append(Problem(message=f"unknown limit {key!r}", where=place, hint=did_you_mean(key, KEYS)))
    if problems:
        raise Invalid(problems[0].message, where=problems[0].where, hint=problems[0].hint, problems=problems)
    return {key: spec[key] for key in sorted(spec)}


def rates_of(spec: JsonObject) -> Rates:
    """What a canonical form says."""
    given = cast("Mapping[str, Mapping[Span, int]]", spec)
    budgets = cast("Sequence[Mapping[str, Json]]", spec.get("budget") or ())
    return Rates(
        requests=given.get("requests", {}),
        tokens=given.get("tokens", {}),
        concurrency=cast("int | None", spec.get("concurrency")),
        budgets=tuple(_budget_of(each) for each in budgets),
    )


def tightest(these: Sequence[Rates]) -> Rates:
    """What holds when several documents speak of one subject: of each limit the lowest."""
    if len(these) == 1:
        return these[0]
    levels = [each.concurrency for each in these if each.concurrency is not None]
    budgets: dict[Period, Budget] = {}
    for each in (budget for rates in these for budget in rates.budgets):
        known = budgets.get(each.period, each)
        hard, soft = _lower(known.hard, each.hard), _lower(known.soft, each.soft)
        budgets[each.period] = Budget(period=each.period, hard=hard, soft=soft)
    return Rates(
        requests=_lowest([each.requests for each in these]),
        tokens=_lowest([each.tokens for each in these]),
        concurrency=min(levels, default=None),
        budgets=tuple(budgets.values()),
    )


def dollars(nano: int) -> str:
    """Money as people read it: `$12.34`, with as many places as a small amount needs."""
    value = Decimal(nano) / NANO
    if value == value.quantize(Decimal("0.01")):
        return f"${value:.2f}"
    return f"${value:.6f}".rstrip("0") if abs(value) < 1 else f"${value:.2f}"


def nano_of(cost: float | None) -> int:
    """A cost in US dollars as billionths; 0 for one that is not known, below 0 or not a number."""
    if cost is None or not cost > 0 or cost > _MOST_MONEY:
        return 0 if cost is None or not cost > _MOST_MONEY else _MOST_MONEY * NANO
    return round(cost * NANO)


def _put(spec: dict[str, Json], unit: str, span: str, value: Json) -> None:
    inner = dict(cast("Mapping[str, Json]", spec.get(unit) or {}))
    if value is not None:
        inner[span] = min(cast("int", inner.get(span, value)), cast("int", value))
        spec[unit] = {each: inner[each] for each in sorted(inner)}


def _spans(value: Json, key: str, note: Callable[[str, Callable[[], Json]], Json]) -> Sequence[tuple[str, Json]]:
    def wrong(message: str) -> Callable[[], Json]:
        def read() -> Json:
            raise Invalid(message, hint=f"Write {key}: {{minute: 60, day: 1000}}.")

        return read

    if not isinstance(value, Mapping):
        note(key, wrong(f"{key} is {value!r}"))
        return ()
    given = cast("Mapping[str, Json]", value)
    for span in given:
        if span not in _SPANS:
            note(f"{key}.{span}", wrong(f"{key} are counted by minute, day or month, not by {span!r}"))
    return [(span, each) for span, each in given.items() if span in _SPANS]


def _whole(value: Json, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= _MOST:
        raise Invalid(f"{what} is {value!r}", hint=f"Write a whole number from 0 to {_MOST:,}.")
    return value


def _budgets(value: Json) -> Json:
    given = cast("Sequence[Json]", value) if isinstance(value, list | tuple) else (value,)
    found = [_budget(each) for each in given]
    periods = [each["per"] for each in found]
    if len(set(periods)) < len(periods):
        raise Invalid("two budgets are for the same period", hint="Keep one of them.")
    return found


def _budget(value: Json) -> dict[str, Json]:
    if not isinstance(value, Mapping):
        hard, per = _money(value)
        return {"hard": hard, "per": per or "month"}
    given = cast("Mapping[str, Json]", value)
    for key in given:
        if key not in {"hard", "soft", "per"}:
            raise Invalid(f"unknown key {key!r} of a budget", hint=did_you_mean(key, ("hard", "soft", "per")))
    hard, per = _money(given["hard"]) if "hard" in given else (None, None)
    found: dict[str, Json] = {} if hard is None else {"hard": hard}
    soft = given.get("soft")
    share = _SHARE.fullmatch(soft.strip()) if isinstance(soft, str) else None
    if share is not None:
        if hard is None:
            raise Invalid("soft is a share, and there is no hard stop", hint="Write an amount, as in soft: 80/month.")
        found["soft"] = float(Decimal(str(hard)) * Decimal(share[1]) / 100)
    elif soft is not None:
        found["soft"], soft_per = _money(soft)
        per = per or soft_per
    if not found:
        raise Invalid("the budget says neither hard nor soft", hint="Write {hard: 10/month, soft: 80%}.")
    written = given.get("per", per or "month")
    if written not in _PERIODS:
        raise Invalid(f"a budget is per day, month or total, not per {written!r}", hint=_HINT)
    return {**found, "per": written}


def _money(value: Json) -> tuple[float, str | None]:
    """An amount in dollars, and per what."""
    match = (
        _MONEY.fullmatch(str(value).strip()) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
    )
    if match is None:
        raise Invalid(f"{value!r} is not an amount of money", hint=_HINT)
    per = match["per"]
    if per is not None and per not in _PERIODS:
        raise Invalid(f"a budget is per day, month or total, not per {per!r}", hint=_HINT)
    try:
        amount = float(Decimal(match["amount"]))
    except InvalidOperation as error:
        raise Invalid(f"{value!r} is not an amount of money", hint=_HINT) from error
    if amount > _MOST_MONEY:
        raise Invalid(f"a budget of ${amount:,.0f} is more than is counted here", hint=f"At most ${_MOST_MONEY:,}.")
    return amount, per


def _budget_of(given: Mapping[str, Json]) -> Budget:
    def nano(name: str) -> int | None:
        value = given.get(name)
        return None if value is None else round(Decimal(str(value)) * NANO)

    return Budget(period=cast("Period", given["per"]), hard=nano("hard"), soft=nano("soft"))


def _lowest(these: Sequence[Mapping[Span, int]]) -> Mapping[Span, int]:
    found: dict[Span, int] = {}
    for each in these:
        for span, limit in each.items():
            found[span] = min(found.get(span, limit), limit)
    return found


def _lower(one: int | None, other: int | None) -> int | None:
    return min((each for each in (one, other) if each is not None), default=None)
