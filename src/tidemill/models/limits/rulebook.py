"""Which limits hold for whom: of the documents of a project, of its endpoints, and of a key."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Final, TypeAlias, cast

from sqlalchemy import Connection

from tidemill.core.errors import Invalid, NotFound
from tidemill.core.json import JsonObject
from tidemill.models.caller import Caller
from tidemill.models.limits.counting import Claim, Meter, Unit
from tidemill.models.limits.rules import Rates, rates_of, tightest
from tidemill.models.limits.windows import Period, period_id
from tidemill.pricing import Overrides, read_prices
from tidemill.store import access, config
from tidemill.store.database import Database

_PLANS: Final = 20_000
_DAY_NS: Final = 86_400_000_000_000
_Who: TypeAlias = tuple[str, str | None, str | None, str | None, str | None, str]


class Rules:
    """The limits of one project in one environment, by subject; `user/*` and the like hold for each that has none."""

    __slots__ = ("prices", "priorities", "rates", "weights")

    def __init__(
        self, rates: Mapping[str, Rates], weights: Mapping[str, int], priorities: Mapping[str, int], prices: Overrides
    ) -> None:
        self.rates = rates
        self.weights = weights
        self.priorities = priorities
        self.prices = prices

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rules):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__ = None  # pyright: ignore[reportAssignmentType]  (compared, never looked up)

    def of(self, subject: str) -> Rates | None:
        """What holds for one subject."""
        found = self.rates.get(subject)
        return self.rates.get(_each(subject)) if found is None else found

    def first_of(self, numbers: Mapping[str, int], subjects: Sequence[str]) -> int | None:
        """The number that the first of the subjects has that has one."""
        for subject in subjects:
            found = numbers.get(subject, numbers.get(_each(subject)))
            if found is not None:
                return found
        return None


class Plan:
    """What a call of somebody to some model counts against; kept as long as the rules stay what they are."""

    __slots__ = ("_claims", "_day", "flow", "key_limits", "meters", "priority", "rules", "subjects", "weight")

    def __init__(self, rules: Rules, key_limits: JsonObject | None, who: _Who) -> None:
        self.rules = rules
        self.key_limits = key_limits
        project, key, user, team, endpoint, model = who
        names = (("key", key), ("user", user), ("team", team), ("endpoint", endpoint))
        subjects = [*(f"{kind}/{name}" for kind, name in names if name), model, "project"]
        found = [(each, _rates(each, rules, key_limits)) for each in subjects]
        self.meters = tuple(meter for subject, rates in found if rates for meter in meters_of(project, subject, rates))
        kept = {subject for subject, rates in found if rates} | {each for each in subjects if not each.startswith("user/")}
        self.subjects = tuple(each for each in subjects if each in kept)
        self.flow = (project, key or user)
        self.weight = rules.first_of(rules.weights, subjects) or 1
        self.priority = rules.first_of(rules.priorities, subjects) or 0
        self._day = -1
        self._claims: tuple[tuple[Meter, str], ...] = ()

    def claims(self, now_ns: int, *, tokens: int, money: int) -> list[Claim]:
        """What one call wants, in the periods of now."""
        day = now_ns // _DAY_NS
        if day != self._day:
            self._claims = tuple((each, keyed(each, now_ns)) for each in self.meters)
            self._day = day
        amounts = {"requests": 1, "calls": 1, "tokens": tokens, "money": money}
        return [Claim(meter=meter, key=key, amount=amounts[meter.unit]) for meter, key in self._claims]


class Rulebook:
    """Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._plans: OrderedDict[tuple[str, _Who], Plan] = OrderedDict()

    async def plan(self, caller: Caller, model: str) -> Plan:
        """What a call counts against. `model` is as in `model/NAME`."""
        project, environment = caller.project, caller.environment
        rules = await self._database.remember(("limits", project, environment), lambda db: read_rules(db, project, environment))
        limits = None
        if caller.key is not None:
            limits = await self._database.remember(("key-limits", caller.key), lambda db: _key_limits(db, project, caller.key))
        who = (project, caller.key, caller.user, caller.team, caller.endpoint, model)
        known = self._plans.get((environment, who))
        if known is not None and _holds(known, rules, limits):
            return known
        plan = self._plans[(environment, who)] = Plan(rules, limits, who)
        if len(self._plans) > _PLANS:
            self._plans.popitem(last=False)
        return plan


def read_rules(db: Connection, project: str, environment: str) -> Rules:
    """The limits of a project's documents and endpoints; a document for the environment takes the place of one for all."""
    holding = {
        (each.kind, each.name): each
        for kind in ("limits", "endpoint")
        for each in sorted(config.list_configs(db, project, kind=kind), key=lambda one: one.environment is not None)
        if each.environment in (None, environment)
    }
    found: dict[str, list[Rates]] = {}
    weights: dict[str, int] = {}
    priorities: dict[str, int] = {}
    for (kind, name), each in holding.items():
        spec = cast("Mapping[str, Any]", each.spec if kind == "limits" else each.spec.get("limits") or {})
        subject = str(spec.get("for", f"endpoint/{name}"))
        if spec:
            found.setdefault(subject, []).append(rates_of(spec))
        if "weight" in spec:
            weights[subject] = int(spec["weight"])
        if "priority" in spec:
            priorities[subject] = int(spec["priority"])
    tight = {subject: tightest(these) for subject, these in found.items()}
    return Rules(tight, weights, priorities, _prices(db, project, environment))


def meters_of(project: str, subject: str, rates: Rates) -> list[Meter]:
    """The meters of one subject: minutes first, for they change most often."""
    kind, _, name = subject.partition("/")
    if kind == "user":  # as the client wrote it, of any length: it is nobody's to read where counters are kept
        name = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    base = f"{project}/{kind}/{name}:"
    found: list[Meter] = []
    amounts: tuple[tuple[Unit, Mapping[Any, int]], ...] = (("requests", rates.requests), ("tokens", rates.tokens))
    for unit, spans in amounts:
        for span, limit in sorted(spans.items(), key=lambda item: item[0] != "minute"):
            period: Period | None = None if span == "minute" else span
            shape = "minute" if period is None else "period"
            key = f"{base}{unit}:{span}"
            found.append(Meter(key=key, subject=subject, shape=shape, unit=unit, limit=limit, period=period))
    if rates.concurrency is not None:
        key = f"{base}calls"
        found.append(Meter(key=key, subject=subject, shape="level", unit="calls", limit=rates.concurrency))
    for budget in rates.budgets:
        most = 2**53 if budget.hard is None else budget.hard
        key = f"{base}money:{budget.period}"
        found.append(
            Meter(key=key, subject=subject, shape="period", unit="money", limit=most, period=budget.period, soft=budget.soft)
        )
    return found


def keyed(meter: Meter, now_ns: int) -> str:
    """The key of a claim on a meter now."""
    return meter.key if meter.period is None else f"{meter.key}:{period_id(meter.period, now_ns)}"


def _prices(db: Connection, project: str, environment: str) -> Overrides:
    """The project's own prices, as its traces are priced by; what cannot be read is left out there, too."""
    found = config.find_config(db, project, "telemetry", "default", environment)
    found = found or config.find_config(db, project, "telemetry", "default", None)
    try:
        return Overrides(read_prices(None if found is None else found.spec.get("prices")))
    except Invalid:
        return Overrides()


def _key_limits(db: Connection, project: str, key: str | None) -> JsonObject | None:
    try:
        return access.get_key(db, project, key or "").limits
    except NotFound:
        return None  # not a key of this project: the admin token, or one that is gone while its stream goes on


def _rates(subject: str, rules: Rules, key_limits: JsonObject | None) -> Rates | None:
    found = rules.of(subject)
    if not subject.startswith("key/") or not key_limits:
        return found
    own = rates_of(key_limits)
    return own if found is None or subject not in rules.rates else tightest((own, found))


def _holds(plan: Plan, rules: Rules, key_limits: JsonObject | None) -> bool:
    """Whether a plan is still right; what was read again and is the same is taken for the one before."""
    if plan.rules is not rules:
        if plan.rules != rules:
            return False
        plan.rules = rules
    if plan.key_limits is not key_limits:
        if plan.key_limits != key_limits:
            return False
        plan.key_limits = key_limits
    return True


def _each(subject: str) -> str:
    return f"{subject.partition('/')[0]}/*"
