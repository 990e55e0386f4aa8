"""What eight frameworks really sent, recorded by scripts/record_traces.py: a tool, a hand-over, a stream, a refused call."""

from __future__ import annotations

import pytest

from telemetry.dialects.reading import RECORDED, raw_spans, read, shared
from tidemill.telemetry.dialects import dialects, read_span
from tidemill.testing import check_dialect

RECORDINGS = {
    "langfuse": "langfuse",
    "langsmith": "langsmith",
    "haystack": "haystack",
    "semantic_kernel": "semantic_kernel",
    "crewai": "crewai",
    "crewai_openinference": "openinference",
    "autogen": "autogen",
    "google_adk": "google_adk",
    "google_adk_1": "google_adk",
    "strands": "strands",
}
TELLS_MESSAGES = ("langfuse", "langsmith", "haystack", "google_adk", "google_adk_1", "strands")


def records(name):
    return [read_span(each, project="p") for each in raw_spans(RECORDED / f"{name}.json")]


def calls(name):
    return [each for each in records(name) if each.kind == "llm"]


def named(name, span):
    return next(each for each in records(name) if each.name == span)


def said(record):
    return record.output["messages"][-1]["content"]


@pytest.mark.parametrize("name", RECORDINGS)
def test_the_dialect_reads_every_kind_of_its_spans(name):
    known = {each.name: each for each in dialects()}
    forms = {frozenset(each.attributes): each for each in raw_spans(RECORDED / f"{name}.json") if each.attributes}
    for span in forms.values():
        dialect = known[RECORDINGS[name]]
        record = read_span(span, project="p")
        assert record.dialect == RECORDINGS[name], span.name
        if record.kind in ("chain", "retriever", "embedding"):  # messages leave words of their form behind
            check_dialect(dialect, attributes=span.attributes, scope=span.scope, name=span.name)


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_refused_call_is_an_error_that_says_why(name):
    failed = [each for each in records(name) if each.status == "error"]
    assert any("the script says so" in each.error for each in failed)
    assert all("Traceback" not in each.error for each in failed)


@pytest.mark.parametrize("name", [*TELLS_MESSAGES, "semantic_kernel"])
def test_calls_have_their_model_and_tokens(name):
    answered = [each for each in calls(name) if each.status != "error" and each.model not in ("gpt-4o", "words")]
    assert answered
    assert all(each.model.removeprefix("openai/") == "model/tide" for each in answered)
    counted = [each for each in answered if each.usage.input_tokens and each.usage.output_tokens]
    assert len(counted) >= len(answered) - (name == "haystack")  # which streams without usage
    assert any(each.finish_reasons for each in counted)


@pytest.mark.parametrize("name", TELLS_MESSAGES)
def test_a_tool_is_called_and_answers(name):
    made = calls(name)
    asked = next(each for each in made if each.output and each.output["messages"][-1].get("tool_calls"))
    (call,) = asked.output["messages"][-1]["tool_calls"]
    assert (call["name"], call["arguments"]) == ("get_weather", '{"city":"Paris"}')
    answered = next(each for each in made if each.output and "18 degrees" in str(said(each)))
    assert call["id"] in str(answered.input)
    tool = next(each for each in records(name) if each.kind == "tool" and "18 degrees" in str(each.output))
    assert tool.input == {"city": "Paris"}


@pytest.mark.parametrize(("name", "to"), [("google_adk", "billing"), ("google_adk_1", "billing"), ("autogen", "billing")])
def test_an_agent_that_hands_over_says_to_whom(name, to):
    handed = [each for each in records(name) if "tidemill.handoff.to" in each.attributes]
    assert [each.attributes["tidemill.handoff.to"] for each in handed] == [to]
    assert handed[0].kind == "tool"


def test_langfuse_says_who_what_and_what_it_cost():
    made = {each.name: each for each in records("langfuse")}
    kinds = {each.name: each.kind for each in made.values()}
    assert kinds == {
        "find": "retriever", "decide": "llm", "get_weather": "tool", "answer": "llm", "check": "guardrail", "by-hand": "llm",
        "OpenAI-generation": "llm", "embed": "embedding", "helper": "agent",
    }  # fmt: skip
    for each in made.values():
        assert (each.user, each.session, each.tags, each.release) == ("user-1", "session-1", ("demo", "langfuse"), "2026-11")
    by_hand = made["by-hand"]
    assert by_hand.cost == 0.003
    used = by_hand.usage
    assert (used.input_tokens, used.output_tokens, used.cached_tokens, used.reasoning_tokens) == (14, 7, 4, 2)
    assert made["find"].output == [{"id": "d1", "document": "", "text": "Paris is in France.", "score": 0.9}]
    assert 0 < made["answer"].first_token_ns < 10**9
    assert made["decide"].input["tools"][0]["name"] == "get_weather"
    assert made["check"].attributes["langfuse.observation.level"] == "WARNING"
    assert made["check"].status != "error"


def test_langfuse_reads_usage_in_the_ways_it_is_written():
    def used(**details):
        return read({"langfuse.observation.type": "generation", "langfuse.observation.usage_details": details}).usage

    assert used(input=10, input_cache_read=5, output=3).input_tokens == 15
    openai = used(
        prompt_tokens=20, completion_tokens=8, prompt_tokens_details={"cached_tokens": 6}, completion_tokens_details=None
    )
    assert (openai.input_tokens, openai.output_tokens, openai.cached_tokens) == (20, 8, 6)
    assert used(input="x").input_tokens == 0


def test_a_failure_that_only_langfuse_says():
    record = read({"langfuse.observation.level": "ERROR", "langfuse.observation.status_message": "no key"})
    assert (record.status, record.error) == ("error", "no key")
    assert read({"langfuse.observation.level": "ERROR"}).error == "an observation of level ERROR"


def test_langsmith_says_who_and_where_in_the_graph():
    made = records("langsmith")
    assert all((each.user, each.session, each.tags) == ("user-1", "session-1", ("demo",)) for each in made)
    assert {each.step for each in made} == {"agent", "tools", None}
    found = named("langsmith", "find")
    assert (found.kind, found.output[0]["document"], found.output[0]["text"]) == ("retriever", "atlas", "Paris is in France.")
    assert named("langsmith", "answer").output == "It is 18 degrees in Paris."
    assert named("langsmith", "broken_tool").error == "ValueError('no such city')"
    tool = named("langsmith", "get_weather")
    assert (tool.output, tool.attributes["gen_ai.tool.call.id"]) == ("18 degrees in Paris", "call_1_0")


def test_haystack_retrieves_and_answers():
    retrieved, prompt, answered, pipeline, *_ = records("haystack")
    assert [each["text"] for each in retrieved.output] == ["A tide mill is driven by the tide."]
    assert (retrieved.kind, retrieved.step, retrieved.output[0]["score"] > 1) == ("retriever", "retriever", True)
    assert (prompt.kind, pipeline.kind) == ("chain", "chain")
    assert said(answered) == "A tide mill grinds by the tide."
    assert 0 < answered.first_token_ns < 10**9


def test_a_crew_has_its_tasks_agents_and_tokens():
    made = records("crewai")
    crew = next(each for each in made if each.name == "crewai.workflow")
    assert (crew.kind, crew.output, crew.usage.input_tokens > 100, crew.usage.output_tokens > 10) == (
        "chain", "It is 18 degrees in Paris.", True, True,
    )  # fmt: skip
    task = next(each for each in made if each.parent_id == crew.span_id)
    assert (task.kind, task.input) == ("chain", "What is the weather in Paris?")
    agent = next(each for each in made if each.parent_id == task.span_id)
    assert (agent.kind, agent.model, agent.attributes["gen_ai.agent.name"]) == ("agent", "model/tide", "Forecaster")


def test_autogen_tells_what_its_agents_were_sent():
    processed = [each for each in records("autogen") if each.name.startswith("autogen process desk")]
    assert "I want a refund for order 7." in str(processed[0].input)
    assert processed[0].attributes["gen_ai.agent.name"] == "desk"
    assert len({each.session for each in processed if each.session}) == 1


def test_strands_says_what_was_said():
    agent = next(each for each in records("strands") if each.kind == "agent" and each.session)
    assert (agent.user, agent.session, agent.tags) == ("user-1", "session-1", ("strands", "demo"))
    assert agent.input["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {each.kind for each in records("strands")} == {"llm", "tool", "chain", "agent"}


def test_the_system_is_said_once_where_two_dialects_tell_it():
    for span in raw_spans(shared("framework_traces", "otlp", "google-adk-2025-08-28.json")):
        record = read_span(span, project="p")
        if record.kind == "llm":
            assert [each["role"] for each in record.input["messages"]].count("system") == 1
