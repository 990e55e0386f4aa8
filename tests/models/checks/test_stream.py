"""A stream that nothing is found in is the same stream, a little later."""

from __future__ import annotations

import asyncio
import time

import pytest

from tidemill.core.chat import AudioDelta, ChatDelta, ChatResponse, Choice, TokenLogprob, ToolCallDelta, Usage
from tidemill.core.errors import Unavailable
from tidemill.core.parts import Image, Message, Other, Reasoning, Refusal, Text, ToolCall
from tidemill.models.assemble import Assembly
from tidemill.models.checks.guardrail import Guardrail
from tidemill.models.checks.screen import Screen
from tidemill.models.checks.stream import Screened
from tidemill.models.replay import replayed
from tidemill.telemetry.recorder import null_recorder

pytestmark = pytest.mark.anyio

NAME = "anthropic.messages"
ANSWER = ChatResponse(
    message=Message(
        role="assistant",
        parts=(
            Reasoning(text="Let me think of tides. " * 30, signature="sealed"),
            Text(text="It comes " * 100),
            Other(dialect=NAME, value={"type": "server_tool_use", "id": "s", "name": "web_search", "input": {"query": "tide"}}),
            Text(text="at three. " * 40),
            Image(media_type="image/png", data="aGk="),
            ToolCall(id="a", name="look", arguments='{"at": "sea", "n": 1}'),
            ToolCall(id="b", name="look", arguments="{broken"),
        ),
    ),
    finish_reason="tool_calls",
    usage=Usage(input_tokens=9, output_tokens=8),
    model="up-1",
    fingerprint="fp",
    logprobs=(TokenLogprob(token="It", logprob=-0.5),),
    others=(Choice(index=1, message=Message(role="assistant", parts=(Refusal(text="I would rather not."),))),),
    extra={NAME: {"id": "msg_1", "stop_reason": "tool_use"}},
)


def guardrail(*labels, action="redact", **fields):
    async def find(text):
        found = [(label, text.find(label)) for label in labels]
        return [(at, at + len(label), label) for label, at in found if at >= 0]

    return Guardrail(ref="guardrail/g", digest="d", point="output", action=action, find=find, **fields)


def screened(*guardrails):
    span = null_recorder().trace("call", kind="llm", project="p")
    return Screened(Screen(guardrails, span), now=time.monotonic)


async def coming(deltas):
    for each in deltas:
        yield each


async def assembled(guarded, deltas):
    assembly = Assembly()
    async for each in guarded.deltas(coming(deltas)):
        assembly.add(each)
    return assembly.response()


async def test_nothing_is_lost_of_what_is_fine():
    straight = Assembly()
    for each in replayed(ANSWER):
        straight.add(each)
    assert (
        await assembled(
            screened(
                guardrail("kraken"),
            ),
            replayed(ANSWER),
        )
        == straight.response()
    )


async def test_every_kind_of_text_is_read():
    for label, left in (
        ("think of", "Let me [think of] tides."), ("rather", "I would [rather] not."), ("sea", '{"at":"[sea]","n":1}'),
        ("broken", "{[broken]"), ("tide", "'query': '[tide]'"),
    ):  # fmt: skip
        response = await assembled(screened(guardrail(label)), replayed(ANSWER))
        assert left in str(response)
    assert (await assembled(screened(guardrail("think")), replayed(ANSWER))).message.parts[0].signature is None
    assert (await assembled(screened(guardrail("three")), replayed(ANSWER))).message.parts[0].signature == "sealed"


async def test_what_reads_all_sees_the_beginning_and_others_the_end():
    seen = {}

    def noting(name):
        async def find(text):
            seen.setdefault(name, []).append(len(text))
            return ()

        return Guardrail(
            ref=f"guardrail/{name}", digest=name, point="output", action="block", find=find, reads_all=name == "all"
        )

    await assembled(screened(noting("all"), noting("end")), [ChatDelta(text="0123456789")] * 300)
    assert max(seen["all"]) == 3000
    assert max(seen["end"]) <= 700


async def test_sound_is_blocked_where_its_words_would_be_replaced():
    pieces = [ChatDelta(audio=AudioDelta(data="aGk=", transcript="the kraken")), ChatDelta(finish_reason="stop")]
    guarded = screened(guardrail("kraken"))
    response = await assembled(guarded, pieces)
    assert guarded.is_blocked
    assert response.finish_reason == "content_filter"
    assert "aGk=" not in str(response)


async def test_a_call_of_a_tool_without_end_is_given_up():
    piece = ChatDelta(tool_call=ToolCallDelta(index=0, id="a", name="f", arguments="x" * 2**20))
    with pytest.raises(Unavailable, match="longer than 4 MiB"):
        await assembled(screened(guardrail("kraken")), [piece] * 6)


async def test_who_closes_it_stops_the_source():
    closed = asyncio.Event()

    async def endless():
        try:
            yield ChatDelta(text="x" * 600)
            await asyncio.Event().wait()
        finally:
            closed.set()

    deltas = screened(guardrail("kraken")).deltas(endless())
    assert (await anext(deltas)).text.startswith("xxx")
    reading = asyncio.ensure_future(anext(deltas))
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait((reading,))
    await closed.wait()
