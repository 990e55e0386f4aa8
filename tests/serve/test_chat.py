"""The data plane as the stock client sees it."""

import json

import openai
import pytest

from serve.platform import ADMIN, serving

pytestmark = pytest.mark.anyio

APP = """
kind: model
name: echo
provider: test
reply: "said: {{input}}"
---
kind: prompt
name: answer
text: "{{question}} / {{context}}"
---
kind: chain
name: tide
inputs: {question: string, context: {type: string, default: none}}
steps:
  - {id: answer, prompt: prompt/answer, model: model/echo, with: {question: "{{question}}", context: "{{context}}"}}
output: "{{answer.text}}"
"""
QUESTION = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "When is high water?"}]


async def test_an_endpoint_answers_the_last_user_message(tmp_path):
    async with serving(tmp_path, APP) as platform:
        release = await platform.deploy("chain/tide", "tide")
        client = await platform.client()
        raw = await client.chat.completions.with_raw_response.create(
            model="endpoint/tide",
            messages=QUESTION,
            extra_headers={"x-tidemill-user": "ada", "x-tidemill-session": "s1", "x-tidemill-tags": "a, b"},
            extra_body={"metadata": {"inputs": {"context": "It is spring tide."}}},
        )
        answer = raw.parse()
        assert answer.choices[0].message.content == "said: When is high water? / It is spring tide."
        assert answer.choices[0].message.role == "assistant"
        assert answer.choices[0].finish_reason == "stop"
        assert (answer.object, answer.model) == ("chat.completion", "endpoint/tide")
        assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0
        assert raw.headers["x-tidemill-release"] == release == answer.tidemill["release"]
        assert raw.headers["x-tidemill-cache"] == "off"
        assert float(raw.headers["x-tidemill-cost"]) == 0
        root = platform.roots[0]
        assert raw.headers["x-tidemill-trace"] == root.trace_id == answer.tidemill["trace"]
        assert (root.release, root.endpoint, root.status) == (release, "tide", "ok")
        assert (root.user, root.session, root.tags) == ("ada", "s1", ("a", "b"))
        assert {each.kind for each in platform.spans} == {"chain", "llm"}


async def test_every_kind_of_name_answers(tmp_path):
    async with serving(tmp_path, APP) as platform:
        await platform.deploy("chain/tide", "water")
        client = await platform.client()
        for name in ("water", "endpoint/water", "chain/tide", "chain/tide@v1", "chain/tide@latest", "model/echo"):
            answer = await client.chat.completions.create(model=name, messages=QUESTION)
            assert "When is high water?" in answer.choices[0].message.content, name
        listed = [each.id async for each in client.models.list()]
        assert listed == ["endpoint/water", "chain/tide", "model/echo"]
        assert (await client.models.retrieve("endpoint/water")).id == "endpoint/water"


async def test_a_stream_begins_with_the_role_and_ends_with_reason_usage_and_done(tmp_path):
    async with serving(tmp_path, APP) as platform:
        release = await platform.deploy("chain/tide", "tide")
        client = await platform.client()
        stream = await client.chat.completions.create(
            model="tide", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        assert all(each.object == "chat.completion.chunk" for each in chunks)
        assert chunks[0].choices[0].delta.role == "assistant"
        text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
        assert text == "said: When is high water? / none"
        assert len(chunks) > 4
        assert [each.choices[0].finish_reason for each in chunks if each.choices][-1] == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage.completion_tokens > 0
        assert chunks[-1].tidemill["release"] == release
        http = await platform.http()
        response = await http.post("/v1/chat/completions", json={"model": "tide", "messages": QUESTION, "stream": True})
        events = response.text.removesuffix("\n\n").split("\n\n")
        assert response.headers["content-type"].startswith("text/event-stream")
        assert events[-1] == "data: [DONE]"
        last = json.loads(events[-2].removeprefix("data: "))
        assert last["choices"][0]["finish_reason"] == "stop"
        assert last["tidemill"]["trace"] == response.headers["x-tidemill-trace"]


async def test_sampling_parameters_win_for_models_only(tmp_path):
    async with serving(tmp_path, APP) as platform:
        client = await platform.client()
        cut = await client.chat.completions.create(model="model/echo", messages=QUESTION, max_tokens=2)
        assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("said: When", "length")
        whole = await client.chat.completions.create(model="chain/tide", messages=QUESTION, max_tokens=2)
        assert whole.choices[0].finish_reason == "stop"
        assert len(whole.choices[0].message.content.split()) > 2


TOOLS = """
kind: model
name: caller
provider: test
script:
  - {when: weather, reply: "", tool_calls: [{name: look_up, arguments: {city: Husum}}]}
  - {when: ".*", reply: "no tool"}
"""
LOOK_UP = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}


async def test_tool_calls_of_a_model_come_whole_and_streamed(tmp_path):
    async with serving(tmp_path, TOOLS) as platform:
        client = await platform.client()
        ask = {"model": "model/caller", "messages": [{"role": "user", "content": "weather?"}], "tools": [LOOK_UP]}
        choice = (await client.chat.completions.create(**ask)).choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls[0].function.name == "look_up"
        assert json.loads(choice.message.tool_calls[0].function.arguments) == {"city": "Husum"}
        pieces = []
        async for chunk in await client.chat.completions.create(**ask, stream=True):
            pieces += chunk.choices[0].delta.tool_calls or []
        assert [each.function.name for each in pieces if each.function.name] == ["look_up"]
        assert json.loads("".join(each.function.arguments or "" for each in pieces)) == {"city": "Husum"}


RAG = """
kind: index
name: book
source: docs
embed: null
search: {mode: fulltext}
---
kind: model
name: echo
provider: test
---
kind: prompt
name: answer
text: "{{context}} {{question}}"
---
kind: chain
name: book
inputs: {question: string}
steps:
  - {id: find, retrieve: {index: index/book, query: "{{question}}", k: 2, mode: fulltext}}
  - {id: answer, prompt: prompt/answer, model: model/echo, with: {question: "{{question}}", context: "{{find}}"}}
output: "{{answer.text}}"
"""
DOCUMENTS = {
    "docs/tides.md": b"# Tides\n\nHigh water comes twice a day.\n",
    "docs/mills.md": b"# Mills\n\nA mill grinds corn.\n",
}


async def test_citations_name_the_passages_that_the_answer_had(tmp_path):
    async with serving(tmp_path) as platform:
        await platform.apply(RAG, DOCUMENTS)
        client = await platform.client()
        ask = {"model": "chain/book", "messages": [{"role": "user", "content": "When does high water come?"}]}
        answer = await client.chat.completions.create(**ask)
        first = answer.tidemill["citations"][0]
        assert (first["number"], first["step"], first["document"]) == (1, "find", "tides.md")
        assert DOCUMENTS["docs/tides.md"].decode()[first["start"] : first["end"]] == first["text"]
        chunks = [chunk async for chunk in await client.chat.completions.create(**ask, stream=True)]
        assert chunks[-1].tidemill["citations"] == answer.tidemill["citations"]


async def test_a_callers_trace_is_continued(tmp_path):
    async with serving(tmp_path, APP) as platform:
        client = await platform.client()
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        raw = await client.chat.completions.with_raw_response.create(
            model="model/echo", messages=QUESTION, extra_headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        )
        assert raw.headers["x-tidemill-trace"] == trace
        assert platform.spans[-1].parent_id == "00f067aa0ba902b7"


async def test_an_admin_names_the_project_by_a_header(tmp_path):
    async with serving(tmp_path, APP) as platform:
        client = await platform.client(ADMIN)
        answer = await client.chat.completions.create(
            model="model/echo", messages=QUESTION, extra_headers={"x-tidemill-project": "tide"}
        )
        assert answer.choices[0].message.content == "said: When is high water?"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="model/echo", messages=QUESTION)


async def test_inputs_win_over_the_message_and_may_be_json_text(tmp_path):
    async with serving(tmp_path, APP) as platform:
        client = await platform.client()
        inputs = json.dumps({"question": "neap?", "context": "spring"})
        answer = await client.chat.completions.create(model="chain/tide", messages=QUESTION, metadata={"inputs": inputs})
        assert answer.choices[0].message.content == "said: neap? / spring"


TALK = """
kind: model
name: echo
provider: test
reply: "{{n}}: {{input}}"
---
kind: prompt
name: persona
model: model/echo
messages:
  - {role: system, content: "You keep the mill."}
  - {role: user, content: "{{question}}"}
---
kind: agent
name: miller
model: model/echo
prompt: prompt/persona
inputs: {question: string}
---
kind: guardrail
name: secrets
on: input
check: {denylist: {words: [password]}}
action: block
---
kind: chain
name: guarded
inputs: {question: string}
steps:
  - {id: answer, prompt: prompt/persona, model: model/echo, with: {question: "{{question}}"}}
output: "{{answer.text}}"
guardrails: [guardrail/secrets]
"""


async def test_prompts_and_agents_see_the_whole_conversation(tmp_path):
    conversation = [
        {"role": "user", "content": "first"}, {"role": "assistant", "content": "ebb"}, {"role": "user", "content": "second"},
    ]  # fmt: skip
    async with serving(tmp_path, TALK) as platform:
        client = await platform.client()
        for model in ("prompt/persona", "agent/miller"):
            answer = await client.chat.completions.create(model=model, messages=conversation)
            assert answer.choices[0].message.content.endswith(": second")
            asked = next(each for each in reversed(platform.spans) if each.kind == "llm").input["messages"]
            assert [each["content"] for each in asked] == ["You keep the mill.", "first", "ebb", "second"]
            chunks = [
                each async for each in await client.chat.completions.create(model=model, messages=conversation, stream=True)
            ]
            assert "".join(each.choices[0].delta.content or "" for each in chunks).endswith(": second")


async def test_a_guardrails_refusal_is_the_callers_to_read(tmp_path):
    async with serving(tmp_path, TALK) as platform:
        client = await platform.client()
        asked = [{"role": "user", "content": "What is the password?"}]
        with pytest.raises(openai.BadRequestError) as error:
            await client.chat.completions.create(model="chain/guarded", messages=asked)
        assert error.value.code == "content_filter"
        assert "guardrail/secrets" in str(error.value)
