"""`/v1/messages` as the stock client sees it."""

import anthropic
import anyio
import pydantic
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
name: json
provider: test
reply: '{"city": "Oslo", "days": 2}'
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
        roots = platform.roots
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


async def test_the_answers_of_tools_come_back_with_pictures_and_thoughts(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await client(platform)
        said = [
            {"role": "user", "content": [{"type": "text", "text": "weather?", "cache_control": {"type": "ephemeral"}}]},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "I have to look.", "signature": "c2VhbA=="},
                    {"type": "redacted_thinking", "data": "b3BhcXVl"},
                    {"type": "tool_use", "id": "t1", "name": "weather", "input": {"city": "Oslo"}},
                ],
            },
            {
                "role": "user",
                "content": [
                    {
                        "type": "tool_result",
                        "tool_use_id": "t1",
                        "content": [
                            {"type": "text", "text": "It rains."},
                            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
                        ],
                    },
                    {"type": "text", "text": "So?"},
                    {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "notes"}, "title": "N"},
                ],
            },
        ]
        answer = await api.messages.create(
            model="model/echo",
            max_tokens=100,
            system=[{"type": "text", "text": "Be brief."}],
            messages=said,
            tools=TOOLS,
            tool_choice={"type": "any", "disable_parallel_tool_use": True},
            thinking={"type": "enabled", "budget_tokens": 2000},
            stop_sequences=["END"],
            extra_headers={"anthropic-version": "2023-06-01"},
        )
        assert answer.content[0].text == "said: So?"
        shown = platform.roots[0].input
        assert [each["role"] for each in shown] == ["system", "user", "assistant", "tool", "user"]
        assert [each["type"] for each in shown[2]["content"]] == ["reasoning", "reasoning", "tool_call"]
        assert [each["type"] for each in shown[3]["content"][0]["parts"]] == ["text", "image"]


def test_the_synchronous_client_works_too(tmp_path):
    """In a thread of its own, beside the server's loop."""

    def ask(url, key):
        api = anthropic.Anthropic(api_key=key, base_url=url, max_retries=0)
        with api, api.messages.stream(model="model/echo", max_tokens=100, messages=ASKED) as stream:
            return "".join(stream.text_stream)

    async def work():
        async with serving(tmp_path, APP) as platform:
            return await anyio.to_thread.run_sync(ask, platform.url, await platform.key())

    assert anyio.run(work) == "said: When is high water?"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"tools": [{"name": "x"}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "perhaps"}}, "tool_choice.type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop_sequences": [1]}, "stop_sequences"),
    ],
)
async def test_bad_input_is_refused_in_the_shape_of_the_dialect(tmp_path, given, param):
    async with serving(tmp_path, APP) as platform:
        http = await platform.http()
        answer = await http.post("/v1/messages", json={"model": "model/echo", "max_tokens": 9, "messages": ASKED, **given})
        assert answer.status_code == 400
        body = answer.json()
        assert (body["type"], body["error"]["type"]) == ("error", "invalid_request_error")
        assert body["error"]["param"] == param


async def test_errors_have_the_statuses_of_the_dialect(tmp_path):
    async with serving(tmp_path, APP, max_body=2000) as platform:
        api = await client(platform)

        async def asked(text, model="model/tooled"):
            return await api.messages.create(model=model, max_tokens=9, messages=[{"role": "user", "content": text}])

        with pytest.raises(anthropic.NotFoundError):
            await asked("x", model="model/nowhere")
        with pytest.raises(anthropic.APIStatusError) as caught:
            await asked("overloaded")
        assert (caught.value.status_code, caught.value.body["error"]["type"]) == (529, "overloaded_error")
        with pytest.raises(anthropic.RequestTooLargeError):
            await asked("x" * 3000)
        with pytest.raises(anthropic.AuthenticationError):
            await (await client(platform, key="tm_no_key")).messages.create(model="model/echo", max_tokens=9, messages=ASKED)


async def test_a_stream_that_breaks_ends_with_an_error_that_the_client_raises(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await client(platform)
        stream = await api.messages.create(
            model="model/tooled", max_tokens=99, messages=[{"role": "user", "content": "breaks"}], stream=True
        )
        seen = []

        async def read():
            async for each in stream:
                seen.append(each.type)  # noqa: PERF401  (what came before the error counts)

        with pytest.raises(anthropic.APIStatusError):
            await read()
        assert seen.count("content_block_delta") == 2


class Trip(pydantic.BaseModel):
    city: str
    days: int


async def test_a_schema_is_parsed(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await client(platform)
        answer = await api.messages.parse(model="model/json", max_tokens=99, messages=ASKED, output_format=Trip)
        assert answer.parsed_output == Trip(city="Oslo", days=2)


async def test_models_are_listed_for_clients_of_this_dialect_too(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await client(platform)
        listed = [each async for each in api.models.list()]
        assert [each.id for each in listed] == ["chain/tide", "model/echo", "model/json", "model/tooled"]
        one = await api.models.retrieve("model/echo")
        assert (one.type, one.display_name, one.created_at.year > 2020) == ("model", "model/echo", True)


UNSAID = """
kind: model
name: strict
provider: test
---
kind: model
name: lenient
provider: test
unsupported: drop
"""


async def test_what_a_provider_has_no_word_for_is_refused_or_left_out_as_the_model_says(tmp_path):
    search = {"type": "web_search_20250305", "name": "web_search"}
    asked = {"max_tokens": 9, "messages": ASKED, "tools": [search], "service_tier": "auto"}
    async with serving(tmp_path, UNSAID) as platform:
        api = await client(platform)
        with pytest.raises(anthropic.BadRequestError, match="has no tools") as caught:
            await api.messages.create(model="model/strict", **asked)
        assert caught.value.body["error"]["param"] == "tools"
        assert "unsupported: drop" in caught.value.body["error"]["message"]
        answer = await api.messages.create(model="model/lenient", **asked)
        assert answer.content[0].text == "When is high water?"
