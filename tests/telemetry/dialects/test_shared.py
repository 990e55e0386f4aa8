"""Every recorded framework trace of the shared data becomes a correct tree, with what it has of tokens, models and messages."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from telemetry.dialects.reading import all_of, leaves, raw, raw_spans, read, shared
from tidemill.telemetry.dialects import read_span
from tidemill.telemetry.dialects.messages import WORDS_OF_FORMS

NAMES = [
    "autogen-2025-06-06", "claude-agent-2025-12-22", "google-adk-2025-08-28", "langgraph-python-2025-08-22",
    "llamaindex-2025-06-05", "openai-agents-2025-09-30", "pydantic-ai-2025-06-06", "pydantic-ai-tools-2025-06-06",
    "pydantic-ai-tools-2025-12-04", "vercel-aisdk-2025-11-17", "vertex-ai-2025-08-01",
]  # fmt: skip
ROLES = {"model": "assistant", "developer": "system"}
# The SDK's outer span repeats what the call below it used; here its total was taken from elsewhere than its attributes.
OUTER = {"1dc6768109615657"}


def records(name):
    spans = raw_spans(shared("framework_traces", "otlp", f"{name}.json"))
    return spans, {each.span_id: read_span(each, project="p") for each in spans}


def observations(name):
    return json.loads(shared("framework_traces", "files", f"{name}.trace.json").read_bytes())["observations"]


@pytest.mark.parametrize("name", NAMES)
def test_a_trace_is_a_tree(name):
    _, made = records(name)
    given = {each["id"]: each["parentObservationId"] for each in observations(name)}
    assert {each.span_id: each.parent_id for each in made.values()} == given
    assert sum(each.parent_id is None for each in made.values()) == 1
    assert all(each.dialect for each in made.values())


@pytest.mark.parametrize("name", NAMES)
def test_its_tokens_and_models_are_those_of_the_record(name):
    _, made = records(name)
    kinds = Counter(each.kind for each in made.values())
    for each in observations(name):
        record, used = made[each["id"]], each["usageDetails"]
        if each["type"] == "TOOL":
            assert record.kind == "tool"
        if each["type"] != "GENERATION" or each["id"] in OUTER:
            continue
        assert record.kind == "llm"
        assert (record.usage.input_tokens, record.usage.output_tokens) == (used["input"], used["output"])
        assert each["model"] in (record.model, record.attributes.get("gen_ai.response.model"))
    assert kinds["llm"]


@pytest.mark.parametrize("name", NAMES)
def test_its_messages_are_those_expected(name):
    spans, made = records(name)
    raw_of = {each.span_id: each for each in spans}
    expected = json.loads(shared("framework_traces", "files", f"{name}.chatml.json").read_bytes())
    compared = 0
    for span_id, sides in expected.items():
        said = set(leaves(raw_of[span_id].attributes))
        record = made[span_id]
        ours = [*_messages(record.input), *_messages(record.output)]
        for side in ("input", "output"):
            if record.kind != "llm" or not sides.get(side, {}).get("success"):
                continue
            for message in sides[side]["data"]:
                content = message.get("content")
                if isinstance(content, str) and content in said and "role" in message:
                    role = ROLES.get(message["role"], message["role"])
                    assert any(each["role"] == role and content in set(leaves(each)) for each in ours), (span_id, message)
                    compared += 1
                for call in message.get("tool_calls", ()):
                    if call["id"] in said:
                        assert call["name"] in {one["name"] for each in ours for one in each.get("tool_calls", ())}
                        compared += 1
    if any(each.kind == "llm" and _messages(each.output) for each in made.values()):
        assert compared or name in {"autogen-2025-06-06", "llamaindex-2025-06-05", "claude-agent-2025-12-22"}


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_it_is_lost(name):
    spans, made = records(name)
    for each in spans:
        lost = set(leaves(each.attributes)) - all_of(made[each.span_id])
        assert lost <= WORDS_OF_FORMS, each.name


def _messages(value):
    return (
        [each for each in value["messages"] if isinstance(each, dict)]
        if isinstance(value, dict) and "messages" in value
        else []
    )


def _sdk_span(name):
    (span,) = json.loads(shared("otel_spans", "files", name).read_bytes())
    return read_span(raw(span["attributes"], name=span["name"], scope="ai"), project="p")


def test_the_vercel_sdk_spans():
    embedded = _sdk_span("openinference__ai-embed.json")
    assert (embedded.dialect, embedded.model, embedded.provider) == ("vercel", "text-embedding-3-small", "openai")
    assert embedded.output == {"vectors": 1, "dimensions": 1536}
    assert embedded.input == "The quick brown fox jumps over the lazy dog."
    assert embedded.usage.input_tokens == 10
    made = _sdk_span("openinference__ai-generateObject.json")
    assert (made.usage.input_tokens, made.usage.output_tokens, made.finish_reasons) == (63, 156, ("stop",))
    assert made.input == {"messages": [{"role": "user", "content": "Generate a simple recipe for scrambled eggs."}]}
    streamed = _sdk_span("openinference__ai-streamText-doStream.json")
    assert (streamed.kind, streamed.first_token_ns) == ("llm", 426_853_500)
    assert (streamed.usage.input_tokens, streamed.usage.output_tokens) == (15, 112)
    assert streamed.input["messages"] == [{"role": "user", "content": "Write a short poem about TypeScript."}]
    assert streamed.output["messages"][0]["content"].startswith("In code")
    assert _sdk_span("openinference__ai-streamText.json").kind == "chain"


def test_spans_of_messages_in_one_attribute():
    file = shared("otel_spans", "files", "openinference__openinference_client_span_input_output_only.json")
    record = read(json.loads(file.read_bytes()))
    assert [each["role"] for each in record.input["messages"]] == ["user", "assistant", "tool"]
    assert record.input["messages"][1]["tool_calls"][0]["name"] == "get_weather"
    assert record.output["messages"][0]["content"].startswith("The weather in Paris")
    assert (record.model, record.usage.input_tokens, record.usage.output_tokens) == ("gpt-4-0613", 97, 52)
    assert record.attributes["gen_ai.request.temperature"] == 0.5
    assert record.attributes["gen_ai.request.max_tokens"] == 200
    file = shared("otel_spans", "files", "openinference__otel_genai_deprecated_client_span_tool_calls.json")
    older = read(json.loads(file.read_bytes()))
    assert older.input == record.input
    assert older.output["messages"][0]["content"].startswith("The weather in Paris")
    assert (older.kind, older.finish_reasons) == ("llm", ("stop",))


def test_a_plain_span_of_the_protocol():
    (span,) = raw_spans(shared("otel_spans", "files", "opentelemetry-proto__trace.json"))
    record = read_span(span, project="p")
    assert (record.kind, record.dialect, record.service) == ("other", "", "my.service")
    assert record.attributes == {"my.span.attr": "some value"}
