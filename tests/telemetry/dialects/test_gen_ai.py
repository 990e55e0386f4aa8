"""OpenTelemetry's conventions, a known answer a generation."""

from __future__ import annotations

import json

from telemetry.dialects.reading import event, read

ASKED = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Weather in Paris?"}]
CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "c1", "name": "get_weather", "arguments": '{"city":"Paris"}'}],
}


def test_events_a_message_as_span_events():
    record = read(
        {"gen_ai.system": "openai", "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"},
        events=[
            event("gen_ai.system.message", content="Be brief.", **{"gen_ai.system": "openai"}),
            event("gen_ai.user.message", content="Weather in Paris?"),
            event(
                "gen_ai.choice",
                index=0,
                finish_reason="tool_calls",
                message='{"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function":'
                ' {"name": "get_weather", "arguments": "{\\"city\\":\\"Paris\\"}"}}]}',
            ),
            event("exception", **{"exception.message": "kept"}),
        ],
    )
    first, second = record.input["messages"]
    assert (first["content"], first["gen_ai.system"], second) == ("Be brief.", "openai", ASKED[1])
    (answer,) = record.output["messages"]
    assert CALLED.items() <= answer.items()
    assert record.finish_reasons == ("tool_calls",)
    assert [each["name"] for each in record.events] == ["exception"]


def test_events_a_message_as_log_records_with_a_body():
    record = read(
        events=[
            event("gen_ai.user.message", {"content": "Weather in Paris?"}),
            event("gen_ai.assistant.message", {"tool_calls": CALLED["tool_calls"]}),
            event("gen_ai.tool.message", {"id": "c1", "content": "18 degrees"}),
            event("gen_ai.choice", {"index": 0, "finish_reason": "stop", "message": {"content": "18."}}),
        ]
    )
    assert record.input["messages"] == [
        ASKED[1],
        CALLED,
        {"role": "tool", "content": "18 degrees", "tool_call_id": "c1"},
    ]
    assert record.output["messages"][0]["content"] == "18."
    assert (record.dialect, record.finish_reasons, record.events) == ("gen_ai", ("stop",), ())


def test_one_text_of_json_on_the_span():
    record = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.prompt": json.dumps(ASKED),
            "gen_ai.completion": json.dumps([{"role": "assistant", "content": "18."}]),
            "gen_ai.usage.prompt_tokens": 9,
            "gen_ai.usage.completion_tokens": 3,
        }
    )
    assert record.input == {"messages": ASKED}
    assert record.output == {"messages": [{"role": "assistant", "content": "18."}]}
    assert (record.usage.input_tokens, record.usage.output_tokens) == (9, 3)
    assert "gen_ai.prompt" not in record.attributes


def test_structured_messages_on_the_span():
    asked = [
        {
            "role": "user",
            "parts": [
                {"type": "text", "content": "What is this?"},
                {"type": "blob", "mime_type": "image/png", "modality": "image", "content": "aGk="},
                {"type": "uri", "mime_type": "audio/wav", "modality": "audio", "uri": "https://example.com/a.wav"},
                {"type": "file", "mime_type": "application/pdf", "modality": "document", "file_id": "f-1"},
            ],
        },
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c1", "response": {"t": 18}}]},
    ]
    answered = [
        {
            "role": "assistant",
            "parts": [
                {"type": "reasoning", "content": "Hm."},
                {"type": "text", "content": "A mill."},
                {"type": "tool_call", "id": "c1", "name": "get_weather", "arguments": {"city": "Paris"}},
            ],
            "finish_reason": "tool_call",
        }
    ]
    record = read(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "m",
            "gen_ai.response.model": "m-1",
            "gen_ai.conversation.id": "talk-1",
            "gen_ai.system_instructions": json.dumps([{"type": "text", "content": "Be brief."}]),
            "gen_ai.input.messages": asked,
            "gen_ai.output.messages": json.dumps(answered),
            "gen_ai.tool.definitions": json.dumps(
                [{"type": "function", "name": "get_weather", "description": "w", "parameters": {"type": "object"}}]
            ),
            "gen_ai.usage.input_tokens": 40,
            "gen_ai.usage.output_tokens": 20,
            "gen_ai.usage.cache_read.input_tokens": 10,
            "gen_ai.usage.cache_creation.input_tokens": 4,
            "gen_ai.usage.reasoning.output_tokens": 8,
            "gen_ai.response.time_to_first_chunk": 0.25,
        }
    )
    system, user, tool = record.input["messages"]
    assert system == ASKED[0]
    assert user["content"] == [
        {"type": "text", "text": "What is this?"},
        {"type": "image", "media_type": "image/png", "data": "aGk="},
        {"type": "audio", "media_type": "audio/wav", "url": "https://example.com/a.wav"},
        {"type": "file", "media_type": "application/pdf", "file": "f-1", "modality": "document"},
    ]
    assert tool == {"role": "tool", "content": {"t": 18}, "tool_call_id": "c1"}
    assert record.input["tools"] == [{"name": "get_weather", "description": "w", "parameters": {"type": "object"}}]
    (answer,) = record.output["messages"]
    assert answer["content"] == [{"type": "reasoning", "text": "Hm."}, {"type": "text", "text": "A mill."}]
    assert answer["tool_calls"] == CALLED["tool_calls"]
    usage = record.usage
    assert (usage.input_tokens, usage.cached_tokens, usage.cache_write_tokens, usage.reasoning_tokens) == (40, 10, 4, 8)
    assert (record.model, record.provider, record.session) == ("m", "openai", "talk-1")
    assert (record.first_token_ns, record.finish_reasons) == (250_000_000, ("tool_call",))
    assert not {"gen_ai.input.messages", "gen_ai.output.messages", "gen_ai.tool.definitions"} & record.attributes.keys()


def test_structured_messages_in_one_event():
    details = {
        "gen_ai.input.messages": [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": [{"type": "text", "content": "yo"}], "finish_reason": "stop"}
        ],
    }
    once = event("gen_ai.client.inference.operation.details", **details, mine=1)
    record = read({"gen_ai.operation.name": "chat"}, events=[once])
    assert record.input == {"messages": [{"role": "user", "content": "hi"}]}
    assert record.output["messages"][0]["content"] == "yo"
    assert [each["attributes"] for each in record.events] == [{"mine": 1}]
    twice = read({"gen_ai.operation.name": "chat"}, events=[once, once])
    assert twice.events[0]["attributes"] == details | {"mine": 1}


def test_names_that_were_deprecated():
    record = read(
        {
            "gen_ai.system": "openai",
            "gen_ai.openai.request.seed": 7,
            "gen_ai.openai.request.response_format": "json_schema",
            "gen_ai.openai.response.system_fingerprint": "fp",
        }
    )
    assert record.provider == "openai"
    assert record.attributes["gen_ai.request.seed"] == 7
    assert record.attributes["gen_ai.output.type"] == "json_schema"
    assert record.attributes["openai.response.system_fingerprint"] == "fp"


def test_tools_agents_retrieval_embeddings_and_ranks_have_their_kind():
    given = {"gen_ai.tool.call.arguments": '{"city": "Paris"}', "gen_ai.tool.call.result": "18"}
    tool = read({"gen_ai.operation.name": "execute_tool", **given})
    assert (tool.kind, tool.input, tool.output) == ("tool", {"city": "Paris"}, 18)
    found = read(
        {
            "gen_ai.operation.name": "retrieval",
            "gen_ai.retrieval.query.text": "mills",
            "gen_ai.retrieval.documents": json.dumps([{"id": "d1", "score": 0.9}, {"id": "d2", "score": 0.1, "title": "T"}]),
        }
    )
    assert (found.kind, found.input) == ("retriever", "mills")
    assert [(each["id"], each["score"]) for each in found.output] == [("d1", 0.9), ("d2", 0.1)]
    kinds = {"invoke_agent": "agent", "create_agent": "agent", "invoke_workflow": "chain", "embeddings": "embedding"}
    for name, kind in (kinds | {"rerank": "reranker"}).items():
        assert read({"gen_ai.operation.name": name}).kind == kind
    assert read({"gen_ai.request.model": "m"}).kind == "llm"


def test_json_in_a_text_twice():
    twice = json.dumps(json.dumps(ASKED))
    assert read({"gen_ai.operation.name": "chat", "gen_ai.input.messages": twice}).input == {"messages": ASKED}


def test_an_agent_that_hands_over():
    tool = read({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "transfer_to_refunds"})
    assert tool.attributes["tidemill.handoff.to"] == "refunds"
