"""The limits on the way of every call: an estimate is reserved, the call waits for its turn, and what it took is settled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, TypeAlias

import msgspec

from tidemill.core.chat import Usage
from tidemill.core.clock import Clock
from tidemill.core.errors import TidemillError, Unavailable
from tidemill.models.caller import Caller
from tidemill.models.calls import Call, Spent
from tidemill.models.limits.counting import Claim, Counters, Grant, Meter, Shortage, Standing, Unseeded
from tidemill.models.limits.estimate import Estimate, Estimator, bounded
from tidemill.models.limits.fair import Ticket
from tidemill.models.limits.headers import headers_of
from tidemill.models.limits.ledger import Ledger
from tidemill.models.limits.memory import MemoryCounters
from tidemill.models.limits.queueing import Places
from tidemill.models.limits.refusing import refusal_of
from tidemill.models.limits.rulebook import Plan, Rulebook, keyed
from tidemill.models.limits.rules import nano_of
from tidemill.models.limits.windows import Period, first_day
from tidemill.store.database import Database
from tidemill.store.usage import Used, day_of

_TRIES: Final = 4
_COUNTED: Final = frozenset({"tokens", "money"})
_TOLD: Final = 10_000
_SAID: Final = 20_000
_NOTHING: Final[Mapping[str, str]] = {}
CountTokens: TypeAlias = Callable[[Call], Awaitable[int | None]]
"""The tokens that a model reads of a call, None where nobody here can say."""
_Who: TypeAlias = tuple[str, str | None, str | None, str | None, str | None]
_PERIODS: Final[tuple[Period, ...]] = ("day", "month", "total")
_log = logging.getLogger(__name__)


class Crossed(msgspec.Struct, frozen=True, kw_only=True):
    """A budget passed a mark. `used` and the marks of `meter` are billionths of a dollar; `key` names the period, too."""

    project: str
    meter: Meter
    key: str
    used: int
    is_hard: bool


class Limits:
    """Who may call how much (see `models.calls.Limiter`). Belongs to one event loop; `close` it there.

    `on_crossed` is told once a period and process when a budget passes its soft mark or is used up. `count_tokens` counts a
    call's input exactly where that can be done; it is asked before an estimate turns a call away.
    """

    def __init__(
        self,
        *,
        database: Database,
        counters: Counters,
        clock: Clock,
        places: Places,
        ledger: Ledger | None = None,
        on_crossed: Callable[[Crossed], None] | None = None,
        count_tokens: CountTokens | None = None,
    ) -> None:
        self.counters = counters
        self.ledger = ledger or Ledger(database)
        self._rulebook = Rulebook(database)
        self._estimator = Estimator()
        self._clock = clock
        self._places = places
        self._on_crossed = on_crossed
        self._count_tokens = count_tokens
        self._told: set[tuple[str, bool]] = set()
        self._said: dict[_Who, Mapping[str, str]] = {}
        self._settling: set[asyncio.Task[None]] = set()

    async def admit(self, call: Call) -> Leave:
        """Reserve an estimate and wait for a place.

        Raises `RateLimited`, `BudgetExceeded`, `Overloaded`, `DeadlineExceeded`, and `Unavailable` when counters are away that
        must be asked. What stands in `call.notes` then belongs to the refusal.
        """
        caller, day = call.caller, day_of(self._clock.now_ns())
        plan = await self._rulebook.plan(caller, call.model.bare)
        estimate = self._estimator.estimate(call, now=call.started, prices=plan.rules.prices)
        grant = None
        if plan.meters:
            grant, estimate = await self._reserve(plan, call, estimate)
            self._say(call, headers_of(grant.standings))
        elif self._said:
            self._said.pop(_who(caller), None)
        leave = Leave(self, call, plan, grant, estimate, day)
        try:
            leave.ticket = await self._places.take(
                plan.flow, weight=plan.weight, priority=caller.priority + plan.priority, deadline=caller.deadline
            )
        except BaseException as error:
            leave.undo()
            if isinstance(error, TidemillError):
                self._count(plan, caller.project, day, Used(refused=1))
            raise
        return leave

    def headers_for(self, caller: Caller) -> Mapping[str, str]:
        """How the limits of whoever calls stood at their last call, as headers; for answers that several calls went into."""
        return self._said.get(_who(caller), _NOTHING)

    async def close(self) -> None:
        """Settle what is under way, write what was used, and let go of the counters."""
        await asyncio.gather(*self._settling, return_exceptions=True)
        await self.ledger.stop()
        await self.counters.close()

    async def _reserve(self, plan: Plan, call: Call, estimate: Estimate) -> tuple[Grant, Estimate]:
        counted = False
        for _ in range(_TRIES):
            now_ns = self._clock.now_ns()
            claims = plan.claims(now_ns, tokens=estimate.tokens, money=estimate.cost)
            found = await self.counters.reserve(claims)
            if isinstance(found, Unseeded):
                await self._seed(call.caller.project, found.claims, now_ns)
                continue
            if isinstance(found, Grant):
                return found, estimate
            less = await self._counted(call, estimate) if found.meter.unit in _COUNTED and not counted else None
            counted = True
            if less is None:
                raise self._refusal(plan, call, found, now_ns)
            estimate = less
        raise Unavailable("the limits could not be looked at", hint="Try again.", retry_after=1.0)

    async def _counted(self, call: Call, estimate: Estimate) -> Estimate | None:
        """A smaller estimate, when the input can be counted exactly and was taken for more than it is."""
        exact = None if self._count_tokens is None else await self._count_tokens(call)
        if exact is None or exact >= estimate.input_tokens:
            return None
        return self._estimator.with_input(call, estimate, exact, now=call.started)

    def _refusal(self, plan: Plan, call: Call, short: Shortage, now_ns: int) -> TidemillError:
        headers = headers_of(short.standings)
        if short.retry_after is None and not short.gone:
            headers["x-should-retry"] = "false"
        self._say(call, headers)
        self._count(plan, call.caller.project, day_of(now_ns), Used(refused=1))
        if short.meter.unit == "money" and short.gone:
            self._tell(call.caller.project, short.meter, keyed(short.meter, now_ns), short.used, is_hard=True)
        return refusal_of(short)

    async def _seed(self, project: str, claims: Sequence[Claim], now_ns: int) -> None:
        """Read what was used in these periods before they were counted here."""
        for period in _PERIODS:
            these = [each for each in claims if each.meter.period == period]
            subjects = sorted({each.meter.subject for each in these})
            if these:
                used = await self.ledger.used(project, subjects, since=first_day(period, now_ns), until=day_of(now_ns))
                found = {each.key: _amount_of(each, used.get(each.meter.subject) or Used()) for each in these}
                await self.counters.seed(found)

    def settle(self, leave: Leave, spent: Spent) -> None:
        """Count what a call took, and take it off what was reserved."""
        usage, is_absurd = bounded(spent.usage)
        call = leave.call
        if is_absurd:
            model = call.model.bare
            _log.warning("%s reported a usage that cannot be: %r; it was bounded", model, spent.usage)
        cost = self._cost(leave, spent, usage)
        used = Used(requests=1, input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cost=cost)
        self._count(leave.plan, call.caller.project, leave.day, used)
        if not (is_absurd or spent.estimated or spent.cancelled or spent.error or spent.saved is not None):
            self._estimator.learn(call, leave.estimate, usage, spent.cost)
        if leave.grant is not None:
            tokens = usage.input_tokens + usage.output_tokens
            amounts = {"requests": 1, "calls": 0, "tokens": tokens, "money": cost}
            self.apply(leave, leave.grant, [amounts[each.meter.unit] for each in leave.grant.claims])

    def _cost(self, leave: Leave, spent: Spent, usage: Usage) -> int:
        """By the project's own price, where it has one, as in its traces; else what the call was said to cost."""
        call = leave.call
        prices = leave.plan.rules.prices
        if prices.prices and spent.served and spent.saved is None:
            own = prices.at(spent.provider, spent.served, self._clock.now_ns())
            if own is not None:
                return nano_of(own.cost(usage) + call.wasted)
        if spent.cost is None and spent.estimated:
            return self._estimator.price(call, usage, now=call.started)
        return nano_of(spent.cost)

    def count_failed(self, leave: Leave) -> None:
        """A call of which nothing came was a request all the same."""
        self._count(leave.plan, leave.call.caller.project, leave.day, Used(requests=1))

    def apply(self, leave: Leave, grant: Grant, amounts: Sequence[int]) -> None:
        """Settle a grant: at once where counters are here, else soon."""
        if isinstance(self.counters, MemoryCounters):
            self._watch(leave, grant, amounts, self.counters.settle_now(grant, amounts))
            return
        task = asyncio.get_running_loop().create_task(self._settle_there(leave, grant, amounts))
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    def give_back(self, ticket: Ticket) -> None:
        """A place is free."""
        self._places.give_back(ticket)

    async def _settle_there(self, leave: Leave, grant: Grant, amounts: Sequence[int]) -> None:
        try:
            counts = await self.counters.settle(grant, amounts)
        except Unavailable as error:
            _log.warning("a call could not be settled: %s", error)
            return
        self._watch(leave, grant, amounts, counts)

    def _watch(self, leave: Leave, grant: Grant, amounts: Sequence[int], counts: Sequence[int]) -> None:
        """Tell of budgets that passed their soft mark just now."""
        for claim, amount, count in zip(grant.claims, amounts, counts, strict=True):
            soft = claim.meter.soft
            if soft is not None and amount and count >= soft > count - amount:
                self._tell(leave.call.caller.project, claim.meter, claim.key, count, is_hard=False)

    def _say(self, call: Call, headers: dict[str, str]) -> None:
        call.notes.update(headers)
        who = _who(call.caller)
        self._said[who] = headers
        if len(self._said) > _SAID:
            del self._said[next(iter(self._said))]

    def _tell(self, project: str, meter: Meter, key: str, used: int, *, is_hard: bool) -> None:
        if (key, is_hard) in self._told:
            return
        if len(self._told) >= _TOLD:
            self._told.clear()
        self._told.add((key, is_hard))
        if self._on_crossed is not None:
            self._on_crossed(Crossed(project=project, meter=meter, key=key, used=used, is_hard=is_hard))

    def _count(self, plan: Plan, project: str, day: int, used: Used) -> None:
        self.ledger.note(project, plan.subjects, day, used)


class Leave:
    """Leave to make one call; see `models.calls.Permit`. It counts on the `day` (since 1970-01-01) on which it was given."""

    __slots__ = ("_limits", "_open", "call", "day", "estimate", "grant", "plan", "ticket")

    def __init__(self, limits: Limits, call: Call, plan: Plan, grant: Grant | None, estimate: Estimate, day: int) -> None:
        self._limits = limits
        self._open = True
        self.call = call
        self.plan = plan
        self.grant = grant
        self.estimate = estimate
        self.day = day
        self.ticket: Ticket | None = None

    @property
    def standings(self) -> Sequence[Standing]:
        """How the limits stood when leave was given."""
        return () if self.grant is None else self.grant.standings

    def settle(self, spent: Spent) -> None:
        """Replace what was reserved by what was used."""
        if self._close():
            self._limits.settle(self, spent)

    def release(self) -> None:
        """Nothing came of the call: tokens and money are given back; that it was asked still counts as a request."""
        if self._close():
            self._limits.count_failed(self)
            self._apply(1)

    def undo(self) -> None:
        """The call was not made at all: everything is given back."""
        if self._close():
            self._apply(0)

    def _apply(self, requests: int) -> None:
        if self.grant is not None:
            amounts = [requests if each.meter.unit == "requests" else 0 for each in self.grant.claims]
            self._limits.apply(self, self.grant, amounts)

    def _close(self) -> bool:
        was_open, self._open = self._open, False
        if was_open and self.ticket is not None:
            self._limits.give_back(self.ticket)
        return was_open


def _who(caller: Caller) -> _Who:
    return caller.project, caller.key, caller.user, caller.team, caller.endpoint


def _amount_of(claim: Claim, used: Used) -> int:
    unit = claim.meter.unit
    if unit == "money":
        return used.cost
    return used.requests if unit == "requests" else used.tokens
