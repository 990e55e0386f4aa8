"""Who may call how much: reserved before a call, settled after it, and still known when the server starts again."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from models.calls import ask, version
from tidemill.core.chat import Usage
from tidemill.core.clock import Ids
from tidemill.core.errors import BudgetExceeded, RateLimited, Unavailable
from tidemill.models.caller import Caller
from tidemill.models.calls import Call, Spent
from tidemill.models.limits.ledger import Ledger
from tidemill.models.limits.limiter import Limits
from tidemill.models.limits.memory import MemoryCounters
from tidemill.models.limits.opened import BudgetAlerts
from tidemill.models.limits.queueing import Places
from tidemill.models.limits.rules import NANO, read_limits
from tidemill.store import access, key_limits
from tidemill.store.alerts import list_alerts
from tidemill.store.config import put_config
from tidemill.store.database import Database
from tidemill.store.usage import day_of, usage_by_day, usage_of
from tidemill.telemetry import null_recorder

pytestmark = pytest.mark.anyio

PRICED = version(name="priced", provider="openai", model="gpt-4o-mini")
MODEL = version(name="m", provider="test")


@pytest.fixture
def database(tmp_path):
    with contextlib.closing(Database.open(tmp_path / "meta.db")) as opened:
        yield opened


class Desk:
    """Limits over one database; `crossed` holds what was told of budgets."""

    def __init__(self, database, clock, counters=None):
        self.database = database
        self.clock = clock
        self.crossed = []
        self.limits = Limits(
            database=database,
            counters=counters or MemoryCounters(clock),
            clock=clock,
            places=Places(capacity=100, most_waiting=10, most_wait=1.0, clock=clock),
            ledger=Ledger(database, every=0.01),
            on_crossed=self.crossed.append,
        )

    def say(self, name, whose, **limits):
        spec = {**read_limits(limits), "for": whose}
        self.database.write_sync(lambda db: put_config(db, "p", "limits", name, None, spec))

    def key(self, **limits):
        made = read_limits(limits) if limits else None
        return self.database.write_sync(lambda db: access.create_key(db, "p", now_ns=self.clock.now_ns(), limits=made))[0]

    def call(self, *, model=MODEL, text="one two three", max_tokens=10, **who):
        caller = Caller(project="p", environment="local", **who)
        span = null_recorder().trace("call", kind="llm", project="p")
        request = ask(text, params={"max_tokens": max_tokens})
        return Call(operation="chat", model=model, caller=caller, span=span, started=self.clock.monotonic(), request=request)

    async def admit(self, call=None, **who):
        return await self.limits.admit(call or self.call(**who))

    async def spend(self, given=3, made=4, *, cost=0.0, call=None, **who):
        leave = await self.admit(call, **who)
        leave.settle(Spent(usage=Usage(input_tokens=given, output_tokens=made), cost=cost))
        return leave

    def used(self, subject):
        day = day_of(self.clock.now_ns())
        return self.database.read_sync(lambda db: usage_of(db, "p", [subject], since=day, until=day)).get(subject)


@pytest.fixture
async def desk(database, clock):
    made = Desk(database, clock)
    yield made
    await made.limits.close()


async def test_a_key_over_its_requests_is_told_when_to_come_back(desk, clock):
    key = desk.key(rpm=2)
    first = desk.call(key=key)
    await desk.spend(call=first)
    assert first.notes == {
        "x-ratelimit-limit-requests": "2", "x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "1m1s",
    }  # fmt: skip
    clock.advance(seconds=20)
    await desk.spend(key=key)
    third = desk.call(key=key)
    with pytest.raises(RateLimited, match=f"key/{key} may use 2 requests a minute: 2 used, 1 wanted") as refused:
        await desk.admit(third)
    assert 40 <= refused.value.retry_after <= 41
    assert third.notes["x-ratelimit-remaining-requests"] == "0"
    clock.advance(seconds=refused.value.retry_after)
    await desk.spend(key=key)
    await desk.spend(key=desk.key(rpm=1))


async def test_tokens_are_charged_before_and_settled_after(desk):
    desk.say("all", "project", tpm=100)
    leave = await desk.admit(max_tokens=50)
    with pytest.raises(RateLimited, match="tokens a minute"):
        await desk.admit(max_tokens=50)
    leave.settle(Spent(usage=Usage(input_tokens=3, output_tokens=4), cost=0.0))
    leave.settle(Spent(usage=Usage(input_tokens=900, output_tokens=4), cost=0.0))
    again = await desk.admit(max_tokens=50)
    again.release()
    call = desk.call(max_tokens=50)
    await desk.spend(call=call)
    assert int(call.notes["x-ratelimit-remaining-tokens"]) > 20
    with pytest.raises(RateLimited, match="this call alone needs") as refused:
        await desk.admit(max_tokens=500)
    assert refused.value.retry_after is None


async def test_calls_at_a_time_and_a_refusal_by_one_limit_takes_nothing_of_another(desk):
    desk.say("calls", "team/a", concurrency=1)
    desk.say("all", "project", rpm=3)
    leave = await desk.admit(team="a")
    for _ in range(5):
        with pytest.raises(RateLimited, match="team/a may use 1 calls at a time") as refused:
            await desk.admit(team="a")
        assert refused.value.retry_after == 1.0
    leave.release()
    await desk.spend(team="a")
    await desk.spend(team="b")
    with pytest.raises(RateLimited, match="project may use 3 requests"):
        await desk.admit()


async def test_each_user_has_limits_and_one_has_others(desk):
    desk.say("each", "user/*", rpm=1)
    desk.say("ana", "user/ana", rpm=2)
    for user, times in (("bo", 1), ("cy", 1), ("ana", 2)):
        for _ in range(times):
            await desk.spend(user=user)
        with pytest.raises(RateLimited):
            await desk.admit(user=user)


async def test_a_budget_warns_once_and_then_stops_and_outlives_the_process(desk, database, clock):
    desk.say("money", "project", budget={"hard": "1/month", "soft": "50%"})
    await desk.spend(cost=0.4, model=PRICED)
    assert not desk.crossed
    await desk.spend(cost=0.2, model=PRICED)
    await desk.spend(cost=0.2, model=PRICED)
    assert [(each.used, each.is_hard) for each in desk.crossed] == [(600_000_000, False)]
    call = desk.call(model=PRICED)
    await desk.spend(cost=0.199999, call=call)
    assert call.notes["x-tidemill-budget-warning"].startswith("project $0.80")
    with pytest.raises(BudgetExceeded, match="the budget of this month of project is used up") as refused:
        await desk.admit(model=PRICED, max_tokens=1000)
    assert refused.value.retry_after > 86_400
    assert [each.is_hard for each in desk.crossed] == [False, True]
    await desk.limits.close()
    again = Desk(database, clock)
    with pytest.raises(BudgetExceeded):
        await again.admit(model=PRICED, max_tokens=1000)
    assert again.limits.counters is not desk.limits.counters
    assert again.used("project").cost == round(0.999999 * NANO)
    assert again.used("project").refused == 1
    clock.advance(seconds=refused.value.retry_after + 1)
    await again.spend(model=PRICED, cost=0.5)
    await again.limits.close()


async def test_money_that_others_hold_may_come_back(desk):
    desk.say("money", "project", budget="0.01/month")
    leave = await desk.admit(model=PRICED, max_tokens=10_000)
    with pytest.raises(RateLimited, match="may be given back") as refused:
        await desk.admit(model=PRICED, max_tokens=10_000)
    assert refused.value.retry_after == 1.0
    leave.settle(Spent(usage=Usage(input_tokens=3, output_tokens=4), cost=0.00001))
    (await desk.admit(model=PRICED, max_tokens=10_000)).release()


async def test_a_budget_changed_while_it_is_used_holds_from_the_next_call(desk, clock):
    key = desk.key(budget="1/month")
    leave = await desk.admit(key=key)
    await desk.spend(key=key, cost=0.5)
    for limits, wanted in (({"budget": "0.25/month"}, BudgetExceeded), ({"budget": "2/month"}, None), ({}, None)):
        made = read_limits(limits) or None
        desk.database.write_sync(lambda db, made=made: key_limits.change_key(db, "p", key, limits=made, now_ns=clock.now_ns()))
        if wanted is None:
            await desk.spend(key=key)
        else:
            with pytest.raises(wanted):
                await desk.admit(key=key)
    leave.settle(Spent(usage=Usage(input_tokens=3, output_tokens=4), cost=0.1))
    await desk.limits.ledger.flush()
    assert desk.used(f"key/{key}").cost == round(0.6 * NANO)


async def test_a_key_that_is_revoked_in_mid_stream_is_still_charged(desk, clock):
    key = desk.key(rpm=5, budget="1/month")
    leave = await desk.admit(key=key)
    desk.database.write_sync(lambda db: access.revoke_key(db, "p", key, now_ns=clock.now_ns()))
    leave.settle(Spent(usage=Usage(input_tokens=3, output_tokens=4), cost=0.5, cancelled=True))
    await desk.limits.ledger.flush()
    assert desk.used(f"key/{key}").cost == round(0.5 * NANO)


@pytest.mark.parametrize(
    "usage", [Usage(input_tokens=-5, output_tokens=-9), Usage(input_tokens=10**15), Usage(output_tokens=-(10**18))]
)
async def test_a_usage_that_cannot_be_is_bounded_and_noted(desk, usage, caplog):
    desk.say("all", "project", requests={"day": 100}, tokens={"day": 10**9}, budget="5/day")
    leave = await desk.admit()
    leave.settle(Spent(usage=usage, cost=float("nan")))
    assert "a usage that cannot be" in caplog.text
    await desk.limits.ledger.flush()
    used = desk.used("project")
    assert 0 <= used.input_tokens <= 16_000_000
    assert (used.output_tokens, used.cost, used.requests) == (0, 0, 1)
    await desk.spend(cost=-3.0)


@pytest.mark.parametrize("days", [40, -40])
async def test_a_clock_that_jumps_and_comes_back_finds_what_was_spent(desk, clock, days):
    desk.say("all", "project", budget="1/month", requests={"day": 3})
    await desk.spend(cost=0.9)
    leave = await desk.admit()
    ns = clock.ns
    clock.ns += days * 86_400 * 10**9
    await desk.spend(cost=0.9)
    leave.settle(Spent(usage=Usage(input_tokens=1), cost=0.2))
    clock.ns = ns
    with pytest.raises(BudgetExceeded, match=r"\$1.10 of \$1.00"):
        await desk.admit(model=PRICED)


async def test_thousands_of_keys_count_apart(desk):
    desk.say("each", "key/*", rpm=1)
    for number in range(3000):
        await desk.spend(key=f"k{number}")
    with pytest.raises(RateLimited):
        await desk.admit(key="k7")


async def test_what_was_used_stands_under_each_subject_and_day(desk, clock):
    for _ in range(3):
        await desk.spend(key="k", team="t", endpoint="e", cost=0.25)
    clock.advance(seconds=86_400)
    await desk.spend(key="k", cost=1)
    (await desk.admit(key="k")).release()
    await desk.limits.ledger.flush()
    day = day_of(clock.now_ns())
    days = desk.database.read_sync(lambda db: usage_by_day(db, "p", "key/k", since=day - 1, until=day))
    assert [(each.requests, each.input_tokens, each.output_tokens, each.cost) for each in days.values()] == [
        (3, 9, 12, 750_000_000), (2, 3, 4, NANO),
    ]  # fmt: skip
    found = desk.database.read_sync(
        lambda db: usage_of(db, "p", ["team/t", "endpoint/e", "model/m", "project"], since=day - 1, until=day)
    )
    assert {subject: each.requests for subject, each in found.items()} == {
        "team/t": 3, "endpoint/e": 3, "model/m": 5, "project": 5,
    }  # fmt: skip


async def test_counters_that_must_be_asked_and_are_away_let_nothing_through(database, clock):
    class Away:
        async def reserve(self, claims):
            raise Unavailable("away")

    desk = Desk(database, clock, counters=Away())
    desk.say("all", "project", rpm=1)
    with pytest.raises(Unavailable):
        await desk.admit()


async def test_a_budget_that_runs_low_and_out_raises_one_alert_each(database, clock):
    alerting = BudgetAlerts(database=database, clock=clock, ids=Ids(clock=clock))
    for _ in range(2):  # the second is as a server that was started again
        desk = Desk(database, clock)
        desk.limits._on_crossed = alerting
        desk.say("money", "team/a", budget={"hard": "1/day", "soft": "50%"})
        if not desk.used("team/a"):
            await desk.spend(cost=0.7, team="a")
        await desk.spend(cost=0.3, team="a", max_tokens=0)
        with pytest.raises(BudgetExceeded):
            await desk.admit(team="a", model=PRICED)
        await asyncio.gather(*alerting._writing)
        await desk.limits.close()
    found = database.read_sync(lambda db: list_alerts(db, "p")).items
    assert sorted(each.message for each in found) == [
        "the budget of team/a is running low: $0.70 of $0.50 today",
        "the budget of team/a is used up: $1.00 of $1.00 today",
    ]
    assert {each.target for each in found} == {"team/a"}


async def test_a_model_that_counts_exactly_is_asked_before_it_is_turned_away(desk):
    desk.say("all", "project", tpm=60)
    asked = []

    async def count(call):
        asked.append(call)
        return 20

    desk.limits._count_tokens = count
    long = "word " * 40
    leave = await desk.admit(text=long, max_tokens=30)
    assert (len(asked), leave.estimate.input_tokens) == (1, 20)
    with pytest.raises(RateLimited):
        await desk.admit(text=long, max_tokens=30)
    assert len(asked) == 2


async def test_a_price_of_the_project_is_what_a_budget_counts_by(desk):
    prices = {"prices": [{"model": "our-llama", "input": 2.0, "output": 8.0}]}
    desk.database.write_sync(lambda db: put_config(db, "p", "telemetry", "default", None, prices))
    desk.say("money", "project", budget="1/day")
    ours = version(name="ours", provider="openai", model="our-llama")
    leave = await desk.admit(model=ours, max_tokens=100_000)
    assert leave.estimate.cost == pytest.approx(0.8 * NANO, rel=0.01)
    usage = Usage(input_tokens=100_000, output_tokens=50_000)
    leave.settle(Spent(usage=usage, cost=None, provider="openai", served="our-llama"))
    with pytest.raises(BudgetExceeded, match=r"\$0.60 of \$1.00"):
        await desk.admit(model=ours, max_tokens=100_000)
