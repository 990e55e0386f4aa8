"""What real libraries sent, recorded by scripts/record_traces.py: one conversation, whoever wrote it down."""

from __future__ import annotations

import pytest

from telemetry.dialects.reading import RECORDED, all_of, leaves, raw_spans
from tidemill.telemetry.dialects import read_span
from tidemill.telemetry.dialects.messages import WORDS_OF_FORMS
from tidemill.telemetry.row import encode_row

# What scripts/recorded/openai_app.py does, by the instrumentation that recorded it.
CLIENTS = {
    "openai_v2_latest": "gen_ai",
    "openinference_openai": "openinference",
    "traceloop_openai": "traceloop",
    "mlflow_openai": "mlflow",
    "logfire_openai": "pydantic_ai",
}
SAYS_SEED = set(CLIENTS) - {"traceloop_openai"}


def records(name):
    return [read_span(each, project="p") for each in raw_spans(RECORDED / f"{name}.json")]


def calls(name):
    return [each for each in records(name) if each.kind == "llm"]


@pytest.mark.parametrize("name", CLIENTS)
def test_an_answer(name):
    first = calls(name)[0]
    assert first.dialect == CLIENTS[name]
    assert first.input["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is a tide mill?"},
    ]
    (answer,) = first.output["messages"]
    assert (answer["role"], answer["content"]) == ("assistant", "A tide mill grinds by the tide.")
    assert (first.model, first.provider, first.finish_reasons) == ("model/tide", "openai", ("stop",))
    assert (first.usage.input_tokens, first.usage.output_tokens) == (7, 7)
    assert (first.attributes["gen_ai.request.temperature"], first.attributes["gen_ai.request.max_tokens"]) == (0.2, 50)
    assert (first.attributes.get("gen_ai.request.seed") == 7) == (name in SAYS_SEED)


@pytest.mark.parametrize("name", CLIENTS)
def test_a_tool_is_called_and_answers(name):
    _, second, third, *_ = calls(name)
    if name != "openai_v2_latest":  # which sends no definitions
        (tool,) = second.input["tools"]
        assert (tool["name"], tool["description"]) == ("get_weather", "The weather in a city")
        assert tool["parameters"]["required"] == ["city"]
    (call,) = second.output["messages"][0]["tool_calls"]
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city":"Paris"}')
    *_, result = third.input["messages"]
    assert (result["role"], result["tool_call_id"]) == ("tool", call["id"])
    assert "18 degrees" in str(result["content"])
    assert third.output["messages"][0]["content"] == "It is 18 degrees in Paris."


@pytest.mark.parametrize("name", [each for each in CLIENTS if each != "openai_v2_latest"])  # which leaves pictures out
def test_a_picture_in_a_stream(name):
    streamed = next(each for each in calls(name) if "mill.png" in str(each.input) and each.output)
    text, picture = streamed.input["messages"][0]["content"]
    assert text == {"type": "text", "text": "Hello, what is this?"}
    assert (picture["type"], picture["url"]) == ("image", "https://example.com/mill.png")
    assert streamed.output["messages"][0]["content"] == "Hello!"
    if name != "logfire_openai":
        assert 0 < streamed.first_token_ns < 10**9


@pytest.mark.parametrize("name", CLIENTS)
def test_a_call_that_was_refused(name):
    (refused,) = [each for each in calls(name) if each.status == "error"]
    assert "the script says so" in refused.error
    assert refused.input["messages"] == [{"role": "user", "content": "fail"}]


def test_who_and_why_by_openinference():
    first = records("openinference_openai")[0]
    assert (first.session, first.user, first.tags) == ("talk-1", "ada", ("mill", "demo"))


def test_functions_by_mlflow():
    made = {each.name: each for each in records("mlflow_openai")}
    assert made["search"].kind == "retriever"
    assert made["search"].output[0] == {
        "id": "d1", "document": "", "text": "About What is a tide mill?", "score": None, "metadata": {"doc_uri": "mills.md"},
    }  # fmt: skip
    assert (made["get_weather"].kind, made["get_weather"].input) == ("tool", {"city": "Paris"})
    assert (made["agent"].kind, made["agent"].output) == ("agent", "It is 18 degrees.")


def test_an_agent_by_pydantic_ai():
    made = records("pydantic_ai")
    agent = next(each for each in made if each.kind == "agent")
    assert [each["role"] for each in agent.input["messages"]] == ["system", "user"]
    assert agent.output["messages"][-1]["content"] == "It is 18 degrees in Paris."
    (tool,) = [each for each in made if each.kind == "tool"]
    assert (tool.input, tool.output) == ({"city": "Paris"}, "18 degrees in Paris")
    assert {each.parent_id for each in made if each.kind == "tool"} == {agent.span_id}
    first = next(each for each in made if each.kind == "llm")
    assert (first.usage.input_tokens, first.usage.output_tokens, first.session is not None) == (8, 1, True)


@pytest.mark.parametrize(
    "file", sorted(each for each in RECORDED.glob("*.json") if "export" not in each.name), ids=lambda file: file.stem
)
def test_nothing_recorded_is_lost(file):
    for each in raw_spans(file):
        record = read_span(each, project="p")
        words = WORDS_OF_FORMS | {
            "success",
            "1",
        }  # what LangChain says of every tool that answered, and the version of its form
        assert set(leaves(each.attributes)) - all_of(record) <= words, each.name
        encode_row(record)
