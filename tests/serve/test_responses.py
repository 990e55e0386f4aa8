"""`/v1/responses` as the stock client sees it."""

import openai
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
  - {when: breaks, reply: "one two three", after_tokens: 2, status: 500}
  - when: weather
    reply: Let me look.
    tool_calls: [{id: t1, name: weather, arguments: {city: Oslo}}, {id: t2, name: clock, arguments: {}}]
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
TOOLS = [
    {"type": "function", "name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
    {"type": "function", "name": "clock", "parameters": {"type": "object", "properties": {}}},
]


class Trip(pydantic.BaseModel):
    city: str
    days: int


async def test_every_kind_of_name_answers_and_is_traced(tmp_path):
    async with serving(tmp_path, APP) as platform:
        release = await platform.deploy("chain/tide", "water")
        api = await platform.client()
        for name in ("water", "endpoint/water", "chain/tide", "model/echo"):
            raw = await api.responses.with_raw_response.create(
                model=name, instructions="Be brief.", input="High water?", user="ada"
            )
            answer = raw.parse()
            assert answer.output_text == "said: High water?"
            assert (answer.status, answer.model, answer.instructions) == ("completed", name, "Be brief.")
            assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens > 0
            assert raw.headers["x-tidemill-trace"] == answer.tidemill["trace"]
        roots = platform.roots
        assert {each.user for each in roots} == {"ada"}
        assert roots[0].release == release


async def test_a_stream_is_numbered_and_every_item_opens_and_closes(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        stream = await api.responses.create(model="model/tooled", input="weather?", tools=TOOLS, stream=True)
        events = [each async for each in stream]
        assert [each.sequence_number for each in events] == list(range(len(events)))
        kinds = [each.type.removeprefix("response.") for each in events]
        assert kinds[:4] == ["created", "in_progress", "output_item.added", "content_part.added"]
        closing = ["output_text.done", "content_part.done", "output_item.done"]
        assert [each for each in kinds if each in closing] == [*closing, "output_item.done", "output_item.done"]
        assert kinds[-1] == "completed"
        output = events[-1].response.output
        assert [each.type for each in output] == ["message", "function_call", "function_call"]
        added = [each for each in events if each.type == "response.output_item.added"]
        assert [each.item.id for each in added] == [each.id for each in output]
        async with api.responses.stream(model="model/tooled", input="weather?", tools=TOOLS) as stream:
            final = await stream.get_final_response()
        assert [(each.name, each.arguments) for each in final.output[1:]] == [("weather", '{"city":"Oslo"}'), ("clock", "{}")]


async def test_the_answers_of_tools_come_back(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        asked = [{"role": "user", "content": [{"type": "input_text", "text": "weather?"}]}]
        first = await api.responses.create(model="model/tooled", input=asked, tools=TOOLS)
        results = [
            {"type": "function_call_output", "call_id": each.call_id, "output": f"{each.name} is fine"}
            for each in first.output
            if each.type == "function_call"
        ]
        asked += [each.model_dump() for each in first.output] + results
        second = await api.responses.create(model="model/tooled", input=asked, tools=TOOLS)
        assert second.output_text == "clock is fine"


async def test_a_schema_is_parsed(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        answer = await api.responses.parse(model="model/json", input="Plan", text_format=Trip)
        assert answer.output_parsed == Trip(city="Oslo", days=2)


async def test_what_was_cut_short_is_incomplete(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        answer = await api.responses.create(model="model/echo", input="one two three four", max_output_tokens=2)
        assert (answer.status, answer.incomplete_details.reason) == ("incomplete", "max_output_tokens")
        stream = await api.responses.create(model="model/echo", input="one two three", max_output_tokens=2, stream=True)
        assert [each.type async for each in stream][-1] == "response.incomplete"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True}, "background"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "input[0]"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"temperature": "warm"}, "temperature"),
    ],
)
async def test_what_needs_kept_answers_and_what_is_wrong_is_refused_with_its_place(tmp_path, given, param):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        with pytest.raises(openai.BadRequestError) as caught:
            await api.responses.create(**{"model": "model/echo", "input": "x", **given})
        assert caught.value.param == param


async def test_a_stream_that_breaks_fails_and_raises(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        stream = await api.responses.create(model="model/tooled", input="breaks", stream=True)
        seen = []

        async def read():
            async for each in stream:
                seen.append(each)  # noqa: PERF401  (what came before the error counts)

        with pytest.raises(openai.APIError):
            await read()
        assert seen[-1].type == "response.failed"
        assert seen[-1].response.output[0].content[0].text == "one two"


async def test_an_answer_is_not_kept_and_that_is_said(tmp_path):
    async with serving(tmp_path, APP) as platform:
        api = await platform.client()
        answer = await api.responses.create(model="model/echo", input="x", store=True)
        assert answer.store is False
        with pytest.raises(openai.NotFoundError, match="not kept"):
            await api.responses.retrieve(answer.id)
