"""`/v1/messages` as the stock client sees it."""

import anthropic
import pytest

from serve.platform import serving

pytestmark = pytest.mark.anyio

APP = """
kind: model
name: echo
provider: test
reply: "said: {{input}}"
---
kind: model
name: tooled
provider: test
script:
  - when: weather
    reply: Let me look.
    tool_calls: [{id: t1, name: weather, arguments: {city: Oslo}}, {id: t2, name: clock, arguments: {}}]
  - {when: overloaded, status: 529}
  - {when: breaks, reply: "one two three", after_tokens: 2, status: 500}
---
kind: prompt
name: answer
text: "{{question}}"
---
kind: chain
name: tide
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/answer, model: model/echo, with: {question: "{{question}}"}}
output: "{{answer.text}}"
"""
ASKED = [{"role": "user", "content": "When is high water?"}]
TOOLS = [
    {"name": "weather", "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}}},
    {"name": "clock", "input_schema": {"type": "object", "properties": {}}},
]  # fmt: skip


async def client(platform, key=None):
    made = anthropic.AsyncAnthropic(api_key=key or await platform.key(), base_url=platform.url, max_retries=0)
    return await platform.closing.enter_async_context(made)


async def test_every_kind_of_name_answers_and_is_traced(tmp_path):
    async with serving(tmp_path, APP) as platform:
        release = await platform.deploy("chain/tide", "water")
        api = await client(platform)
        for name in ("water", "endpoint/water", "chain/tide", "model/echo"):
            raw = await api.messages.with_raw_response.create(
                model=name, max_tokens=100, system="Be brief.", messages=ASKED, metadata={"user_id": "ada"}
            )
            answer = await raw.parse()
            assert answer.content[0].text == "said: When is high water?"
            assert (answer.type, answer.role, answer.model, answer.stop_reason) == ("message", "assistant", name, "end_turn")
            assert answer.usage.input_tokens > 0
            assert answer.usage.output_tokens == 5
            assert raw.headers["x-tidemill-trace"] == answer.tidemill["trace"]
        assert answer.tidemill["release"] == raw.headers["x-tidemill-release"]
        roots = [each for each in platform.spans if each.parent_id is None]
        assert {each.user for each in roots} == {"ada"}
        assert roots[0].release == release


async def test_a_stream_has_its_events_in_order(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await client(platform)
        stream = await api.messages.create(
            model="model/tooled", max_tokens=100, messages=[{"role": "user", "content": "weather?"}], tools=TOOLS, stream=True
        )
        events = [each async for each in stream]
        kinds = [each.type for each in events]
        assert kinds[:2] == ["message_start", "content_block_start"]
        assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
        assert [each.content_block.type for each in events if each.type == "content_block_start"] == [
            "text",
            "tool_use",
            "tool_use",
        ]
        async with api.messages.stream(
            model="model/tooled", max_tokens=100, messages=[{"role": "user", "content": "weather?"}], tools=TOOLS
        ) as stream:
            message = await stream.get_final_message()
        assert message.stop_reason == "tool_use"
        assert [(each.name, each.input) for each in message.content[1:]] == [("weather", {"city": "Oslo"}), ("clock", {})]
        assert message.usage.input_tokens == 1
