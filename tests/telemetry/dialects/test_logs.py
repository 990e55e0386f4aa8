"""What real libraries said in log records, beside their spans: it is read with the span that it belongs to."""

from __future__ import annotations

import pytest

from telemetry.dialects.reading import RECORDED, raw_spans
from tidemill.core.clock import SystemClock
from tidemill.telemetry.intake import Intake
from tidemill.telemetry.store import Telemetry

pytest.importorskip("chdb", reason="needs the extra analytics")
pytestmark = pytest.mark.anyio


@pytest.fixture(params=["spans first", "log records first"])
async def calls(request, tmp_path):
    """The calls of models of a recording, as their traces are shown."""

    async def read(name):
        files = [RECORDED / f"{name}.json", RECORDED / "logs" / f"{name}.json"]
        for file in files if request.param == "spans first" else reversed(files):
            taken = await Intake(telemetry, clock=SystemClock()).file("p", file.read_bytes(), name=file.name)
            assert (taken.rejected, taken.message) == (0, "")
            await telemetry.flush()
        traces = dict.fromkeys(each.trace_id for each in sorted(raw_spans(files[0]), key=lambda span: span.start_ns))
        shown = [span for trace in traces for span in (await telemetry.get_trace("p", trace))["spans"]]
        assert {each["id"] for each in shown} == {each.span_id for each in raw_spans(files[0])}  # no record is left alone
        return [each for each in shown if each["kind"] == "llm"]

    async with Telemetry(tmp_path) as telemetry:
        yield read


def said(messages):
    return [(each["role"], each["content"]) for each in messages["messages"]]


async def test_openais_client(calls):
    first, second, third, streamed, refused = await calls("openai_v2")
    assert said(first["input"]) == [("system", "Be brief."), ("user", "What is a tide mill?")]
    assert said(first["output"]) == [("assistant", "A tide mill grinds by the tide.")]
    (call,) = second["output"]["messages"][0]["tool_calls"]
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city":"Paris"}')
    assert [each["role"] for each in third["input"]["messages"]] == ["user", "assistant", "tool"]
    assert third["input"]["messages"][2]["tool_call_id"] == call["id"]
    assert streamed["input"]["messages"][0]["content"][1] == {"type": "image", "url": "https://example.com/mill.png"}
    assert said(streamed["output"]) == [("assistant", "Hello!")]
    assert (said(refused["input"]), refused["output"], refused["status"]) == ([("user", "fail")], None, "error")
    assert [each["name"] for each in first["events"]] == ["gen_ai.system.message", "gen_ai.user.message", "gen_ai.choice"]


async def test_semantic_kernel(calls):
    hello, asked, answered, *_ = await calls("semantic_kernel")
    assert (said(hello["input"]), said(hello["output"])) == ([("user", "Say hello to Ada")], [("assistant", "Hello!")])
    assert said(asked["input"]) == [("system", "Be brief."), ("user", "What is the weather in Paris?")]
    (call,) = asked["output"]["messages"][0]["tool_calls"]
    assert call["name"] == "weather-get_weather"
    assert [each["role"] for each in answered["input"]["messages"]] == ["system", "user", "assistant", "tool"]
    assert said(answered["output"]) == [("assistant", "It is 18 degrees in Paris.")]
