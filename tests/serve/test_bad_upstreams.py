"""Every way in which an upstream fails: before the first token another answers, after it the caller is told."""

from __future__ import annotations

import asyncio

import pytest

from serve.platform import PROJECT
from serve.routed import SAID, ask, model, world
from tidemill.store import access
from tidemill.telemetry import genai
from tidemill.testing.misbehaviour import BEHAVIOURS
from tidemill.testing.upstreams import closed_url

pytestmark = pytest.mark.anyio

ROUTE = """
kind: route
name: answers
targets: [model/bad, model/good]
timeout: 1s
first_token: 1s
longest: 1s
"""


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("behaviour", BEHAVIOURS)
async def test_a_healthy_target_answers_in_its_place(tmp_path, behaviour, stream):
    fault = BEHAVIOURS[behaviour].fault
    async with world(tmp_path, behaviour, "trickle") as (platform, upstreams, http):
        bad, good = upstreams.values() if len(upstreams) == 2 else (*upstreams.values(),) * 2
        await platform.apply(model("bad", bad, timeout=1) + model("good", good) + ROUTE)
        async with asyncio.timeout(20):
            reply = await ask(http, platform.url, "route/answers", stream=stream, key=await platform.key())
    assert reply.status == 200, reply.error
    attempts = [each for each in platform.spans if genai.ATTEMPT in each.attributes]
    if fault == "none" or (fault == "within" and not stream and behaviour != "never_ends"):
        assert (reply.text, reply.headers["x-tidemill-target"], reply.headers["x-tidemill-attempts"]) == (
            SAID,
            "model/bad",
            "1",
        )
        assert [each.status for each in attempts] == ["ok"]
    elif fault == "within" and stream:
        assert reply.text
        assert reply.text != SAID
        if behaviour == "error_within":
            assert reply.error["message"] == "the engine stopped", "in the provider's own words"
        else:
            assert "had begun" in reply.error["message"], "the caller is told why nothing else was asked"
        assert [each.name for each in attempts] == ["model/bad"], "after the first token no other is asked"
        assert attempts[0].attributes[genai.FAILURE]
    else:
        assert (reply.text, reply.headers["x-tidemill-target"], reply.headers["x-tidemill-attempts"]) == (
            SAID,
            "model/good",
            "2",
        )
        failed, served = attempts
        assert (failed.name, failed.status, served.name, served.status) == ("model/bad", "error", "model/good", "ok")
        assert failed.error
        assert served.attributes[genai.WHY] == f"after {failed.attributes[genai.FAILURE]}"


async def test_where_nothing_listens_another_answers(tmp_path):
    async with world(tmp_path, "answers") as (platform, upstreams, http):
        await platform.apply(model("bad", closed_url()) + model("good", upstreams["answers"]) + ROUTE)
        reply = await ask(http, platform.url, "route/answers", key=await platform.key())
    assert (reply.text, reply.headers["x-tidemill-target"]) == (SAID, "model/good")
    failed = next(each for each in platform.spans if each.name == "model/bad")
    assert failed.attributes[genai.FAILURE] == "connection"


async def test_when_nobody_is_healthy_it_says_what_each_said(tmp_path):
    async with world(tmp_path, "fails", "limits") as (platform, upstreams, http):
        await platform.apply(model("bad", upstreams["fails"]) + model("good", upstreams["limits"]) + ROUTE)
        reply = await ask(http, platform.url, "route/answers", key=await platform.key())
    assert reply.status == 503
    assert "model/bad" in reply.error["message"]
    assert "model/good" in reply.error["message"]
    assert int(reply.headers["retry-after"]) >= 1


async def test_a_dying_provider_is_not_hammered(tmp_path):
    async with world(tmp_path, "fails", "answers") as (platform, upstreams, http):
        await platform.apply(
            model("bad", upstreams["fails"]) + model("good", upstreams["answers"]) + ROUTE + "breaker: {pause: 1m}\n"
        )
        key = await platform.key()
        replies = [await ask(http, platform.url, "route/answers", key=key) for _ in range(60)]
    assert {each.text for each in replies} == {SAID}
    assert upstreams["fails"].asked["fails"] == 5, "the breaker opens after five"


async def test_the_slower_of_two_is_stopped_and_counted(tmp_path):
    hedged = ROUTE + "hedge: {after: 50ms, share: 1}\n"
    async with world(tmp_path, "hangs_before", "answers") as (platform, upstreams, http):
        await platform.apply(model("bad", upstreams["hangs-before"]) + model("good", upstreams["answers"]) + hedged)
        key = await platform.key()
        for stream in (False, True):
            platform.spans.clear()
            upstreams["hangs-before"].left.clear()
            reply = await ask(http, platform.url, "route/answers", stream=stream, key=key)
            assert (reply.text, reply.headers["x-tidemill-target"]) == (SAID, "model/good")
            async with asyncio.timeout(5):
                await upstreams["hangs-before"].left.wait()
            slow = next(each for each in platform.spans if each.name == "model/bad")
            assert slow.attributes[genai.ESTIMATED] is True
            assert slow.usage.input_tokens > 0
            quick = next(each for each in platform.spans if each.name == "model/good")
            assert quick.attributes[genai.WHY] == "hedge: model/bad is slow"


async def test_a_session_stays_and_a_canary_takes_its_share(tmp_path):
    route = "{kind: route, name: answers, targets: [model/one, {model: model/two, weight: 3}], sticky: session}"
    async with world(tmp_path, "answers") as (platform, upstreams, http):
        await platform.apply(model("one", upstreams["answers"]) + model("two", upstreams["answers"]) + route)
        key = await platform.key()
        found = {}
        for session in [f"s{each}" for each in range(12)] * 2:
            reply = await ask(http, platform.url, "route/answers", key=key, headers={"x-tidemill-session": session})
            assert found.setdefault(session, reply.headers["x-tidemill-target"]) == reply.headers["x-tidemill-target"]
    assert set(found.values()) == {"model/one", "model/two"}


async def test_a_chain_goes_through_a_route_and_its_release_locks_the_models(tmp_path):
    chain = """
---
kind: chain
name: ask
inputs: {question: string}
steps: [{id: answer, prompt: prompt/ask, model: route/answers, with: {question: "{{question}}"}}]
output: "{{answer.text}}"
---
{kind: prompt, name: ask, text: "{{question}}"}
"""
    async with world(tmp_path, "fails", "answers") as (platform, upstreams, http):
        await platform.apply(model("bad", upstreams["fails"]) + model("good", upstreams["answers"]) + ROUTE + chain)
        digest = await platform.deploy("chain/ask", "ask")
        reply = await ask(http, platform.url, "endpoint/ask", key=await platform.key())
        from tidemill.store import release

        lock = await platform.database.read(lambda db: release.get_release(db, "tide", digest).lock)
    assert reply.text == SAID
    assert {"chain/ask", "prompt/ask", "route/answers", "model/bad", "model/good"} == set(lock["artifacts"])
    assert [each.name for each in platform.spans if genai.ATTEMPT in each.attributes] == ["model/bad", "model/good"]


async def test_a_deadline_holds_for_all_attempts_together(tmp_path):
    route = "{kind: route, name: answers, targets: [model/bad, model/good], timeout: 1m}"
    async with world(tmp_path, "hangs_before", "answers") as (platform, upstreams, http):
        await platform.apply(model("bad", upstreams["hangs-before"], timeout=60) + model("good", upstreams["answers"]) + route)
        key = await platform.key()
        reply = await ask(http, platform.url, "route/answers", key=key, headers={"x-tidemill-timeout": "4"})
        assert (reply.text, reply.headers["x-tidemill-target"]) == (SAID, "model/good")
        upstreams["answers"].behaviour = "hangs_before"
        late = await ask(http, platform.url, "route/answers", key=key, headers={"x-tidemill-timeout": "1"})
    assert late.status == 504, late.error
    assert "timeout" in [each.attributes.get(genai.FAILURE) for each in platform.spans if each.name == "model/bad"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_request_goes_on_as_it_began_when_its_route_and_its_key_are_changed(tmp_path, stream):
    async with world(tmp_path, "hangs_before", "answers") as (platform, upstreams, http):
        bad, good = upstreams["hangs-before"], upstreams["answers"]
        await platform.apply(model("bad", bad) + model("good", good) + ROUTE)
        key = await platform.key()
        asking = asyncio.create_task(ask(http, platform.url, "route/answers", stream=stream, key=key))
        async with asyncio.timeout(20):
            while not bad.under_way:  # noqa: ASYNC110  (the upstream has no event for it)
                await asyncio.sleep(0.01)
        await platform.apply("{kind: route, name: answers, targets: [model/bad]}")
        await platform.database.write(
            lambda db: access.revoke_key(db, PROJECT, key.split("_")[1], now_ns=platform.clock.now_ns())
        )
        reply = await asking
        assert (reply.status, reply.text, reply.headers["x-tidemill-target"]) == (200, SAID, "model/good")
        late = await ask(http, platform.url, "route/answers", key=key)
        assert late.status == 401
