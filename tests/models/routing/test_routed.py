"""Attempts as a route decides them: hedged, held, probed, stopped."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from models.calls import ask
from tidemill.core.chat import ChatResponse, Usage
from tidemill.core.clock import SystemClock
from tidemill.core.errors import DeadlineExceeded, Denied, Invalid, MissingExtra, RateLimited, Unavailable
from tidemill.core.parts import Message
from tidemill.core.records import Version
from tidemill.models.caller import Caller
from tidemill.models.calls import Call, Spent
from tidemill.models.passage import Passage
from tidemill.models.retry import RetryPolicy
from tidemill.models.routed import Routes
from tidemill.models.routing.kind import RouteKind
from tidemill.models.stream import ChatResult
from tidemill.telemetry import genai

pytestmark = pytest.mark.anyio
QUICK = RetryPolicy(first_delay=0.001, longest_delay=0.01)


def model(name: str) -> Version:
    spec = {"provider": "test", "model": name}
    return Version(project="p", kind="model", name=name, number=1, digest=f"sha256:{name}", spec=spec)


def route(*targets, **body) -> Version:
    parsed = RouteKind().parse({"targets": list(targets) or ["model/a", "model/b"], **body}, files=None)
    refs = {each: f"sha256:{each.removeprefix('model/')}" for each in parsed.references.values()}
    return Version(project="p", kind="route", name="r", number=1, digest=f"sha256:{len(body)}", spec=parsed.spec, refs=refs)


@dataclass
class Answers:
    """An attempt that does for each model what is written for it: an error, a text, or a wait before either."""

    what: dict[str, list]
    asked: list[str] = field(default_factory=list)
    both: asyncio.Event = field(default_factory=asyncio.Event)
    discarded: list[str] = field(default_factory=list)

    async def __call__(self, version, /, *, timeout=None):
        self.asked.append(version.name)
        if len(self.asked) == 2:
            self.both.set()
        for step in self.what[version.name]:
            if isinstance(step, asyncio.Event):
                await step.wait()
            elif isinstance(step, Exception):
                raise step
            else:
                return step
        return version.name

    async def discard(self, opened, /):
        self.discarded.append(opened)

    def filtered(self, opened, /):
        return opened == "filtered"


class Direct:
    async def run(self, call, attempt):
        raise AssertionError("not a route")

    def settled(self, call, version, spent, *, seconds):
        raise AssertionError("not a route")


async def version_of(project, ref):
    return model(ref.name)


def routes(**options) -> Routes:
    return Routes(direct=Direct(), version_of=version_of, retry=QUICK, **options)


def call_of(version: Version, traced, *, stream=False, **caller) -> Call:
    return Call(
        operation="chat", model=version, caller=Caller(project="p", environment="e", **caller), span=traced.span(), started=0.0,
        stream=stream, request=ask("hello"),
    )  # fmt: skip


async def test_a_failure_is_told_with_its_kind_and_the_next_answers(traced):
    router, call = routes(), call_of(route(), traced)
    found = await router.run(call, Answers({"a": [Unavailable("down", kind="overloaded")], "b": []}))
    router.settled(call, found.model, Spent(usage=Usage(input_tokens=3), cost=0.5), seconds=0.1)
    assert (found.answer, found.model.name, found.attempts) == ("b", "b", 2)
    assert call.notes == {"x-tidemill-target": "model/b", "x-tidemill-attempts": "2"}
    failed, served = traced.records
    assert (failed.error, failed.attributes[genai.FAILURE]) == ("down", "overloaded")
    assert (served.cost, served.usage.input_tokens, served.attributes[genai.WHY]) == (0.5, 3, "after overloaded")


async def test_a_provider_that_crashes_does_not_take_the_request_with_it(traced, caplog):
    found = await routes().run(call_of(route(), traced), Answers({"a": [KeyError("choices")], "b": []}))
    assert found.answer == "b"
    assert "no provider should" in caplog.text


async def test_what_is_wrong_with_the_request_is_said_as_it_was_said(traced):
    wrong = Invalid("no such parameter", kind="invalid")
    answers = Answers({"a": [wrong], "b": []})
    with pytest.raises(Invalid) as caught:
        await routes().run(call_of(route(), traced), answers)
    assert caught.value is wrong
    assert answers.asked == ["a"]


async def test_a_rate_limit_everywhere_says_when_to_come_back(traced):
    answers = Answers({name: [RateLimited("slow down", retry_after=wait)] for name, wait in (("a", 30.0), ("b", 20.0))})
    with pytest.raises(RateLimited) as caught:
        await routes().run(call_of(route(), traced), answers)
    assert caught.value.retry_after == 20.0
    assert answers.asked == ["a", "b"]


async def test_a_filtered_answer_is_held_until_another_is_whole(traced):
    version = route("model/a", {"model": "model/b", "after": ["content_filter"]})
    answers = Answers({"a": ["filtered"], "b": []})
    assert (await routes().run(call_of(version, traced), answers)).answer == "b"
    assert answers.discarded == ["filtered"]

    answers = Answers({"a": ["filtered"], "b": [Unavailable("down", kind="server")]})
    router, call = routes(), call_of(version, traced)
    found = await router.run(call, answers)
    router.settled(call, found.model, Spent(usage=Usage(), cost=None), seconds=0.1)
    assert (found.answer, answers.discarded) == ("filtered", []), "better than nothing"

    usual = Answers({"a": ["filtered"], "b": []})
    assert (await routes().run(call_of(route(), traced), usual)).answer == "filtered", "unless the route says so"


async def test_the_slower_of_two_is_cancelled_and_its_cost_is_counted(traced):
    version = route("model/a", "model/b", hedge={"after": 0.01, "share": 1.0})
    router, call = routes(), call_of(version, traced)
    found = await router.run(call, Answers({"a": [asyncio.Event()], "b": []}))
    assert (found.answer, found.attempts) == ("b", 2)
    lost = traced.records[0]
    assert (lost.name, lost.error, lost.usage.input_tokens) == ("model/a", "another was quicker", 1)
    assert lost.attributes[genai.ESTIMATED] is True
    shown = (await router.show(version, project="p", environment="e"))["targets"]
    assert [each["lost"] for each in shown] == [1, 0]
    assert [each["hedged"] for each in shown] == [0, 1]


async def test_two_answers_in_one_moment_leave_one(traced):
    together = asyncio.Event()
    version = route("model/a", "model/b", hedge={"after": 0.01, "share": 1.0})
    answers = Answers({"a": [together], "b": [together]})
    running = asyncio.create_task(routes().run(call_of(version, traced), answers))
    await answers.both.wait()
    together.set()
    found = await running
    assert {found.answer, *answers.discarded} == {"a", "b"}


async def test_a_caller_who_leaves_stops_every_attempt(traced):
    version = route("model/a", "model/b", hedge={"after": 0.01, "share": 1.0})
    answers = Answers({"a": [asyncio.Event()], "b": [asyncio.Event()]})
    router = routes()
    running = asyncio.create_task(router.run(call_of(version, traced), answers))
    await answers.both.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert [each.error for each in traced.records] == ["cancelled", "cancelled"]
    shown = (await router.show(version, project="p", environment="e"))["targets"]
    assert [(each["outstanding"], each["breaker"]) for each in shown] == [(0, "closed"), (0, "closed")]


async def test_a_stream_that_breaks_off_counts_against_its_target(traced):
    version = route("model/a", "model/b", breaker={"failures": 1})
    router, call = routes(), call_of(version, traced, stream=True)
    found = await router.run(call, Answers({"a": [], "b": []}))
    broken = Unavailable("the stream ended early", kind="connection")
    router.settled(call, found.model, Spent(usage=Usage(), cost=None, error=broken), seconds=1.0)
    assert call.caller.deadline is not None, "no stream goes on for ever"
    shown = (await router.show(version, project="p", environment="e"))["targets"]
    assert [each["breaker"] for each in shown] == ["open", "closed"]
    assert traced.records[0].attributes[genai.FAILURE] == "connection"


async def test_a_stream_that_its_caller_has_no_more_time_for_says_nothing_of_its_target(traced):
    version = route("model/a", breaker={"failures": 1})
    router = routes()
    for deadline, breaker in ((SystemClock().monotonic() + 5, "closed"), (None, "open")):
        call = call_of(version, traced, stream=True, deadline=deadline)
        found = await router.run(call, Answers({"a": []}))
        late = DeadlineExceeded("the time that the caller allows is over", kind="timeout")
        router.settled(call, found.model, Spent(usage=Usage(), cost=None, error=late), seconds=5.0)
        assert (await router.show(version, project="p", environment="e"))["targets"][0]["breaker"] == breaker


async def test_a_health_probe_closes_the_breaker_without_a_caller(traced):
    pinged, well = asyncio.Event(), asyncio.Event()

    async def ping(version, project, environment):
        assert (version.name, project, environment) == ("a", "p", "e")
        pinged.set()
        if not well.is_set():
            raise Unavailable("still down", kind="server")

    version = route(breaker={"failures": 1, "pause": 0.01, "longest": 0.01}, health={"every": 1})
    router = routes(ping=ping)
    await router.run(call_of(version, traced), Answers({"a": [Unavailable("down", kind="server")], "b": []}))
    await asyncio.wait_for(pinged.wait(), 10)
    well.set()
    async with asyncio.timeout(10):  # the next probe closes it
        while (await router.show(version, project="p", environment="e"))["targets"][0]["breaker"] != "closed":  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await router.close()


async def test_closing_stops_the_probes(traced):
    version = route(breaker={"failures": 1}, health={})
    router = routes(ping=lambda *_: asyncio.Event().wait())
    await router.run(call_of(version, traced), Answers({"a": [Denied("wrong key")], "b": []}))
    assert router._healing.under_way == 1
    await router.close()
    assert router._healing.under_way == 0


async def test_a_language_needs_what_tells_it(traced):
    version = route({"model": "model/a", "when": 'language == "de"'}, "model/b")
    with pytest.raises(MissingExtra):
        await routes().run(call_of(version, traced), Answers({"a": [], "b": []}))
    router = routes(language_of=lambda text: "de" if text == "hello" else "")
    assert (await router.run(call_of(version, traced), Answers({"a": [], "b": []}))).answer == "a"


async def test_what_the_slower_of_two_cost_is_settled_with_the_answer(traced):
    settled = []

    class Permit:
        def settle(self, spent):
            settled.append(spent)

        def release(self):
            raise AssertionError("an answer was given")

    class Limiter:
        async def admit(self, call):
            return Permit()

    version = route(
        {"model": "model/a", "price": {"input": 1_000_000, "output": 0}}, "model/b", hedge={"after": 0.01, "share": 1.0}
    )
    call = call_of(version, traced)
    router = routes()
    passage = Passage(call, router, SystemClock())
    await passage.enter(Limiter(), None)
    found = await router.run(call, Answers({"a": [asyncio.Event()], "b": []}))
    response = ChatResponse(message=Message.of("assistant", "yes"), usage=Usage(input_tokens=1, output_tokens=1))
    result = ChatResult(
        response=response,
        cost=0.25,
        latency_ms=1.0,
        first_token_ms=None,
        connection="b",
        attempts=found.attempts,
        model="model/b",
    )
    passage.finished(result, model=found.model, provider="test")
    assert [each.cost for each in settled] == [1.25], "a token in, at a dollar each, and the answer"
    assert traced.records[-1].cost == 0.25


async def test_a_model_that_was_added_with_its_context_needs_no_word_of_it_in_the_route(traced):
    async def with_tags(project, ref):
        return replace(model(ref.name), tags={"context": "10" if ref.name == "a" else "100000"})

    router = Routes(direct=Direct(), version_of=with_tags, retry=QUICK)
    call = call_of(route(), traced)
    call.request = ask("x" * 400)
    assert (await router.run(call, Answers({"a": [], "b": []}))).answer == "b"


async def test_a_new_route_is_compiled_once_for_all_that_come_in_that_moment(traced):
    found = []

    async def counted(project, ref):
        found.append(ref.name)
        await asyncio.sleep(0)
        return model(ref.name)

    router = Routes(direct=Direct(), version_of=counted, retry=QUICK)
    version = route()
    answers = Answers({"a": [], "b": []})
    await asyncio.gather(*(router.run(call_of(version, traced), answers) for _ in range(20)))
    assert found == ["a", "b"]


async def test_a_target_that_all_left_alone_answers_the_next_request(traced):
    version = route("model/a", breaker={"failures": 1, "pause": "60s"}, fallback={"retries": 0})
    router = routes()
    with pytest.raises(Unavailable):
        await router.run(call_of(version, traced), Answers({"a": [Unavailable("down", kind="server")]}))
    well = Answers({"a": []})
    calls = [call_of(version, traced) for _ in range(5)]
    for call, each in zip(calls, await asyncio.gather(*(_served(router, each, well) for each in calls)), strict=True):
        assert (call.notes["x-tidemill-target"], each) == ("model/a", "a")
    shown = (await router.show(version, project="p", environment="e"))["targets"]
    assert shown[0]["breaker"] == "closed"


async def _served(router, call, answers):
    found = await router.run(call, answers)
    router.settled(call, found.model, Spent(usage=Usage(), cost=None), seconds=0.01)
    return found.answer
